//! The HTTP client: one server and one key, and answers as values or errors.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::error::ClientError;
use crate::problem::Problem;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// One server, seen from here.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    key: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client of the server at `base`, with this key.
    ///
    /// # Errors
    /// If the HTTP client cannot be made, for instance without a TLS provider.
    pub fn new(base: Url, key: Option<String>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("kulti/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_nodelay(true);
        // A proxy cannot reach this machine's own loopback.
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(ClientError::SetUp)?;
        Ok(Client { base, key, http })
    }

    /// The server's URL without a slash at its end.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The key that goes with each request.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether the server is this machine's.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.base)
    }

    /// A page or route of the server; each segment is escaped.
    pub fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request with the key.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// A request whose answer must come within 60 s, as a success.
    ///
    /// # Errors
    /// If there is no answer, or it is a problem.
    pub async fn answer(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request
            .timeout(ANSWER)
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        self.success(response).await
    }

    /// The answer as JSON.
    ///
    /// # Errors
    /// If there is no answer, it is a problem, or not of this shape.
    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let body = self
            .answer(request)
            .await?
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.foreign(error))
    }

    /// The response, or the problem that it carries.
    ///
    /// # Errors
    /// If it is no success.
    pub async fn success(&self, response: Response) -> Result<Response, ClientError> {
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() || status == reqwest::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(Problem::read(status, &headers, &body).into())
    }

    /// Says what can be done about a server that does not answer.
    pub fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let help = if error.is_connect() && self.is_local() {
            "; start one with `kulti serve`, or name another with KULTI_URL or --url"
        } else {
            ""
        };
        ClientError::Unreachable(format!(
            "no answer from {}: {}{help}",
            self.base(),
            innermost(error)
        ))
    }

    /// An answer that Kulti would not give.
    pub(crate) fn foreign(&self, detail: impl ToString) -> ClientError {
        ClientError::Foreign {
            base: self.base().to_owned(),
            detail: detail.to_string(),
        }
    }
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

/// A server's URL; a host alone means http on a loopback address, https elsewhere.
///
/// # Errors
/// What is wrong with the text, for people.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        let plain = Url::parse(&format!("http://{text}")).is_ok_and(|url| is_loopback(&url));
        format!("{}://{text}", if plain { "http" } else { "https" })
    };
    let mut url = Url::parse(&whole).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{text}` is not an http or https URL"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// What keys are stored by: scheme, host and port.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_is_enough() {
        let parsed = |text| parse_url(text).expect("a URL").to_string();
        assert_eq!(parsed("127.0.0.1:9000"), "http://127.0.0.1:9000/");
        assert_eq!(parsed("localhost:9000"), "http://localhost:9000/");
        assert_eq!(parsed("kulti.example"), "https://kulti.example/");
        assert!(parse_url("ftp://x").is_err());
        assert!(parse_url("http://").is_err());
    }
}
