//! `kulti tail`: a session, or whatever an agent does, as it happens.

use clap::Args;

use crate::args::ServerArguments;
use crate::client::Client;
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{Paint, note, print_bytes, print_line};
use crate::rendering::{RenderOptions, Renderer};
use crate::watch_client::{Start, Target, Update, Watcher};

/// Flags of `kulti tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti tail --agent nex\n  kulti tail SESSION --from start --json | jq -r .kind"
)]
pub(crate) struct TailArguments {
    /// The session
    #[arg(conflicts_with = "agent")]
    session: Option<String>,
    /// Follow this agent from session to session [default: the repository's or folder's name]
    #[arg(long)]
    agent: Option<String>,
    /// Where to begin: live, start or a position
    #[arg(long, value_name = "live|start|POSITION", default_value = "live")]
    from: Start,
    /// One event per line, as JSON, exactly as received
    #[arg(long)]
    json: bool,
    /// Pass the terminal's bytes through as they are: only for sessions that you trust
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Watches until the session ends; an agent is followed until Ctrl-C.
pub(crate) async fn run(arguments: TailArguments, environment: &Environment) -> anyhow::Result<()> {
    let target = match (arguments.session, arguments.agent) {
        (Some(session), _) => Target::Session(session),
        (None, Some(agent)) => Target::Agent(agent),
        (None, None) => match environment.agent_name() {
            Some(agent) => Target::Agent(agent),
            None => return Err(usage("name a session or --agent")),
        },
    };
    let client = Client::connect(arguments.server.url.as_deref(), environment).await?;
    let follows = match &target {
        Target::Agent(agent) => {
            note(&format!("following {agent} at {}; Ctrl-C to stop", client.base()));
            true
        }
        Target::Session(_) => false,
    };
    let options = RenderOptions {
        paint: Paint::for_stdout(environment),
        raw: arguments.raw,
        times: true,
    };
    let mut renderer = Renderer::new(options);
    let mut watcher = Watcher::new(client, target, arguments.from);
    loop {
        match watcher.next().await? {
            Update::Event(event) if arguments.json => print_line(&event.json)?,
            Update::Event(event) => print_bytes(&renderer.render(&event))?,
            Update::Ended => {
                print_bytes(&renderer.finish())?;
                if !follows {
                    note("the session has ended");
                    return Ok(());
                }
                note("the session has ended; waiting for the next");
            }
            Update::CaughtUp => {}
            other => note(&describe(&other)),
        }
    }
}

/// What a person should know about the connection.
pub(crate) fn describe(update: &Update) -> String {
    match update {
        Update::Gap { from, to, reason } => format!("gap: positions {from} to {to} are missing: {reason}"),
        Update::Lost { reason, again_in } => {
            format!("{reason}; trying again in {:.1} s", again_in.as_secs_f64())
        }
        Update::Back => "connected again".to_owned(),
        Update::CaughtUp => "live from here on".to_owned(),
        Update::Ended => "the session has ended".to_owned(),
        Update::Event(event) => format!("event {}", event.position),
    }
}
