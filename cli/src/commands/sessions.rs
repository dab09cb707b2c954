//! `kulti sessions`: what the server has, live sessions first.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use crate::args::ServerArguments;
use crate::client::{Client, connect};
use crate::environment::Environment;
use crate::output::{Paint, note, print_line, table};
use crate::session_list::{SessionEntry, SessionsPage, sessions_page};
use crate::terminal_text::clean_line;

/// What the server gives at once, at the most.
const PAGE: usize = 1_000;

/// Flags of `kulti sessions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti sessions --status live\n  kulti sessions --agent nex --json | jq -r .id"
)]
pub(crate) struct SessionsArguments {
    /// Of this agent only
    #[arg(long)]
    agent: Option<String>,
    /// Only those that are live, quiet or ended
    #[arg(long)]
    status: Option<Status>,
    /// With this tag only
    #[arg(long)]
    tag: Option<String>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Not after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// At the most this many; 0 for all
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// One session per line, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Live,
    Quiet,
    Ended,
}

/// Prints the sessions.
pub(crate) async fn run(arguments: SessionsArguments, environment: &Environment) -> anyhow::Result<()> {
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    let limit = if arguments.limit == 0 {
        usize::MAX
    } else {
        arguments.limit
    };
    let (mut rows, mut cursor, mut left) = (Vec::new(), None, limit);
    loop {
        let page = page(&client, &arguments, left.min(PAGE), cursor).await?;
        for item in page.items.iter().take(left) {
            if arguments.json {
                print_line(item.get())?;
            } else {
                rows.push(row(&serde_json::from_str(item.get())?, Utc::now()));
            }
        }
        left = left.saturating_sub(page.items.len());
        cursor = page.next;
        if left == 0 || cursor.is_none() || page.items.is_empty() {
            break;
        }
    }
    if arguments.json {
        return Ok(());
    }
    if rows.is_empty() {
        note(&format!("no sessions at {}", client.base()));
        return Ok(());
    }
    let header = [
        "STATUS", "SESSION", "AGENT", "STARTED", "LENGTH", "EVENTS", "VIEWERS", "TITLE",
    ];
    print_line(table(&header, &rows, Paint::for_stdout(environment)))?;
    if cursor.is_some() {
        note("there are more: --limit 0 lists all");
    }
    Ok(())
}

async fn page(
    client: &Client,
    arguments: &SessionsArguments,
    limit: usize,
    cursor: Option<String>,
) -> anyhow::Result<SessionsPage> {
    let status = arguments
        .status
        .and_then(|status| status.to_possible_value())
        .map(|value| value.get_name().to_owned());
    let time = |time: Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339());
    let query = [
        ("limit", Some(limit.to_string())),
        ("cursor", cursor),
        ("agent", arguments.agent.clone()),
        ("status", status),
        ("tag", arguments.tag.clone()),
        ("from", time(arguments.from)),
        ("to", time(arguments.to)),
    ];
    let query: Vec<(&str, String)> = query
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    sessions_page(client, &query).await
}

fn row(session: &SessionEntry, now: DateTime<Utc>) -> Vec<String> {
    let title = session
        .title
        .as_deref()
        .or(session.task.as_deref())
        .unwrap_or_default();
    let length = (session.ended_at.unwrap_or(now) - session.started_at)
        .num_seconds()
        .max(0);
    vec![
        clean_line(&session.status, 10),
        clean_line(&session.id, 128),
        clean_line(&session.agent, 24),
        session
            .started_at
            .with_timezone(&chrono::Local)
            .format("%Y-%m-%d %H:%M")
            .to_string(),
        duration(length),
        session.events.to_string(),
        session.viewers.to_string(),
        clean_line(title, 60),
    ]
}

fn duration(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_and_exact() {
        assert_eq!(
            (duration(5), duration(65), duration(7_320)),
            ("5s".into(), "1m05s".into(), "2h02m".into())
        );
    }

    #[test]
    fn a_hostile_title_stays_on_its_line() {
        let json = r#"{"id":"s","agent":"a","title":"x\u001b[2J\ny","status":"live","started_at":"2026-01-01T00:00:00Z","events":3}"#;
        let session: SessionEntry = serde_json::from_str(json).expect("a session");
        assert_eq!(
            row(&session, session.started_at).last().map(String::as_str),
            Some("x y")
        );
    }
}
