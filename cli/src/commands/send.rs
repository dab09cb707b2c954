//! `kulti send`: one event from the command line, or many as NDJSON from standard input.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use self::lines::{Defaults, complete};
use self::report::{Count, Report};
use crate::args::ServerArguments;
use crate::client::connect;
use crate::environment::Environment;
use crate::failure::{Failure, usage};
use crate::output::{Paint, note_retry};
use kulti_runner::sender::{BATCH_BYTES, BATCH_EVENTS, OutgoingEvent, Sender};

mod lines;
mod report;

/// A line longer than this is no event: the server takes 1 MiB.
const LONGEST_LINE: usize = 16 << 20;

/// Flags of `kulti send`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti send --session s1 thought \"The test fails because of the time zone\"\n  \
    kulti send --session s1 --kind progress --data '{\"title\":\"build\",\"done\":3,\"total\":7}'\n  \
    kulti send --session s1 - < events.ndjson"
)]
pub(crate) struct SendArguments {
    /// The kind of the event (thought, terminal.output, ...), or - for NDJSON from standard input
    #[arg(value_name = "KIND|-", required_unless_present = "kind")]
    what: Option<String>,
    /// The event's text: a thought's content, a command, output, a status, ...
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// The session [env: KULTI_SESSION]; events on standard input may name their own
    #[arg(long, short)]
    session: Option<String>,
    /// The agent [env: KULTI_AGENT] [default: the repository's or folder's name]
    #[arg(long, short)]
    agent: Option<String>,
    /// The kind, where there is no text
    #[arg(long, conflicts_with = "what")]
    kind: Option<String>,
    /// The event's data, a JSON object; TEXT is added to it
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// The event's id, a UUID of version 7 or 8 [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// Give up when the server takes nothing for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// One result per line, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Sends, prints the results, and fails if one event was not accepted.
pub(crate) async fn run(arguments: SendArguments, environment: &Environment) -> anyhow::Result<()> {
    let defaults = Defaults {
        session: arguments
            .session
            .clone()
            .or_else(|| environment.get("KULTI_SESSION").map(str::to_owned)),
        agent: arguments.agent.clone().or_else(|| environment.agent_name()),
    };
    let from_stdin = arguments.what.as_deref() == Some("-");
    let single = if from_stdin {
        None
    } else {
        Some(single_event(&arguments, &defaults)?)
    };
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    let sender = Sender::new(&client, Duration::from_secs(arguments.patience), &note_retry);
    let mut report = Report {
        json: arguments.json,
        each: !from_stdin,
        paint: Paint::for_stdout(environment),
        count: Count::default(),
    };
    match single {
        Some(event) => report.results(sender.send(&[event]).await?)?,
        None => {
            let input = BufReader::with_capacity(1 << 16, tokio::io::stdin());
            send_lines(input, &defaults, &sender, &mut report).await?;
            report.total()?;
        }
    }
    if report.count.rejected + report.count.undecided > 0 {
        Err(Failure::Reported.into())
    } else {
        Ok(())
    }
}

fn single_event(arguments: &SendArguments, defaults: &Defaults) -> anyhow::Result<OutgoingEvent> {
    let kind = arguments
        .what
        .as_deref()
        .or(arguments.kind.as_deref())
        .unwrap_or_default();
    if defaults.session.is_none() {
        return Err(usage("name the session with --session or KULTI_SESSION"));
    }
    let mut data: Map<String, Value> = match &arguments.data {
        Some(json) => {
            serde_json::from_str(json).map_err(|error| usage(format!("--data is no JSON object: {error}")))?
        }
        None => Map::new(),
    };
    if let Some(text) = &arguments.text {
        add_text(kind, text, &mut data)?;
    }
    let mut event = json!({"kind": kind, "data": data});
    if let Some(id) = &arguments.id {
        event["id"] = json!(id);
    }
    complete(&event.to_string(), defaults).map_err(usage)
}

/// Puts the text where the kind has it.
fn add_text(kind: &str, text: &str, data: &mut Map<String, Value>) -> anyhow::Result<()> {
    let field = match kind {
        "thought" | "message.completed" | "memory" => "content",
        "terminal.command" => "command",
        "terminal.output" | "message.delta" => "text",
        "session.started" => "task",
        "session.updated" | "progress" => "title",
        "session.ended" => "reason",
        "status.changed" => "status",
        "error" => "message",
        "marker" => "label",
        "preview.opened" => "url",
        other => {
            return Err(usage(format!(
                "{other} has no single text: give --kind {other} --data JSON"
            )));
        }
    };
    data.insert(field.to_owned(), json!(text));
    if kind == "message.completed" {
        data.entry("message")
            .or_insert_with(|| json!(uuid::Uuid::now_v7()));
        data.entry("role").or_insert_with(|| json!("assistant"));
    }
    Ok(())
}

/// Sends what is there as soon as the input pauses, so that a pipe into `send` is live.
async fn send_lines(
    mut input: impl AsyncBufRead + Unpin,
    defaults: &Defaults,
    sender: &Sender<'_>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut batch, mut bytes, mut number) = (Vec::new(), 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = read_line(&mut input, &mut line).await?;
        if read {
            number += 1;
            match std::str::from_utf8(&line) {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => match complete(text, defaults) {
                    Ok(event) => {
                        bytes += event.json.len();
                        batch.push(event);
                    }
                    Err(reason) => report.unreadable(number, &reason)?,
                },
                Err(_) => report.unreadable(number, "the line is not UTF-8")?,
            }
        }
        let pauses = batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES && !has_line(&mut input).await;
        if !read || pauses || batch.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
            report.results(sender.send(&batch).await?)?;
            batch.clear();
            bytes = 0;
        }
        if !read {
            return Ok(());
        }
    }
}

/// Reads a line; false at the end. What is longer than an event can be is cut, so that memory stays bounded; such
/// a line is no JSON any more and is reported.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut any = false;
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        let room = LONGEST_LINE.saturating_sub(line.len());
        line.extend_from_slice(&available[..taken.min(room)]);
        input.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Whether more input is there already.
async fn has_line(input: &mut (impl AsyncBufRead + Unpin)) -> bool {
    let wait = tokio::time::timeout(Duration::from_millis(5), input.fill_buf());
    matches!(wait.await, Ok(Ok(available)) if !available.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_where_the_kind_has_it() {
        let mut data = Map::new();
        add_text("thought", "why", &mut data).expect("a thought has a text");
        assert_eq!(Value::Object(data), json!({"content": "why"}));
        let error = add_text("tool.started", "x", &mut Map::new()).expect_err("no single text");
        assert!(error.to_string().contains("--data"));
    }

    #[tokio::test]
    async fn a_last_line_without_an_end_counts() {
        let mut input = BufReader::new(&b"one\ntwo"[..]);
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while read_line(&mut input, &mut line).await.expect("read") {
            lines.push(std::mem::take(&mut line));
        }
        assert_eq!(lines, [b"one\n".to_vec(), b"two".to_vec()]);
    }
}
