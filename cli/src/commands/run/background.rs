//! Runs that go on without a terminal: the command of `--background`, and the sending of what is left.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{RunArguments, folder_of, new_session};
use crate::client::Client;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{note, print_line};

/// How long a process tries to send what is left: after that it is the next run's.
pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Starts this program again, away from the terminal, and says where the session is as soon as its command runs.
pub(super) async fn start(
    arguments: &RunArguments,
    client: &Client,
    runs: &Path,
    environment: &Environment,
) -> anyhow::Result<()> {
    let session = arguments.resume.clone().unwrap_or_else(new_session);
    let folder = folder_of(runs, &session);
    // Makes the folder; the lock itself is the other process's to take.
    drop(folder.lock().context("cannot make the run's folder")?);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folder.log())
        .context("cannot make the run's log")?;
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .arg("run")
        .args(["--detached-session", &session, "--url", client.base()]);
    command.args(repeated(arguments));
    command.arg("--").args(&arguments.command);
    command.current_dir(environment.folder());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command
        .spawn()
        .context("cannot start the process in the background")?;
    let stdout = child.stdout.take().context("it has no output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let Some(line) = line else {
        // It ended before its command began, and has said why.
        let code = child
            .wait()
            .await?
            .code()
            .and_then(|code| u8::try_from(code).ok());
        note(
            std::fs::read_to_string(folder.log())
                .unwrap_or_default()
                .trim_end(),
        );
        if folder.read().is_err() {
            // Nothing ran in it.
            std::fs::remove_dir_all(folder.path()).ok();
        }
        return Err(Failure::Exit(code.unwrap_or(1)).into());
    };
    if arguments.json {
        print_line(line)?;
    } else {
        let about: Value = serde_json::from_str(&line)?;
        print_line(format!(
            "{} {}",
            session,
            about["url"].as_str().unwrap_or_default()
        ))?;
    }
    Ok(())
}

/// The flags that are the other process's too.
fn repeated(arguments: &RunArguments) -> Vec<String> {
    let mut flags = vec![
        format!("--visibility={}", arguments.visibility.name()),
        format!("--silence-limit={}", arguments.silence_limit),
    ];
    let optional = [
        ("agent", arguments.agent.clone()),
        ("task", arguments.task.clone()),
        ("title", arguments.title.clone()),
        ("resume", arguments.resume.clone()),
        (
            "spool-bytes",
            arguments.spool_bytes.map(|bytes| bytes.to_string()),
        ),
    ];
    flags.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some(format!("--{name}={}", value?))),
    );
    flags
}

/// In the process in the background: from here on no terminal's end or Ctrl-C reaches it.
pub(super) fn leave_the_terminal() {
    if let Err(error) = rustix::process::setsid() {
        note(&format!("it stays with the terminal: {error}"));
    }
    if let Err(error) =
        kulti_pipeline::telemetry::init_logging("warn", kulti_pipeline::config::LogFormat::Text)
    {
        note(&format!("without a log: {error:#}"));
    }
}

/// Starts a process that sends what is left, for as long as that takes; false if that is not possible.
pub(super) fn drain(environment: &Environment) -> bool {
    let Ok(program) = std::env::current_exe() else {
        return false;
    };
    Command::new(program)
        .args(["run", "--drain", "--detached-session", "drain"])
        // Where we are the last of a terminal, its end reaches everybody in our group, before they can leave it.
        .process_group(0)
        .current_dir(environment.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}
