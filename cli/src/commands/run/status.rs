//! The runs that are on this machine.

use std::path::Path;

use chrono::Utc;
use kulti_runner::folder::{RunFile, RunFolder, StatusFile};
use kulti_runner::leftovers::Drained;
use kulti_runner::run::shown;
use serde_json::json;

use crate::output::{Paint, note, print_line, table};
use crate::terminal_text::clean_line;

/// Lists them, the newest last.
pub(super) fn print(runs: &Path, as_json: bool, paint: Paint) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for folder in RunFolder::all(runs)? {
        let Ok(run) = folder.read() else {
            note(&format!("{} cannot be read", folder.path().display()));
            continue;
        };
        let status = folder.status();
        let state = state(&folder, &run)?;
        if as_json {
            print_line(json!({
                "session": run.frame.session, "agent": run.frame.agent, "state": state, "url": run.url,
                "command": run.command, "started_at": run.started_at, "pid": run.pid,
                "spool_bytes": status.spool_bytes, "unsent": status.unsent, "lag_ms": lag_ms(&status),
                "sent": status.sent.accepted, "rejected": status.sent.rejected, "retried": status.sent.retried,
                "let_go": status.let_go, "problem": status.sent.problem,
            }))?;
        }
        rows.push(vec![
            run.frame.session.clone(),
            state.to_owned(),
            status.sent.accepted.to_string(),
            status.unsent.to_string(),
            status.spool_bytes.to_string(),
            status.sent.retried.to_string(),
            clean_line(&shown(&run.command), 40),
            clean_line(status.sent.problem.as_deref().unwrap_or_default(), 80),
        ]);
    }
    if as_json {
        return Ok(());
    }
    if rows.is_empty() {
        note("no runs here");
        return Ok(());
    }
    let header = [
        "SESSION", "STATE", "SENT", "UNSENT", "SPOOL", "RETRIED", "COMMAND", "PROBLEM",
    ];
    print_line(table(&header, &rows, paint))?;
    Ok(())
}

/// running: a process works on it; waiting: none does, and something is left; finished.
fn state(folder: &RunFolder, run: &RunFile) -> anyhow::Result<&'static str> {
    Ok(match run.finished {
        true => "finished",
        false if folder.lock()?.is_none() => "running",
        false => "waiting",
    })
}

fn lag_ms(status: &StatusFile) -> i64 {
    let since = status.sent.waiting_since;
    since.map_or(0, |since| (Utc::now() - since).num_milliseconds().max(0))
}

/// What `--drain` did.
pub(super) fn print_drained(drained: Drained, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        print_line(json!({"runs": drained.runs, "events": drained.events, "busy": drained.busy}))?;
        return Ok(());
    }
    let busy = match drained.busy {
        0 => String::new(),
        busy => format!("; {busy} are being recorded or sent by another process"),
    };
    print_line(format!(
        "sent what {} runs left: {} events{busy}",
        drained.runs, drained.events
    ))?;
    Ok(())
}
