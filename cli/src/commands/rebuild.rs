//! `kulti rebuild`: the rows once more from the log, and the segments from the rows.

use std::time::{Duration, Instant};

use clap::Args;
use kulti_consumers::replay::rebuild::{RebuildContext, RebuildProgress, rebuild};
use kulti_schemas::SessionId;
use serde_json::json;

use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{note, print_line};
use crate::settings::{ConfigArguments, Settings};

const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Sessions that are listed for people.
const LISTED: usize = 20;

/// Flags of `kulti rebuild`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti rebuild\n  kulti rebuild --session ID\n\nServers may run meanwhile. Broken off, a rebuild of all goes on where it was; until it is done it takes as much room in the database as the rows do."
)]
pub(crate) struct RebuildArguments {
    /// This session alone
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// What was found, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Rebuilds and says what was mended.
pub(crate) async fn run(arguments: RebuildArguments, environment: &Environment) -> anyhow::Result<()> {
    let session = arguments
        .session
        .as_deref()
        .map(|id| SessionId::parse(id).map_err(|error| usage(format!("`{id}` is no session: {error}"))))
        .transpose()?;
    let settings = Settings::load(&arguments.config, &[], environment)?;
    let context = RebuildContext {
        kafka: settings.kafka()?,
        pool: settings.database()?.connect().await?,
    };
    let (begun, mut told) = (Instant::now(), Instant::now());
    let progress = |progress: RebuildProgress| {
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            note(&progress_text(progress));
        }
    };
    let report = rebuild(&context, session.as_ref(), progress).await?;
    if arguments.json {
        let mended: Vec<_> = report
            .mended
            .iter()
            .map(|(session, rows)| json!({"session": session, "rows": rows}))
            .collect();
        print_line(
            json!({"sessions": report.sessions, "mended": mended, "not_in_log": report.not_in_log,
            "segments": report.segments.segments, "sealed_anew": report.segments.made_anew,
            "seconds": begun.elapsed().as_secs_f64()}),
        )?;
        return Ok(());
    }
    print_line(match report.mended.len() {
        0 => format!("{} sessions are what the log says", report.sessions),
        mended => format!(
            "{mended} of {} sessions were not what the log says; they are now",
            report.sessions
        ),
    })?;
    for (session, rows) in report.mended.iter().take(LISTED) {
        note(&format!("mended {session}: {rows} rows"));
    }
    let segments = &report.segments;
    print_line(format!(
        "{} segments of {} sessions are what their rows give",
        segments.segments,
        segments.sessions - segments.made_anew.len() as i64
    ))?;
    for session in segments.made_anew.iter().take(LISTED) {
        note(&format!("sealed anew: {session}"));
    }
    for session in report.not_in_log.iter().take(LISTED) {
        note(&format!(
            "left as it is: {session} has events that the log no longer holds"
        ));
    }
    Ok(())
}

fn progress_text(progress: RebuildProgress) -> String {
    match progress {
        RebuildProgress::Log {
            partition,
            partitions,
            read,
            of,
        } => format!("partition {partition} of {partitions}: {read} of {of} records"),
        RebuildProgress::Segments { sessions, of } => format!("segments of {sessions} of {of} sessions"),
    }
}
