//! Goes on with a tool's own session.

use std::path::Path;

use kulti_runner::folder::{RunFile, RunFolder};

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
///
/// Each tool has its own way; a tool gets in here with the adapter that knows its session's name.
pub(super) fn command(run: &RunFile, words: &[String]) -> anyhow::Result<Vec<String>> {
    let program = run.command.first().map_or("", String::as_str);
    let name = Path::new(program)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let Some(tool_session) = &run.tool_session else {
        return Err(usage(format!(
            "`{program}` has not said what its session is called, so there is nothing to go on with"
        )));
    };
    let follow_up = words.join(" ");
    match name.as_deref() {
        Some("claude") => Ok(vec![
            program.to_owned(),
            "--resume".to_owned(),
            tool_session.clone(),
            "-p".to_owned(),
            follow_up,
        ]),
        Some("codex") => Ok(vec![
            program.to_owned(),
            "exec".to_owned(),
            "resume".to_owned(),
            tool_session.clone(),
            follow_up,
        ]),
        _ => Err(usage(format!(
            "how to go on with a session of `{program}` is not known"
        ))),
    }
}
