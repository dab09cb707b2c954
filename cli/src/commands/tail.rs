//! `kulti tail`: a session, or whatever an agent does, as it happens.

use clap::Args;

use crate::agent_follower::{AgentFollower, Followed};
use crate::args::ServerArguments;
use crate::client::connect;
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{Paint, note, print_bytes, print_line};
use crate::rendering::{RenderOptions, Renderer};
use crate::terminal_text::clean;
use crate::watch_client::{Start, Update, Watcher};

/// Flags of `kulti tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti tail --agent nex\n  kulti tail SESSION --from start --json | jq -r .kind"
)]
pub(crate) struct TailArguments {
    /// The session
    #[arg(conflicts_with = "agent")]
    session: Option<String>,
    /// Follow this agent from session to session [env: KULTI_AGENT] [default: the repository's or folder's name]
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
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    let options = RenderOptions {
        paint: Paint::for_stdout(environment),
        raw: arguments.raw,
        times: true,
    };
    let mut screen = Screen {
        renderer: Renderer::new(options),
        json: arguments.json,
    };
    if let Some(session) = arguments.session {
        let mut watcher = Watcher::new(client, session, arguments.from);
        while screen.show(watcher.next().await?)? {}
        return Ok(());
    }
    let agent = arguments.agent.or_else(|| environment.agent_name());
    let agent = agent.ok_or_else(|| usage("name a session or --agent"))?;
    note(&format!(
        "following {} at {}; Ctrl-C to stop",
        clean(&agent),
        client.base()
    ));
    let mut follower = AgentFollower::new(client, agent, arguments.from);
    loop {
        match follower.next().await? {
            Followed::Update(update) => {
                screen.show(update)?;
            }
            Followed::Session(session) => {
                screen.end_line()?;
                note(&format!("session {}", clean(&session)));
            }
            Followed::Waiting => note("no session is live; waiting for the next"),
        }
    }
}

/// Where events are shown.
struct Screen {
    renderer: Renderer,
    json: bool,
}

impl Screen {
    /// Shows what happened; false after the end.
    fn show(&mut self, update: Update) -> anyhow::Result<bool> {
        match update {
            Update::Event(event) if self.json => print_line(&event.json)?,
            Update::Event(event) => print_bytes(&self.renderer.render(&event))?,
            Update::Ended => {
                self.end_line()?;
                note("the session has ended");
                return Ok(false);
            }
            Update::CaughtUp => {}
            other => {
                self.end_line()?;
                note(&describe(&other));
            }
        }
        Ok(true)
    }

    /// So that a note does not stand in the middle of the terminal's output.
    fn end_line(&mut self) -> anyhow::Result<()> {
        Ok(print_bytes(&self.renderer.finish())?)
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
