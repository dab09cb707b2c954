//! One run: a command under a pseudo-terminal, recorded and sent.

use std::convert::Infallible;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use kulti_masking::Masker;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::signals::Signals;
use crate::client::Client;
use crate::folder::{RunFile, RunFolder, RunLock, StatusFile};
use crate::frame::Frame;
use crate::pty::{Input, Pty, Size, signal_command};
use crate::recorder::{Recorder, Recording, Tally};
use crate::relay::{Screen, relay_input, relay_output};
use crate::spool::{Spool, SpoolSize};
use crate::terminal;
use crate::tool::records::Whose;
use crate::tool::tap::Printed;
use crate::tool::{Following, Preparing};
use crate::upload::{Progress, Sent, upload};

mod signals;

/// How long the last output of a command may take to come after it has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Between asking a command that hangs to end and making it.
const GRACE: Duration = Duration::from_secs(10);

/// What to run, and as whom.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The session, agent and producer.
    pub frame: Frame,
    /// The command and its arguments; at least the command.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Variables that are added to its environment.
    pub variables: Vec<(String, String)>,
    /// For `session.started`.
    pub about: Value,
    /// Nobody is at the terminal: the command has one of its own, and nothing is shown.
    pub detached: bool,
    /// Bytes that the spool may take.
    pub spool_limit: u64,
    /// A command that prints nothing for so long is taken for hung, and ended.
    pub silence_limit: Duration,
    /// What counts as a secret.
    pub masker: Masker,
    /// For tools that tell more than they print.
    pub tools: ToolOptions,
}

/// What tools need that tell more than they print.
#[derive(Debug, Clone, Default)]
pub struct ToolOptions {
    /// Where Claude Code keeps its sessions: `~/.claude/projects`.
    pub claude_projects: Option<PathBuf>,
    /// The command that hands what a hook is given to a socket, whose path is added to it.
    pub hook_relay: Vec<String>,
}

/// A run that has begun.
pub struct Run {
    options: RunOptions,
    file: RunFile,
    folder: RunFolder,
    lock: RunLock,
    spool: Arc<Spool>,
    recorder: Recorder,
    recording: Recording,
    following: Following,
    pty: Arc<Pty>,
    child: Child,
    begun: Instant,
    interactive: bool,
    size: Size,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code that the command has for a shell: 128 and the signal if one ended it.
    pub code: u8,
    /// How long it took.
    pub took: Duration,
    /// What happened, in numbers.
    pub tally: Tally,
    /// Events that are still in the spool; whoever drains the left-over runs sends them.
    pub unsent: u64,
    /// What stands in the way of sending, if anything does.
    pub problem: Option<String>,
}

impl Run {
    /// Makes the run's folder and spool, and starts the command.
    ///
    /// # Errors
    /// If the folder cannot be written, somebody else works in it, or the command cannot be started.
    pub fn start(runs: &std::path::Path, server: &Client, options: RunOptions) -> io::Result<Run> {
        let folder = RunFolder::of(runs, &options.frame.session);
        let Some(lock) = folder.lock()? else {
            return Err(io::Error::other("another process records this session"));
        };
        let (spool, found) = Spool::open(folder.path(), options.frame.clone(), options.spool_limit)?;
        let earlier = folder.read().map_or(0, |run| run.generation);
        let generation = earlier.max(found.last.generation) + 1;
        let file = RunFile {
            frame: options.frame.clone(),
            generation,
            url: server.base().to_owned(),
            command: options
                .command
                .iter()
                .map(|word| masked(&options.masker, word))
                .collect(),
            folder: options.folder.clone(),
            started_at: Utc::now(),
            pid: std::process::id(),
            tool_session: folder.read().ok().and_then(|run| run.tool_session),
            finished: false,
        };
        let interactive = !options.detached && terminal::is_interactive();
        let size = terminal::size().unwrap_or_default();
        let modes = if interactive { terminal::modes() } else { None };
        let input = match interactive || options.detached {
            true => Input::Terminal,
            false => Input::Inherited,
        };
        let preparing = Preparing::of(&options, &folder);
        let command = command_of(&options, preparing.arguments());
        let spawned = Pty::spawn(command, size, modes.as_ref(), input);
        if spawned.is_err() && !options.detached && folder.read().is_err() {
            // Nothing ever ran in it; in the background, whoever started us reads its log first. If it cannot be
            // removed, it is an empty folder.
            std::fs::remove_dir_all(folder.path()).ok();
        }
        let (pty, child) = spawned?;
        folder.write(&file)?;
        let spool = Arc::new(spool);
        let (recorder, recording) = Recorder::start(
            Arc::clone(&spool),
            options.frame.clone(),
            generation,
            options.masker.clone(),
        )?;
        recorder.happened("session.started", options.about.clone());
        recorder.resized(size);
        // Of a terminal that draws its own screen nobody writes the command above it.
        recorder.happened("terminal.output", json!({"text": "", "stream": "pty"}));
        recorder.happened("status.changed", json!({"status": "running"}));
        recorder.happened(
            "terminal.command",
            json!({"command": shown(&options.command), "cwd": options.folder}),
        );
        let whose = Whose {
            folder: folder.clone(),
            file: file.clone(),
            recorder: recorder.clone(),
            masker: options.masker.clone(),
            has_task: options.about.get("task").is_some(),
        };
        let following = preparing.follow(whose)?;
        Ok(Run {
            options,
            file,
            folder,
            lock,
            spool,
            recorder,
            recording,
            following,
            pty: Arc::new(pty),
            child,
            begun: Instant::now(),
            interactive,
            size,
        })
    }

