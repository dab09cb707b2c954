//! The HTTP client: which server, which key, and answers as values or problems.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::environment::Environment;
use crate::failure::usage;
use crate::problem::Problem;
use crate::state::Folders;

/// Where a server is when nothing says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// How long the recorded server may take to say that it is alive.
const PROBE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// One server, seen from here.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: Url,
    key: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// The server and key that flags, environment and what `serve` and `login` stored say.
    pub(crate) async fn connect(url: Option<&str>, environment: &Environment) -> anyhow::Result<Self> {
        let folders = Folders::of(environment);
        let base = match named_url(url, environment)? {
            Some(url) => url,
            None => match folders.running_server() {
                Some(server) if is_alive(&server.url).await => parse_url(&server.url)?,
                _ => parse_url(DEFAULT_URL)?,
            },
        };
        let key = match environment.get("KULTI_API_KEY") {
            Some(key) => Some(key.to_owned()),
            None => folders.key_for(&origin(&base))?,
        };
        Client::new(base, key)
    }

    /// A client with these.
    pub(crate) fn new(base: Url, key: Option<String>) -> anyhow::Result<Self> {
        let http = http_client(&base)?;
        Ok(Client { base, key, http })
    }

    /// The server's URL without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A page or route of the server; each segment is escaped.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request with the key.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// A request whose answer must come in time, as a success.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request
            .timeout(ANSWER)
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        self.success(response).await
    }

    /// The answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let body = self
            .answer(request)
            .await?
            .bytes()
            .await
            .map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{} does not answer as Kulti does", self.base()))
    }

    /// The response, or the problem that it carries.
    pub(crate) async fn success(&self, response: Response) -> anyhow::Result<Response> {
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() || status == reqwest::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(Problem::read(status, &headers, &body).into())
    }

    /// Says what can be done about a server that does not answer.
    pub(crate) fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let help = if error.is_connect() && is_loopback(&self.base) {
            "; start one with `kulti serve`, or name another with KULTI_URL or --url"
        } else {
            ""
        };
        let text = format!("no answer from {}: {}{help}", self.base(), innermost(&error));
        anyhow::Error::new(Unreachable { text })
    }
}

/// The network, not the server, stood in the way: trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Unreachable {
    text: String,
}

/// The cause that says most: the outer layers of an HTTP client's error only say where it happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() {
        "it took too long".to_owned()
    } else {
        cause.to_string()
    }
}

fn http_client(base: &Url) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("kulti/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tcp_nodelay(true);
    // A proxy cannot reach this machine's own loopback.
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot set up the HTTP client")
}

/// The URL that a flag or KULTI_URL names.
pub(crate) fn named_url(flag: Option<&str>, environment: &Environment) -> anyhow::Result<Option<Url>> {
    flag.or_else(|| environment.get("KULTI_URL"))
        .map(parse_url)
        .transpose()
}

/// A server's URL; a host alone means http on a loopback address, https elsewhere.
pub(crate) fn parse_url(text: &str) -> anyhow::Result<Url> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        let plain = Url::parse(&format!("http://{text}")).is_ok_and(|url| is_loopback(&url));
        format!("{}://{text}", if plain { "http" } else { "https" })
    };
    let mut url = Url::parse(&whole).map_err(|error| usage(format!("`{text}` is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(usage(format!("`{text}` is not an http or https URL")));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// What keys are stored by: scheme, host and port.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether it is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a server answers there.
pub(crate) async fn is_alive(url: &str) -> bool {
    let Ok(base) = parse_url(url) else { return false };
    let Ok(client) = Client::new(base, None) else {
        return false;
    };
    let request = client.request(Method::GET, client.url(&["livez"])).timeout(PROBE);
    request
        .send()
        .await
        .is_ok_and(|response| response.status().is_success())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::state::RunningServer;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables, Path::new("/"))
    }

    /// Only tests may install it more than once: the process has one provider.
    fn provider() {
        rustls::crypto::ring::default_provider().install_default().ok();
    }

    #[tokio::test]
    async fn a_flag_wins_over_the_environment_and_that_over_the_default() {
        provider();
        let home = tempfile::tempdir().expect("a folder");
        let home = home.path().to_str().expect("a path");
        let with = environment(&[("KULTI_URL", "https://b.example/kulti/"), ("HOME", home)]);
        assert_eq!(
            Client::connect(Some("http://a.example"), &with)
                .await
                .expect("a client")
                .base(),
            "http://a.example"
        );
        let client = Client::connect(None, &with).await.expect("a client");
        assert_eq!(client.base(), "https://b.example/kulti");
        assert_eq!(
            client.url(&["v1", "sessions", "a/b"]).as_str(),
            "https://b.example/kulti/v1/sessions/a%2Fb"
        );
        let without = environment(&[("HOME", home)]);
        assert_eq!(
            Client::connect(None, &without).await.expect("a client").base(),
            DEFAULT_URL
        );
    }

    #[tokio::test]
    async fn a_recorded_server_that_no_longer_answers_is_passed_over() {
        provider();
        let home = tempfile::tempdir().expect("a folder");
        let environment = environment(&[("HOME", home.path().to_str().expect("a path"))]);
        let server = RunningServer {
            url: "http://127.0.0.1:1".into(),
            pid: 1,
            demo: false,
            agents: Vec::new(),
        };
        Folders::of(&environment)
            .record_server(&server)
            .expect("recorded");
        assert_eq!(
            Client::connect(None, &environment)
                .await
                .expect("a client")
                .base(),
            DEFAULT_URL
        );
    }

    #[tokio::test]
    async fn the_environments_key_wins_over_the_stored_one() {
        provider();
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().to_str().expect("a path");
        let stored = environment(&[("HOME", path)]);
        Folders::of(&stored)
            .store_key("https://a.example", "stored")
            .expect("stored");
        let client = Client::connect(Some("https://a.example/x"), &stored)
            .await
            .expect("a client");
        assert_eq!(client.key.as_deref(), Some("stored"));
        let elsewhere = Client::connect(Some("https://b.example"), &stored)
            .await
            .expect("a client");
        assert_eq!(elsewhere.key, None);
        let own = environment(&[("HOME", path), ("KULTI_API_KEY", "own")]);
        assert_eq!(
            Client::connect(Some("https://a.example"), &own)
                .await
                .expect("a client")
                .key
                .as_deref(),
            Some("own")
        );
    }

    #[test]
    fn a_host_alone_is_enough() {
        assert_eq!(
            parse_url("127.0.0.1:9000").expect("a URL").as_str(),
            "http://127.0.0.1:9000/"
        );
        assert_eq!(
            parse_url("localhost:9000").expect("a URL").as_str(),
            "http://localhost:9000/"
        );
        assert_eq!(
            parse_url("kulti.example").expect("a URL").as_str(),
            "https://kulti.example/"
        );
        assert!(parse_url("ftp://x").is_err());
        assert!(parse_url("http://").is_err());
    }
}
