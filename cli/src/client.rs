//! Which server and which key this person's clients use; the client itself is kulti-runner's.

use std::time::Duration;

use reqwest::{Method, Url};

pub(crate) use kulti_runner::client::{Client, origin};

use crate::environment::Environment;
use crate::failure::usage;
use crate::state::Folders;

/// Where a server is when nothing says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// How long the recorded server may take to say that it is alive.
const PROBE: Duration = Duration::from_secs(2);

/// A client of the server, and with the key, that flags, environment and what `serve` and `login` stored say.
pub(crate) async fn connect(url: Option<&str>, environment: &Environment) -> anyhow::Result<Client> {
    let folders = Folders::of(environment);
    let base = match named_url(url, environment)? {
        Some(url) => url,
        None => match folders.running_server() {
            Some(server) if is_alive(&server.url).await => parse_url(&server.url)?,
            _ => parse_url(DEFAULT_URL)?,
        },
    };
    let key = key_for(&base, environment)?;
    Ok(Client::new(base, key)?)
}

/// The key for a server: the environment's, else the stored one.
pub(crate) fn key_for(base: &Url, environment: &Environment) -> anyhow::Result<Option<String>> {
    match environment.get("KULTI_API_KEY") {
        Some(key) => Ok(Some(key.to_owned())),
        None => Folders::of(environment).key_for(&origin(base)),
    }
}

/// The URL that a flag or KULTI_URL names.
pub(crate) fn named_url(flag: Option<&str>, environment: &Environment) -> anyhow::Result<Option<Url>> {
    flag.or_else(|| environment.get("KULTI_URL"))
        .map(parse_url)
        .transpose()
}

/// A server's URL as people write it.
pub(crate) fn parse_url(text: &str) -> anyhow::Result<Url> {
    kulti_runner::client::parse_url(text).map_err(usage)
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
            connect(Some("http://a.example"), &with)
                .await
                .expect("a client")
                .base(),
            "http://a.example"
        );
        let client = connect(None, &with).await.expect("a client");
        assert_eq!(client.base(), "https://b.example/kulti");
        assert_eq!(
            client.url(&["v1", "sessions", "a/b"]).as_str(),
            "https://b.example/kulti/v1/sessions/a%2Fb"
        );
        let without = environment(&[("HOME", home)]);
        assert_eq!(
            connect(None, &without).await.expect("a client").base(),
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
            connect(None, &environment).await.expect("a client").base(),
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
        let client = connect(Some("https://a.example/x"), &stored)
            .await
            .expect("a client");
        assert_eq!(client.key(), Some("stored"));
        let elsewhere = connect(Some("https://b.example"), &stored)
            .await
            .expect("a client");
        assert_eq!(elsewhere.key(), None);
        let own = environment(&[("HOME", path), ("KULTI_API_KEY", "own")]);
        assert_eq!(
            connect(Some("https://a.example"), &own)
                .await
                .expect("a client")
                .key(),
            Some("own")
        );
    }
}
