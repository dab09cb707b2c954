//! `kulti replay`: a recorded session again, at the pace it happened or faster.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::args::ServerArguments;
use crate::client::connect;
use crate::commands::tail::describe;
use crate::environment::Environment;
use crate::output::{Paint, note, print_bytes, print_line};
use crate::pacing::{Pacer, Speed};
use crate::player;
use crate::rendering::{RenderOptions, Renderer};
use crate::watch_client::{Start, Update, Watcher};

/// Idle time longer than this is cut.
const IDLE_CAP: Duration = Duration::from_secs(2);
/// What is read ahead while the replay waits; then the connection is let go until half of it was shown.
const AHEAD_BYTES: usize = 32 << 20;

/// Flags of `kulti replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti replay SESSION --speed 4\n  kulti replay SESSION --json > session.ndjson"
)]
pub(crate) struct ReplayArguments {
    /// The session
    session: String,
    /// How many times as fast as it happened, or max; idle time over 2 s is cut
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// Where to begin: start or a position
    #[arg(long, value_name = "start|POSITION", default_value = "start", value_parser = recorded_start)]
    from: Start,
    /// One event per line, as JSON, exactly as received, without waiting
    #[arg(long, conflicts_with = "speed")]
    json: bool,
    /// Pass the terminal's bytes through as they are: only for sessions that you trust
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Line by line on a terminal too, instead of the player
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    server: ServerArguments,
}

fn recorded_start(text: &str) -> Result<Start, String> {
    match text.parse() {
        Ok(Start::Live) | Err(_) => Err("start or a position (1, 2, 3, ...)".to_owned()),
        Ok(start) => Ok(start),
    }
}

impl ReplayArguments {
    /// True on a terminal that can be drawn on and has a keyboard.
    fn wants_player(&self, environment: &Environment) -> bool {
        let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        is_terminal
            && environment.get("TERM").is_none_or(|name| name != "dumb")
            && !(self.json || self.raw || self.lines)
    }
}

/// Shows the session to its end, or to now if it has none yet.
pub(crate) async fn run(arguments: ReplayArguments, environment: &Environment) -> anyhow::Result<()> {
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    if arguments.wants_player(environment) {
        let (from, after) = match arguments.from {
            Start::After(position) => (Start::Beginning, position),
            from => (from, 0),
        };
        let options = player::Options {
            speed: arguments.speed,
            after,
            colours: Paint::for_stdout(environment).is_on(),
        };
        return player::play(Watcher::new(client, arguments.session, from), options).await;
    }
    let watcher = Watcher::new(client, arguments.session.clone(), arguments.from);
    let speed = if arguments.json {
        Speed::Max
    } else {
        arguments.speed
    };
    let options = RenderOptions {
        paint: Paint::for_stdout(environment),
        raw: arguments.raw,
        times: false,
    };
    let mut renderer = Renderer::new(options);
    let (mut pacer, mut due) = (Pacer::default(), Instant::now());
    let mut ahead = read_ahead(watcher);
    while let Some((update, _room)) = ahead.recv().await {
        match update? {
            Update::Event(event) if arguments.json => print_line(&event.json)?,
            Update::Event(event) => {
                if let (Speed::Times(_), Ok(view)) = (speed, event.view()) {
                    // From when it was due, not from when it was shown: small delays do not add up.
                    due = due.max(Instant::now() - IDLE_CAP) + pacer.step(&view.moment(), speed, IDLE_CAP);
                    tokio::time::sleep_until(due).await;
                }
                print_bytes(&renderer.render(&event))?;
            }
            Update::CaughtUp => {
                print_bytes(&renderer.finish())?;
                note(&format!(
                    "the session is still live: `kulti tail {}` follows it",
                    arguments.session
                ));
                return Ok(());
            }
            Update::Ended => break,
            gap @ Update::Gap { .. } => {
                print_bytes(&renderer.finish())?;
                note(&describe(&gap));
            }
            other => note(&describe(&other)),
        }
    }
    Ok(print_bytes(&renderer.finish())?)
}

/// An update, and the room it takes until it was shown.
type Ahead = (anyhow::Result<Update>, Option<tokio::sync::OwnedSemaphorePermit>);

/// Reads on while the replay waits, so that a slow replay does not look like a dead viewer.
fn read_ahead(mut watcher: Watcher) -> mpsc::Receiver<Ahead> {
    let (sender, receiver) = mpsc::channel(100_000);
    let room = Arc::new(Semaphore::new(AHEAD_BYTES));
    tokio::spawn(async move {
        loop {
            let update = watcher.next().await;
            let ends = !matches!(
                update,
                Ok(Update::Event(_) | Update::Gap { .. } | Update::Lost { .. } | Update::Back)
            );
            let taken = match &update {
                Ok(Update::Event(event)) => take_room(&room, event.json.len(), &mut watcher).await,
                _ => None,
            };
            if sender.send((update, taken)).await.is_err() || ends {
                return;
            }
        }
    });
    receiver
}

async fn take_room(
    room: &Arc<Semaphore>,
    bytes: usize,
    watcher: &mut Watcher,
) -> Option<tokio::sync::OwnedSemaphorePermit> {
    let bytes = u32::try_from(bytes.min(AHEAD_BYTES / 2)).unwrap_or(u32::MAX);
    if let Ok(taken) = room.clone().try_acquire_many_owned(bytes) {
        return Some(taken);
    }
    watcher.disconnect();
    let half = u32::try_from(AHEAD_BYTES / 2).unwrap_or(u32::MAX);
    let mut taken = room.clone().acquire_many_owned(half).await.ok()?;
    // Keeps what this event takes, gives the rest back.
    let kept = taken.split(bytes as usize);
    drop(taken);
    kept
}
