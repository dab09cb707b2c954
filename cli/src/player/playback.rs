//! Where a replay is, and how it moves: a function of the tape, the keys and the time that it is told.

use std::io;
use std::time::{Duration, Instant};

use kulti_session::Workspace;

use super::tape::Tape;
use crate::pacing::Speed;

/// Events that are applied between two looks at the keyboard.
const AT_ONCE: usize = 2_000;
const SLOWEST: f64 = 0.125;
const FASTEST: f64 = 64.0;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Move {
    /// Play, or pause.
    Toggle,
    /// So many seconds on, or back.
    Seconds(f64),
    /// So many events on, or back.
    Events(isize),
    /// To so many tenths of the whole.
    Tenth(u32),
    /// To the end; live if it has none.
    End,
    /// Twice as fast, or half.
    Faster(bool),
}

/// A replay.
pub(crate) struct Playback {
    /// The state that is shown.
    pub(crate) workspace: Workspace,
    /// How many events it is after.
    pub(crate) count: usize,
    /// It goes on by itself.
    pub(crate) is_playing: bool,
    /// How fast.
    pub(crate) speed: Speed,
    /// What was played at `since`.
    played: Duration,
    since: Instant,
}

impl Playback {
    /// Before the first event, playing.
    pub(crate) fn new(speed: Speed, now: Instant) -> Self {
        Playback {
            workspace: Workspace::new(),
            count: 0,
            is_playing: true,
            speed,
            played: Duration::ZERO,
            since: now,
        }
    }

    /// The time that is shown.
    pub(crate) fn time(&self, tape: &Tape, now: Instant) -> Duration {
        let passed = match (self.is_playing, self.speed) {
            (true, Speed::Times(times)) => {
                let seconds = now.saturating_duration_since(self.since).as_secs_f64() * times;
                Duration::try_from_secs_f64(seconds).unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        self.played.saturating_add(passed).min(tape.length())
    }

    /// When there is something to do; `None` while nothing will be due.
    pub(crate) fn next_due(&self, tape: &Tape, now: Instant) -> Option<Instant> {
        let due = tape.due(self.count).filter(|_| self.is_playing)?;
        match self.speed {
            Speed::Max => Some(now),
            Speed::Times(times) => {
                let wait = due.saturating_sub(self.played).as_secs_f64() / times;
                self.since
                    .checked_add(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
            }
        }
    }

    /// Applies what is due.
    pub(crate) fn advance(&mut self, tape: &mut Tape, now: Instant) -> io::Result<()> {
        if !self.is_playing {
            return Ok(());
        }
        let due = match self.speed {
            Speed::Max => tape.count(),
            Speed::Times(_) => tape.count_by(self.time(tape, now)),
        };
        // More than can be applied now is caught up with later.
        let due = due.min(self.count + AT_ONCE);
        if due > self.count {
            self.go_to(due, tape)?;
        }
        if self.count == tape.count() {
            // What comes next is due so long after this, however long it takes to come.
            self.played = tape.length().max(self.played);
            self.since = now;
        } else if self.speed == Speed::Max {
            self.set_time(tape, now);
        }
        Ok(())
    }

    /// Does what a key asks for.
    pub(crate) fn apply(&mut self, step: Move, tape: &mut Tape, now: Instant) -> io::Result<()> {
        let time = self.time(tape, now);
        let target = match step {
            Move::Toggle => {
                self.played = time;
                self.since = now;
                self.is_playing = !self.is_playing;
                return Ok(());
            }
            Move::Faster(faster) => {
                self.played = time;
                self.since = now;
                self.speed = changed(self.speed, faster);
                return Ok(());
            }
            Move::Seconds(seconds) => {
                let step = Duration::from_secs_f64(seconds.abs());
                let time = if seconds < 0.0 {
                    time.saturating_sub(step)
                } else {
                    (time + step).min(tape.length())
                };
                self.go_to(tape.count_by(time), tape)?;
                self.played = time;
                self.since = now;
                return Ok(());
            }
            Move::Events(step) => {
                self.is_playing = false;
                self.count.saturating_add_signed(step)
            }
            Move::Tenth(tenth) => tape.count() * tenth as usize / 10,
            Move::End => tape.count(),
        };
        self.go_to(target, tape)?;
        self.set_time(tape, now);
        Ok(())
    }

    /// Shows the session after this many events.
    pub(crate) fn seek(&mut self, count: usize, tape: &mut Tape, now: Instant) -> io::Result<()> {
        self.go_to(count, tape)?;
        self.set_time(tape, now);
        Ok(())
    }

    fn set_time(&mut self, tape: &Tape, now: Instant) {
        let last = self.count.checked_sub(1).and_then(|last| tape.due(last));
        self.played = last.unwrap_or_default();
        self.since = now;
    }

    fn go_to(&mut self, count: usize, tape: &mut Tape) -> io::Result<()> {
        let count = count.min(tape.count());
        let beyond = if count >= self.count { self.count } else { 0 };
        if let Some((reached, workspace)) = tape.state_before(count, beyond)? {
            (self.count, self.workspace) = (reached, workspace);
        } else if count < self.count {
            (self.count, self.workspace) = (0, Workspace::new());
        }
        while self.count < count {
            tape.apply(self.count, &mut self.workspace)?;
            self.count += 1;
        }
        Ok(())
    }
}

fn changed(speed: Speed, faster: bool) -> Speed {
    match (speed, faster) {
        (Speed::Max, true) => Speed::Max,
        (Speed::Max, false) => Speed::Times(FASTEST),
        (Speed::Times(times), true) if times >= FASTEST => Speed::Max,
        (Speed::Times(times), true) => Speed::Times((times * 2.0).min(FASTEST)),
        (Speed::Times(times), false) => Speed::Times((times / 2.0).max(SLOWEST)),
    }
}

#[cfg(test)]
mod tests;
