//! Goes on with a tool's own session.

use std::path::Path;

use kulti_runner::folder::{RunFile, RunFolder};
use kulti_runner::tool;

use crate::failure::usage;

/// The run of a session.
pub(super) fn read(runs: &Path, session: &str) -> anyhow::Result<RunFile> {
    RunFolder::of(runs, session).read().map_err(|_| {
        usage(format!(
            "no run of session {session} is known here; `kulti run --status` lists them"
        ))
    })
}

/// The command that goes on with the run's tool, and says `words` to it.
pub(super) fn command(run: &RunFile, words: &[String]) -> anyhow::Result<Vec<String>> {
    let program = run.command.first().map_or("", String::as_str);
    let Some(session) = &run.tool_session else {
        return Err(usage(format!(
            "`{program}` has not said what its session is called, so there is nothing to go on with"
        )));
    };
    tool::resume(&run.command, session, words.join(" "))
        .ok_or_else(|| usage(format!("how to go on with a session of `{program}` is not known")))
}
