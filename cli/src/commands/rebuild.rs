//! `kulti rebuild`: the rows once more from the log.

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
        let RebuildProgress {
            partition,
            partitions,
            read,
            of,
        } = progress;
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            note(&format!(
                "partition {partition} of {partitions}: {read} of {of} records"
            ));
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
    for session in report.not_in_log.iter().take(LISTED) {
        note(&format!(
            "left as it is: {session} has events that the log no longer holds"
        ));
    }
    Ok(())
}
