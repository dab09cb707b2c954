//! `kulti run`: any command, live and recorded.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kulti_runner::client::Client;
use kulti_runner::folder::RunFolder;
use kulti_runner::frame::Frame;
use kulti_runner::leftovers;
use kulti_runner::run::{Run, RunOptions, ToolOptions, shown};
use kulti_runner::spool::DEFAULT_LIMIT;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::args::ServerArguments;
use crate::client::{connect, key_for, parse_url};
use crate::environment::Environment;
use crate::failure::{Failure, usage};
use crate::output::{Paint, note};
use crate::settings::masking_policy;
use crate::state::Folders;

mod background;
mod resume;
mod said;
mod status;

/// Flags of `kulti run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti run -- bash\n  kulti run --task \"Fix the time zones\" -- claude\n  kulti run --background --json -- make release\n  kulti run --status\n\nThe command runs in a terminal of its own and does not notice: not when the server is away, and not when it comes back. \
    What is not sent yet waits on disk ($XDG_STATE_HOME/kulti/runs) and is sent by a process in the background, or by the next `kulti run`. \
    The exit code is the command's; 127 if there is no such command."
)]
pub(crate) struct RunArguments {
    /// The command and its arguments; with --resume, what to say to the tool
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true,
        required_unless_present_any = ["status", "drain"])]
    command: Vec<String>,
    /// The agent [env: KULTI_AGENT] [default: the repository's or folder's name]
    #[arg(long, short)]
    agent: Option<String>,
    /// What it is to do
    #[arg(long)]
    task: Option<String>,
    /// The session's title [default: the command]
    #[arg(long)]
    title: Option<String>,
    /// Who may watch
    #[arg(long, value_enum, default_value_t = Visibility::Private)]
    visibility: Visibility,
    /// Return at once; the command goes on without this terminal
    #[arg(long)]
    background: bool,
    /// Go on with the session of a tool that can: `kulti run --resume SESSION "and now the tests"`
    #[arg(long, value_name = "SESSION")]
    resume: Option<String>,
    /// List the runs that are here, and how their sending goes
    #[arg(long, conflicts_with_all = ["drain", "background", "resume"])]
    status: bool,
    /// Send what earlier runs left, until all of it is sent
    #[arg(long, conflicts_with_all = ["background", "resume"])]
    drain: bool,
    /// Bytes that may wait on disk; beyond, the oldest unsent terminal output goes [env: KULTI_SPOOL_BYTES]
    #[arg(long, value_name = "BYTES")]
    spool_bytes: Option<u64>,
    /// Seconds without output after which the command is taken for hung, and ended
    #[arg(long, value_name = "SECONDS", default_value_t = 12 * 3600)]
    silence_limit: u64,
    /// Print no QR code
    #[arg(long)]
    no_qr: bool,
    /// What is said at the start and at the end, as JSON on standard error; with --background and --status on standard
    /// output
    #[arg(long)]
    json: bool,
    /// The session's id, from the process that put this one into the background
    #[arg(long, hide = true, value_name = "SESSION")]
    detached_session: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
}

/// Who may watch a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Visibility {
    Public,
    Unlisted,
    Private,
}

impl Visibility {
    fn name(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Unlisted => "unlisted",
            Visibility::Private => "private",
        }
    }
}

