//! `kulti redact`: hides parts of a session for everybody and for good.

use std::io::Read as _;

use anyhow::Context;
use clap::{ArgGroup, Args};
use kulti_schemas::{EventId, escape_pointer_token};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::args::ServerArguments;
use crate::client::{Client, connect};
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{Paint, note, print_line, table};
use crate::redaction::{Finder, Pattern, Target};
use crate::session_events::SessionEvents;

/// Places that one redaction names: its event stays far below 1 MiB.
const TARGETS_AT_ONCE: usize = 2_000;
const SPANS_AT_ONCE: usize = 20_000;

/// Flags of `kulti redact`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["event", "text"]))]
#[command(
    after_help = "Examples:\n  kulti redact SESSION --text - --yes < secret.txt\n  kulti redact SESSION --event ID --field /content --span 6-13 --yes\n\nWithout --yes it says what it would hide. What it looks for is sent nowhere."
)]
pub(crate) struct RedactArguments {
    /// The session
    session: String,
    /// This event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Of the event this field alone, as a JSON pointer into its data: /text
    #[arg(long, requires = "event", value_name = "POINTER")]
    field: Option<String>,
    /// Of the field these characters alone (bytes for base64), the second one not included; may be repeated
    #[arg(long, requires = "field", value_name = "A-B", value_parser = span)]
    span: Vec<(u64, u64)>,
    /// Wherever this is said; - reads it from standard input, so that it is in no shell's history
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    text: Option<String>,
    /// Why, for everybody to read
    #[arg(long)]
    reason: Option<String>,
    /// Do it; it cannot be taken back
    #[arg(long)]
    yes: bool,
    /// What is hidden, or would be, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize)]
struct Answer {
    event: String,
    applied: bool,
}

fn span(text: &str) -> Result<(u64, u64), String> {
    let parsed = text
        .split_once('-')
        .and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
    match parsed {
        Some((start, end)) if start < end => Ok((start, end)),
        _ => Err("two numbers, the second one greater: 6-13".to_owned()),
    }
}

/// Hides it, or says what it would hide.
pub(crate) async fn run(arguments: RedactArguments, environment: &Environment) -> anyhow::Result<()> {
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    let pattern = pattern(&arguments)?;
    let targets = match &pattern {
        Some(pattern) => find(&client, &arguments.session, pattern).await?,
        None => vec![named_target(&arguments)?],
    };
    if let (Some(pattern), Some(reason)) = (&pattern, &arguments.reason)
        && pattern.is_in(reason)
    {
        return Err(usage(
            "the reason says what is to be hidden, and everybody may read it",
        ));
    }
    let mut redactions = Vec::new();
    if arguments.yes {
        for targets in chunks(&targets) {
            redactions.push(send(&client, &arguments, targets).await?);
        }
    }
    report(&arguments, &targets, &redactions, environment)?;
    anyhow::ensure!(
        redactions.iter().all(|answer| answer.applied),
        "the redaction is in the log, but the server's tables have not followed yet"
    );
    if let (Some(pattern), false) = (&pattern, redactions.is_empty()) {
        let left = find(&client, &arguments.session, pattern).await?.len();
        anyhow::ensure!(
            left == 0,
            "{left} places came meanwhile: run it again, best when the session has ended"
        );
    }
    Ok(())
}

fn pattern(arguments: &RedactArguments) -> anyhow::Result<Option<Pattern>> {
    let Some(given) = &arguments.text else {
        return Ok(None);
    };
    let mut read = String::new();
    let text = if given == "-" {
        std::io::stdin()
            .read_to_string(&mut read)
            .context("standard input cannot be read")?;
        read.trim_end_matches(['\n', '\r'])
    } else {
        given
    };
    let pattern = Pattern::text(text).ok_or_else(|| usage("there is nothing to look for"))?;
    Ok(Some(pattern))
}

fn named_target(arguments: &RedactArguments) -> anyhow::Result<Target> {
    let event = arguments.event.clone().unwrap_or_default();
    EventId::parse(&event).map_err(|error| usage(error.to_string()))?;
    let pointer = |field: &String| match field.starts_with('/') {
        true => field.clone(),
        false => format!("/{}", escape_pointer_token(field)),
    };
    Ok(Target {
        event,
        field: arguments.field.as_ref().map(pointer),
        spans: (!arguments.span.is_empty()).then(|| arguments.span.clone()),
        position: 0,
        kind: String::new(),
    })
}

async fn find(client: &Client, session: &str, pattern: &Pattern) -> anyhow::Result<Vec<Target>> {
    let mut finder = Finder::new(pattern.clone());
    let mut events = SessionEvents::new(client, session)?;
    while let Some(page) = events.next_page().await? {
        for event in page {
            finder.take(event.get())?;
        }
    }
    Ok(finder.finish())
}

fn spans(target: &Target) -> usize {
    target.spans.as_ref().map_or(1, Vec::len)
}

fn chunks(targets: &[Target]) -> impl Iterator<Item = &[Target]> {
    let (mut events, mut places) = (1, 0);
    targets.chunk_by(move |before, next| {
        events += 1;
        places += spans(before);
        let fits = events <= TARGETS_AT_ONCE && places + spans(next) <= SPANS_AT_ONCE;
        if !fits {
            (events, places) = (1, 0);
        }
        fits
    })
}

async fn send(client: &Client, arguments: &RedactArguments, targets: &[Target]) -> anyhow::Result<Answer> {
    let mut body = json!({"events": targets});
    if let Some(reason) = &arguments.reason {
        body["reason"] = json!(reason);
    }
    let url = client.url(&["v1", "sessions", &arguments.session, "redactions"]);
    Ok(client.json(client.request(Method::POST, url).json(&body)).await?)
}

fn report(
    arguments: &RedactArguments,
    targets: &[Target],
    redactions: &[Answer],
    environment: &Environment,
) -> anyhow::Result<()> {
    let places: usize = targets.iter().map(spans).sum();
    if arguments.json {
        let ids: Vec<&str> = redactions.iter().map(|answer| answer.event.as_str()).collect();
        let line = json!({"session": arguments.session, "done": arguments.yes, "places": places,
            "events": targets, "redactions": ids});
        return Ok(print_line(line)?);
    }
    if targets.is_empty() {
        note("nothing of it is in the session");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = targets.iter().map(row).collect();
    let header = ["POSITION", "KIND", "PLACES", "LENGTH", "FIELD"];
    print_line(table(&header, &rows, Paint::for_stdout(environment)))?;
    note(&match arguments.yes {
        true => format!("hidden: {places} places in {} fields", targets.len()),
        false => format!(
            "would hide {places} places in {} fields; --yes does it, for good",
            targets.len()
        ),
    });
    Ok(())
}

fn row(target: &Target) -> Vec<String> {
    let length: Option<u64> = target
        .spans
        .as_ref()
        .map(|spans| spans.iter().map(|(start, end)| end - start).sum());
    let position = match target.position {
        0 => target.event.clone(),
        position => position.to_string(),
    };
    vec![
        position,
        target.kind.clone(),
        spans(target).to_string(),
        length.map_or_else(|| "all".to_owned(), |length| length.to_string()),
        target
            .field
            .clone()
            .unwrap_or_else(|| "the whole event".to_owned()),
    ]
}
