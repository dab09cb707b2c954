//! `kulti resend`: a recorded session through the real ingest again, as a new one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use kulti_schemas::SessionId;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::ServerArguments;
use crate::client::connect;
use crate::demo::{Recording, Rerun, play};
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{note, print_line};
use crate::pacing::Speed;
use crate::session_events::SessionEvents;
use crate::terminal_text::clean_line;

const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Flags of `kulti resend`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti resend SESSION --to http://staging.example:8080 --speed max\n  kulti resend SESSION --to http://127.0.0.1:8080 --speed 10\n\nEvents get new ids, also where their data names each other; times are as far apart as they were."
)]
pub(crate) struct ResendArguments {
    /// The session
    session: String,
    /// The server that gets it
    #[arg(long, value_name = "URL")]
    to: String,
    /// How many times as fast as it happened, or max
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// The new session's id [default: a fresh one]
    #[arg(long = "session", value_name = "ID")]
    new_session: Option<String>,
    /// What became of it, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Reads the session, and plays it to the other server.
pub(crate) async fn run(arguments: ResendArguments, environment: &Environment) -> anyhow::Result<()> {
    let from = connect(arguments.server.url.as_deref(), environment).await?;
    let to = connect(Some(&arguments.to), environment).await?;
    let mut rows = SessionEvents::new(&from, &arguments.session)?;
    let mut events = Vec::new();
    while let Some(page) = rows.next_page().await? {
        events.extend(page);
    }
    let recording = Recording::read_whole(&arguments.session, &events)?;
    drop(events);
    let rerun = match &arguments.new_session {
        None => Rerun::new(&recording),
        Some(id) => {
            SessionId::parse(id).map_err(|error| usage(format!("`{id}` is no session: {error}")))?;
            Rerun::named(&recording, id.clone())
        }
    };
    let url = to.url(&["s", rerun.session()]);
    note(&format!("{} events to {url}", recording.events.len()));
    let mut told = Instant::now();
    let played = play(
        &to,
        &recording,
        &rerun,
        arguments.speed,
        &CancellationToken::new(),
        |played| {
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                note(&format!("{} of {}", played.sent, recording.events.len()));
            }
        },
    )
    .await?;
    let mut left_out: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (kind, reason) in &played.left_out {
        *left_out.entry((kind, reason)).or_default() += 1;
    }
    for ((kind, reason), count) in left_out {
        note(&format!(
            "left out {count} {}: {}",
            clean_line(kind, 64),
            clean_line(reason, 200)
        ));
    }
    print_line(match arguments.json {
        true => json!({"session": rerun.session(), "sent": played.sent, "left_out": played.left_out.len(),
            "url": url.as_str()})
        .to_string(),
        false => url.to_string(),
    })?;
    Ok(())
}