/// Runs the command, or does what else was asked for.
pub(crate) async fn run(arguments: RunArguments, environment: &Environment) -> anyhow::Result<()> {
    let runs = Folders::of(environment)
        .runs()
        .ok_or_else(|| usage("neither XDG_STATE_HOME nor HOME is set: there is no place for what waits"))?;
    if arguments.status {
        return status::print(&runs, arguments.json, Paint::for_stdout(environment));
    }
    let connect_to = |url: &str| connect_with_key(url, environment).map_err(|error| format!("{error:#}"));
    if arguments.drain {
        if arguments.detached_session.is_some() {
            background::leave_the_terminal();
        }
        let draining = leftovers::drain(&runs, &connect_to);
        let drained = tokio::time::timeout(background::PATIENCE, draining).await??;
        return status::print_drained(drained, arguments.json);
    }
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    if arguments.background {
        return background::start(&arguments, &client, &runs, environment).await;
    }
    let detached = arguments.detached_session.is_some();
    if detached {
        background::leave_the_terminal();
    }
    let options = options(&arguments, &client, &runs, environment)?;
    let session = options.frame.session.clone();
    let url = client.url(&["s", &session]).to_string();
    let program = options.command.first().cloned().unwrap_or_default();
    let run = match Run::start(&runs, &client, options) {
        Ok(run) => run,
        Err(error) => {
            note(&format!("error: cannot run `{program}`: {error}"));
            return Err(Failure::Exit(said::start_code(&error)).into());
        }
    };
    said::at_start(&arguments, &session, &url, detached)?;
    let ended = {
        // What earlier runs left is sent beside; it may take longer than this one.
        let draining = async {
            if let Err(error) = leftovers::drain(&runs, &connect_to).await {
                tracing::warn!(%error, "what earlier runs left cannot be read");
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            ended = run.finish(&client) => ended?,
            never = draining => match never {},
        }
    };
    let goes_on = leftovers::are_there_any(&runs) && background::drain(environment);
    said::at_end(&arguments, &session, &url, &ended, goes_on);
    match ended.code {
        0 => Ok(()),
        code => Err(Failure::Exit(code).into()),
    }
}

fn connect_with_key(url: &str, environment: &Environment) -> anyhow::Result<Client> {
    let base = parse_url(url)?;
    let key = key_for(&base, environment)?;
    Ok(Client::new(base, key)?)
}

fn options(
    arguments: &RunArguments,
    client: &Client,
    runs: &std::path::Path,
    environment: &Environment,
) -> anyhow::Result<RunOptions> {
    let (frame, command, folder): (Frame, Vec<String>, PathBuf) = match &arguments.resume {
        Some(session) => {
            let run = resume::read(runs, session)?;
            let command = resume::command(&run, &arguments.command)?;
            (run.frame, command, run.folder)
        }
        None => {
            let agent = arguments.agent.clone().or_else(|| environment.agent_name());
            let session = arguments.detached_session.clone().unwrap_or_else(new_session);
            let frame = Frame {
                producer: format!("kulti-run-{session}"),
                session,
                agent: agent.ok_or_else(|| usage("name the agent with --agent or KULTI_AGENT"))?,
            };
            (frame, arguments.command.clone(), environment.folder().to_owned())
        }
    };
    let variables = [
        ("KULTI_SESSION", frame.session.as_str()),
        ("KULTI_AGENT", frame.agent.as_str()),
        ("KULTI_URL", client.base()),
    ];
    Ok(RunOptions {
        about: about(arguments, &command),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        masker: masking_policy(environment)?.masker_for(&frame.agent),
        frame,
        command,
        folder,
        detached: arguments.detached_session.is_some(),
        spool_limit: spool_limit(arguments, environment)?,
        silence_limit: Duration::from_secs(arguments.silence_limit.max(1)),
        tools: ToolOptions {
            claude_projects: environment.claude_folder().map(|folder| folder.join("projects")),
            hook_relay: hook_relay(),
        },
    })
}

/// This program hands over what hooks are given.
fn hook_relay() -> Vec<String> {
    match std::env::current_exe() {
        Ok(program) => {
            let program = program.to_string_lossy().into_owned();
            vec![program, "hooks".to_owned(), "relay".to_owned()]
        }
        // Without hooks, then.
        Err(_) => Vec::new(),
    }
}

fn new_session() -> String {
    Uuid::now_v7().to_string()
}

/// The data of `session.started`. A session that is gone on with stays what it is, as far as nothing else is said.
fn about(arguments: &RunArguments, command: &[String]) -> Value {
    let mut about = json!({});
    if arguments.resume.is_none() {
        let title: String = shown(command).chars().take(120).collect();
        about = json!({"title": title, "visibility": arguments.visibility.name()});
    }
    if let Some(title) = &arguments.title {
        about["title"] = json!(title);
    }
    if let Some(task) = &arguments.task {
        about["task"] = json!(task);
    }
    about
}

fn spool_limit(arguments: &RunArguments, environment: &Environment) -> anyhow::Result<u64> {
    if let Some(bytes) = arguments.spool_bytes {
        return Ok(bytes);
    }
    match environment.get("KULTI_SPOOL_BYTES") {
        Some(text) => text
            .parse()
            .map_err(|_| usage(format!("KULTI_SPOOL_BYTES is no number of bytes: `{text}`"))),
        None => Ok(DEFAULT_LIMIT),
    }
}

fn folder_of(runs: &std::path::Path, session: &str) -> RunFolder {
    RunFolder::of(runs, session)
}
