//! Counts the lines of a folder's files, while people watch: `cargo run -p kulti --example agent -- [FOLDER]`
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _first = rustls::crypto::ring::default_provider().install_default();
    let folder = std::env::args().nth(1).unwrap_or(".".into());
    let session = &Uuid::now_v7().to_string();
    let task = format!("Count the lines in {folder}");
    let started = json!({"task": task, "visibility": "public"});
    send(session, "session.started", started).await?;
    let mut total = 0;
    for file in std::fs::read_dir(&folder)? {
        let path = file?.path();
        let lines = std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        let text = format!("{lines:8} {}\r\n", path.display());
        send(session, "terminal.output", json!({"text": text})).await?;
        total += lines;
    }
    send(session, "marker", json!({"label": format!("{total} lines")})).await?;
    send(session, "session.ended", json!({"reason": "completed"})).await
}

/// The id is made before the first attempt: an event that is sent again is there once.
async fn send(session: &str, kind: &str, data: Value) -> anyhow::Result<()> {
    let url = std::env::var("KULTI_URL")? + "/v1/events";
    let event =
        json!({"id": Uuid::now_v7(), "session": session, "agent": "counter-rs", "kind": kind, "data": data});
    let post = || reqwest::Client::new().post(&url).json(&event).send();
    let answer = match post().await {
        Ok(answer) if !answer.status().is_server_error() => answer,
        _ => post().await?,
    };
    answer.error_for_status()?;
    Ok(())
}
