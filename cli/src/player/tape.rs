//! A session's events on disk while it is played: each by its number, with the time at which it is shown, and states of
//! the fold from which any of them is near.
//!
//! The file has no name and is gone with the process. What stays in memory is a few bytes an event.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use kulti_session::{FoldEvent, Keyframe, Workspace};

use crate::event_line::EventLine;
use crate::pacing::{Pacer, Speed};

/// Idle time longer than this is cut.
const IDLE_CAP: Duration = Duration::from_secs(2);
/// A state is kept after so many events at the least, ...
const STATE_EVERY: usize = 256;
/// ... and after so many times its own bytes, so that states never take more than the events.
const STATE_SHARE: u64 = 4;

/// The events so far.
pub(crate) struct Tape {
    file: File,
    end: u64,
    entries: Vec<Entry>,
    states: Vec<State>,
    /// The state after the last event.
    fold: Workspace,
    pacer: Pacer,
    /// Bytes of events after the last state that was kept.
    bytes_since_state: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: usize,
}

struct Entry {
    place: Place,
    due: Duration,
}

struct State {
    /// How many events it is after.
    count: usize,
    place: Place,
}

impl Tape {
    /// Without events.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Tape {
            file: tempfile::tempfile()?,
            end: 0,
            entries: Vec::new(),
            states: Vec::new(),
            fold: Workspace::new(),
            pacer: Pacer::default(),
            bytes_since_state: 0,
        })
    }

    /// Appends the next event. One that cannot be read is shown as nothing.
    pub(crate) fn push(&mut self, event: &EventLine) -> io::Result<()> {
        let step = event
            .view()
            .map(|view| self.pacer.step(&view.moment(), Speed::Times(1.0), IDLE_CAP))
            .unwrap_or_default();
        let due = self.length() + step;
        let place = self.write(event.json.as_bytes())?;
        self.entries.push(Entry { place, due });
        if let Ok(event) = FoldEvent::parse(&event.json) {
            self.fold.apply(&event);
        }
        self.bytes_since_state += place.length as u64;
        let last = self
            .states
            .last()
            .map_or((0, 0), |state| (state.count, state.place.length));
        if self.entries.len() - last.0 >= STATE_EVERY && self.bytes_since_state >= STATE_SHARE * last.1 as u64
        {
            self.keep_state()?;
        }
        Ok(())
    }

    fn keep_state(&mut self) -> io::Result<()> {
        let state = self.fold.keyframe().to_json();
        let place = self.write(state.as_bytes())?;
        self.states.push(State {
            count: self.entries.len(),
            place,
        });
        self.bytes_since_state = 0;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Place> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        let place = Place {
            offset: self.end,
            length: bytes.len(),
        };
        self.end += bytes.len() as u64;
        Ok(place)
    }

    fn read(&mut self, place: Place) -> io::Result<String> {
        let mut bytes = vec![0; place.length];
        self.file.seek(SeekFrom::Start(place.offset))?;
        self.file.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// How many events there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// When the last event is shown.
    pub(crate) fn length(&self) -> Duration {
        self.entries.last().map_or(Duration::ZERO, |entry| entry.due)
    }

    /// When the event of this number, from 0, is shown.
    pub(crate) fn due(&self, number: usize) -> Option<Duration> {
        self.entries.get(number).map(|entry| entry.due)
    }

    /// How many events are shown by then.
    pub(crate) fn count_by(&self, time: Duration) -> usize {
        self.entries.partition_point(|entry| entry.due <= time)
    }

    /// How many events there are up to this position.
    pub(crate) fn count_up_to(&mut self, position: i64) -> io::Result<usize> {
        // Positions have no holes, except where the server said so.
        let guess = usize::try_from(position).unwrap_or(0).min(self.entries.len());
        let mut count = guess;
        while let Some(entry) = count.checked_sub(1).and_then(|last| self.entries.get(last)) {
            let place = entry.place;
            let json = self.read(place)?;
            if FoldEvent::parse(&json).is_ok_and(|event| event.position <= position) {
                break;
            }
            count -= 1;
        }
        Ok(count)
    }

    /// Applies the event of this number.
    pub(crate) fn apply(&mut self, number: usize, workspace: &mut Workspace) -> io::Result<()> {
        if let Some(entry) = self.entries.get(number) {
            let place = entry.place;
            let json = self.read(place)?;
            if let Ok(event) = FoldEvent::parse(&json) {
                workspace.apply(&event);
            }
        }
        Ok(())
    }

    /// The last state at or before `count` events that is kept, if it is after `beyond` events.
    pub(crate) fn state_before(
        &mut self,
        count: usize,
        beyond: usize,
    ) -> io::Result<Option<(usize, Workspace)>> {
        let index = self.states.partition_point(|state| state.count <= count);
        let Some(state) = index.checked_sub(1).and_then(|index| self.states.get(index)) else {
            return Ok(None);
        };
        if state.count <= beyond {
            return Ok(None);
        }
        let (count, place) = (state.count, state.place);
        let json = self.read(place)?;
        let keyframe = Keyframe::from_json(&json).map_err(io::Error::other)?;
        Ok(keyframe.map(|keyframe| (count, Workspace::from_keyframe(keyframe))))
    }
}