    /// Passes everything on until the command has ended, and sends meanwhile. Then waits a little for what is still
    /// to be sent.
    ///
    /// # Errors
    /// If the system has no thread or descriptor left.
    pub async fn finish(self, client: &Client) -> io::Result<Ended> {
        let (progress, closing) = (Progress::default(), CancellationToken::new());
        let Run {
            folder, spool, begun, ..
        } = &self;
        let (folder, spool, begun) = (folder.clone(), Arc::clone(spool), *begun);
        let uploading = upload(&spool, client, &progress, &closing);
        let reporting = report(&folder, &spool, &progress);
        tokio::pin!(uploading, reporting);
        let passing = self.pass_on();
        let passed = tokio::select! {
            passed = passing => passed?,
            () = &mut uploading => return Err(io::Error::other("sending ended before the command")),
            () = &mut reporting => return Err(io::Error::other("reporting ended before the command")),
        };
        closing.cancel();
        let patience = (begun.elapsed() / 20).clamp(Duration::from_millis(300), Duration::from_secs(5));
        let all_is_sent = tokio::time::timeout(patience, &mut uploading).await.is_ok();
        let status = StatusFile::of(spool.size(), progress.now());
        if all_is_sent {
            folder.finish(passed.file, &status)?;
        } else {
            folder.write_status(&status)?;
        }
        drop(passed.lock);
        Ok(Ended {
            code: exit_code(passed.status),
            took: passed.took,
            tally: passed.tally,
            unsent: status.unsent,
            problem: status.sent.problem,
        })
    }

