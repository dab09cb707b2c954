//! The player of `kulti replay` on a terminal: the session's screen and thoughts, with keys to pause, seek and speed up.
//!
//! Owns the terminal while it runs, and gives it back however it ends. Events are read ahead onto a tape on disk.

mod keys;
mod playback;
mod tape;
mod view;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossterm::event::EventStream;
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use tokio::sync::watch;

use self::keys::{Asked, asked};
use self::playback::Playback;
use self::tape::Tape;
use self::view::{View, draw};
use crate::commands::tail::describe;
use crate::pacing::Speed;
use crate::watch_client::{Update, Watcher};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(33);

/// How the session is played.
pub(crate) struct Options {
    /// How fast it begins.
    pub(crate) speed: Speed,
    /// The last position that is passed over.
    pub(crate) after: i64,
    /// Colours are wanted.
    pub(crate) colours: bool,
}

/// What is known of the session beyond the tape.
#[derive(Debug, Clone, Default)]
struct Loaded {
    count: usize,
    /// The watcher has come to the end, or to what happens now.
    has_all: bool,
    has_ended: bool,
    /// What a person should know about the connection.
    note: Option<String>,
    failed: Option<String>,
}

/// Plays until somebody quits.
pub(crate) async fn play(mut watcher: Watcher, options: Options) -> anyhow::Result<()> {
    // What cannot be watched at all is said before the terminal is taken.
    let first = watcher.next().await?;
    let tape = Arc::new(Mutex::new(Tape::new()?));
    let (sender, loaded) = watch::channel(Loaded::default());
    let loading = tokio::spawn(load(watcher, first, Arc::clone(&tape), sender));
    let outcome = {
        let mut screen = Screen::take()?;
        run(&mut screen.terminal, &tape, loaded, &options).await
    };
    loading.abort();
    outcome
}

/// The terminal, until it is dropped.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn take() -> io::Result<Self> {
        Ok(Screen {
            terminal: ratatui::try_init()?,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn run(
    terminal: &mut DefaultTerminal,
    tape: &Mutex<Tape>,
    mut loaded: watch::Receiver<Loaded>,
    options: &Options,
) -> anyhow::Result<()> {
    let mut keys = EventStream::new();
    let mut playback = Playback::new(options.speed, Instant::now());
    let (mut after, mut shows_keys, mut is_loading) = (options.after, false, true);
    loop {
        let now = Instant::now();
        let state = loaded.borrow_and_update().clone();
        if let Some(reason) = state.failed {
            anyhow::bail!(reason);
        }
        let due = {
            let mut tape = lock(tape);
            if after > 0 && (state.has_all || state.count as i64 >= after) {
                let count = tape.count_up_to(std::mem::take(&mut after))?;
                playback.seek(count, &mut tape, now)?;
            }
            if after == 0 {
                playback.advance(&mut tape, now)?;
            }
            let view = View {
                workspace: &playback.workspace,
                shown: playback.count,
                count: tape.count(),
                time: playback.time(&tape, now),
                length: tape.length(),
                is_playing: playback.is_playing,
                speed: playback.speed,
                is_loading: !state.has_all,
                has_ended: state.has_ended,
                note: state.note.as_deref(),
                shows_keys,
                colours: options.colours,
            };
            terminal.draw(|frame| draw(frame, &view))?;
            if after == 0 {
                playback.next_due(&tape, now)
            } else {
                None
            }
        };
        // The clock moves on between two events too.
        let due = due.map(|due| due.clamp(now + FRAME, now + Duration::from_millis(500)));
        tokio::select! {
            key = keys.next() => match key.transpose()?.as_ref().map(asked) {
                // Without a keyboard nobody could ever quit.
                None | Some(Some(Asked::Quit)) => return Ok(()),
                Some(Some(Asked::Help)) => shows_keys = !shows_keys,
                Some(Some(Asked::Move(step))) => {
                    playback.apply(step, &mut lock(tape), Instant::now())?;
                }
                Some(Some(Asked::Redraw) | None) => {}
            },
            changed = loaded.changed(), if is_loading => {
                is_loading = changed.is_ok();
                // Events come in faster than they can be drawn.
                tokio::time::sleep(FRAME).await;
            }
            () = tokio::time::sleep_until(due.unwrap_or(now).into()), if due.is_some() => {}
        }
    }
}

/// Puts all that the watcher tells onto the tape.
async fn load(mut watcher: Watcher, first: Update, tape: Arc<Mutex<Tape>>, loaded: watch::Sender<Loaded>) {
    let mut update = Ok(first);
    loop {
        let mut ends = false;
        match update {
            Ok(Update::Event(event)) => {
                let pushed = {
                    let mut tape = lock(&tape);
                    tape.push(&event).map(|()| tape.count())
                };
                match pushed {
                    Ok(count) => loaded.send_modify(|loaded| {
                        loaded.count = count;
                        loaded.has_ended = false;
                    }),
                    Err(error) => {
                        loaded.send_modify(|loaded| loaded.failed = Some(error.to_string()));
                        ends = true;
                    }
                }
            }
            Ok(Update::CaughtUp) => loaded.send_modify(|loaded| loaded.has_all = true),
            Ok(Update::Ended) => {
                loaded.send_modify(|loaded| (loaded.has_all, loaded.has_ended) = (true, true));
                ends = true;
            }
            Ok(Update::Back) => loaded.send_modify(|loaded| loaded.note = None),
            Ok(other) => loaded.send_modify(|loaded| loaded.note = Some(describe(&other))),
            Err(error) => {
                loaded.send_modify(|loaded| loaded.failed = Some(format!("{error:#}")));
                ends = true;
            }
        }
        if ends {
            return;
        }
        update = watcher.next().await;
    }
}

/// Whoever panicked in between has ended the player already.
fn lock(tape: &Mutex<Tape>) -> MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}
