//! The server that runs: alive, ready, and if not, why.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::Check;
use crate::client::{Client, connect, named_url, parse_url};
use crate::environment::Environment;
use crate::output::{note, print_line};
use crate::server::reachable_url;
use crate::settings::Settings;
use crate::terminal_text::clean_line;

const ANSWER: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    condition: String,
    #[serde(default)]
    detail: Option<String>,
}

/// The server that clients here find, if there is one.
pub(super) async fn checks(url: Option<&str>, environment: &Environment) -> Vec<Check> {
    const CHECK: &str = "server";
    let client = match connect(url, environment).await {
        Ok(client) => client,
        Err(error) => return vec![Check::failed(CHECK, format!("{error:#}"), "kulti config")],
    };
    match readiness(&client).await {
        Err(_) => vec![Check::ok(
            CHECK,
            format!("none at {}; `kulti serve` starts one", client.base()),
        )],
        Ok(readiness) => {
            let wrong = readiness.wrong();
            if wrong.is_empty() {
                return vec![Check::ok(CHECK, format!("{} is ready", client.base()))];
            }
            let detail = format!("{}: {}", client.base(), wrong.join("; "));
            let fix = "what is named above; it takes up again by itself";
            if readiness.ready {
                vec![Check::warning(CHECK, detail, fix)]
            } else {
                vec![Check::failed(CHECK, detail, fix)]
            }
        }
    }
}

/// `--ready`: whether the server of this machine or container is ready, wherever it was told to listen.
pub(super) async fn ready(
    url: Option<&str>,
    settings: &Settings,
    environment: &Environment,
) -> anyhow::Result<()> {
    let url = match named_url(url, environment)? {
        Some(url) => url,
        None => parse_url(&reachable_url(settings.listen()?))?,
    };
    let client = Client::new(url, None)?;
    let readiness = readiness(&client).await?;
    for wrong in readiness.wrong() {
        note(&wrong);
    }
    anyhow::ensure!(readiness.ready, "{} is not ready", client.base());
    Ok(print_line("ready")?)
}

impl Readiness {
    fn wrong(&self) -> Vec<String> {
        let wrong = self
            .components
            .iter()
            .filter(|component| component.condition != "ok");
        wrong
            .map(|component| {
                let detail = component.detail.as_deref().unwrap_or("no reason given");
                format!(
                    "{} is {}: {}",
                    clean_line(&component.name, 40),
                    component.condition,
                    clean_line(detail, 300)
                )
            })
            .collect()
    }
}

/// 503 carries the same answer as 200.
async fn readiness(client: &Client) -> anyhow::Result<Readiness> {
    let request = client
        .request(Method::GET, client.url(&["readyz"]))
        .timeout(ANSWER);
    let response = request.send().await.map_err(|error| client.unreachable(&error))?;
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}