    async fn pass_on(self) -> io::Result<Passed> {
        let Run {
            options,
            file,
            lock,
            spool: _,
            folder: _,
            recorder,
            recording,
            following,
            pty,
            mut child,
            begun,
            interactive,
            size,
        } = self;
        let raw = match (interactive, terminal::modes()) {
            (true, Some(modes)) => Some(terminal::RawMode::enter(modes)?),
            _ => None,
        };
        let pid = child.id();
        let screen = match (options.detached, interactive) {
            (true, _) => Screen::Nowhere,
            (false, true) => Screen::Terminal,
            (false, false) if std::io::IsTerminal::is_terminal(&io::stdout()) => Screen::Terminal,
            (false, false) => Screen::Plain,
        };
        let gone = move || signal_command(pid, Signal::PIPE);
        let heard = Printed::new(recorder.clone(), following.printed_records());
        let printed = relay_output(pty.output()?, screen, heard, gone)?;
        let (stopped, stop) = io::pipe()?;
        let typed = match interactive {
            true => Some(relay_input(pty.keyboard()?, stopped)?),
            false => None,
        };
        let signals = Signals::new()?;
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        let is_hung = AtomicBool::new(false);
        let hung = silence(&recorder, options.silence_limit, pid, &is_hung);
        let status = tokio::select! {
            status = waiting => status.map_err(io::Error::other)??,
            never = signals.forward(&pty, pid, &recorder, size) => match never {},
            never = hung => match never {},
        };
        let took = begun.elapsed();
        drop(stop);
        // What was printed last is still on its way from the terminal.
        let last_output = tokio::task::spawn_blocking(move || printed.join());
        if tokio::time::timeout(LAST_OUTPUT, last_output).await.is_err() {
            tracing::warn!(
                "something that the command started keeps its terminal; what it prints is not recorded"
            );
        }
        if let Some(typed) = typed {
            // It ends at once: `stop` is closed.
            tokio::task::spawn_blocking(move || typed.join()).await.ok();
        }
        drop(raw);
        let file = tokio::task::spawn_blocking(move || following.finish(file))
            .await
            .map_err(io::Error::other)?;
        let ending = ending(status, is_hung.into_inner());
        recorder.happened("terminal.exited", json!({"code": exit_code(status)}));
        recorder.happened("session.ended", ending);
        recorder.close();
        let tally = tokio::task::spawn_blocking(move || recording.join())
            .await
            .map_err(io::Error::other)?
            .unwrap_or_default();
        Ok(Passed {
            status,
            took,
            tally,
            file,
            lock,
        })
    }
}

/// What is left of a run whose command has ended.
struct Passed {
    status: ExitStatus,
    took: Duration,
    tally: Tally,
    file: RunFile,
    lock: RunLock,
}

/// Secrets are also given as arguments.
fn masked(masker: &Masker, word: &str) -> String {
    masker.mask_text(word).text.into_owned()
}

fn command_of(options: &RunOptions, before_its_own: &[String]) -> Command {
    let mut command = Command::new(options.command.first().map_or("", String::as_str));
    command.args(before_its_own);
    command.args(options.command.iter().skip(1));
    command.current_dir(&options.folder);
    command.envs(options.variables.iter().map(|(name, value)| (name, value)));
    command
}

/// The command as one would type it.
pub fn shown(command: &[String]) -> String {
    let word = |word: &String| {
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "_-./:=@%+,".contains(character);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Ends a command that has printed nothing for too long. Runs until the command has ended.
async fn silence(recorder: &Recorder, limit: Duration, pid: u32, is_hung: &AtomicBool) -> Infallible {
    loop {
        let silent = recorder.silent_for();
        if silent < limit {
            tokio::time::sleep(limit - silent).await;
            continue;
        }
        is_hung.store(true, Ordering::Relaxed);
        let seconds = limit.as_secs();
        recorder.happened(
            "error",
            json!({"message": format!("the command printed nothing for {seconds} s and is taken for hung"),
                "code": "command_hung", "fatal": true}),
        );
        signal_command(pid, Signal::TERM);
        tokio::time::sleep(GRACE).await;
        signal_command(pid, Signal::KILL);
        std::future::pending::<()>().await;
    }
}

/// Why the session is over.
fn ending(status: ExitStatus, hung: bool) -> Value {
    let reason = match (status.code(), status.signal()) {
        _ if hung => "timeout",
        (Some(0), _) => "completed",
        // As shells say it: 128 and the number of the signal.
        (Some(129 | 130 | 143), _) | (_, Some(1 | 2 | 15)) => "cancelled",
        _ => "failed",
    };
    match status.signal() {
        Some(signal) => json!({"reason": reason, "result": {"signal": signal}}),
        None => json!({"reason": reason, "result": {"exit_code": status.code()}}),
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Writes down how the sending goes, for `kulti run --status`.
async fn report(folder: &RunFolder, spool: &Spool, progress: &Progress) {
    let mut written: Option<(SpoolSize, Sent)> = None;
    loop {
        let now = (spool.size(), progress.now());
        if written.as_ref() != Some(&now) {
            let status = StatusFile::of(now.0, now.1.clone());
            if let Err(error) = folder.write_status(&status) {
                tracing::warn!(%error, "the status cannot be written");
            }
            written = Some(now);
        }
        tokio::time::sleep(STATUS_EVERY).await;
    }
}
