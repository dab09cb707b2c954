//! `kulti erase`: a session that is nowhere any more.

use clap::Args;
use kulti_schemas::SessionId;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::ServerArguments;
use crate::client::connect;
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{note, print_line};
use crate::session_list::SessionEntry;
use crate::terminal_text::clean_line;

/// Flags of `kulti erase`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kulti erase SESSION --yes\n\nWithout --yes it says what it would erase. It cannot be taken back."
)]
pub(crate) struct EraseArguments {
    /// The session
    session: String,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// What became of it, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize, Serialize)]
struct Answer {
    session: String,
    event: String,
    applied: bool,
    log: LogCopy,
}

#[derive(Deserialize, Serialize)]
struct LogCopy {
    kept: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Erases it, or says what it would erase.
pub(crate) async fn run(arguments: EraseArguments, environment: &Environment) -> anyhow::Result<()> {
    let EraseArguments {
        session,
        yes,
        json,
        server,
    } = arguments;
    SessionId::parse(&session).map_err(|error| usage(format!("`{session}` is no session: {error}")))?;
    let client = connect(server.url.as_deref(), environment).await?;
    let url = client.url(&["v1", "sessions", &session]);
    if !yes {
        let entry: SessionEntry = client.json(client.request(Method::GET, url)).await?;
        if json {
            return Ok(print_line(
                json!({"session": session, "done": false, "events": entry.events}),
            )?);
        }
        let title = entry.title.or(entry.task).unwrap_or_default();
        note(&format!(
            "would erase {session} of {}, {} events: {}; --yes does it, for good",
            clean_line(&entry.agent, 64),
            entry.events,
            clean_line(&title, 80)
        ));
        return Ok(());
    }
    let answer: Answer = client.json(client.request(Method::DELETE, url)).await?;
    if json {
        print_line(serde_json::to_string(&answer)?)?;
    } else {
        print_line(format!("{session} is erased"))?;
        note(&match (answer.log.kept.as_str(), &answer.log.until) {
            ("forever", _) => "its copy in the log stays: the topic keeps its records for ever".to_owned(),
            ("until", Some(until)) => {
                format!("its copy in the log goes when its retention has passed, at {until}")
            }
            _ => "how long the log keeps its copy is not known: no broker said so".to_owned(),
        });
    }
    anyhow::ensure!(
        answer.applied,
        "the erasure is in the log, but the server's tables have not followed yet"
    );
    Ok(())
}
