//! Makes room: the oldest unsent terminal output goes, structured events stay, and one event says what went.
//!
//! A segment is rewritten without its output, together with the one before it if that was rewritten too, so that
//! there is one trace of all that went and the files do not become many. The new file takes the first one's name;
//! its header says up to where it reaches, so that a process that is killed before the other file is removed leaves
//! nothing twice.

use std::fs;
use std::io;

use super::loss::Loss;
use super::opening::open_to_read;
use super::record::{Place, Record, Weight};
use super::segment::{Records, START, Segment};
use super::{Durability, Spool, State, replace_file};

impl Spool {
    /// Rewrites segments until the spool is within its limit, or only structured events are left. Not the first,
    /// of which something may be on its way, and not the one that is written to.
    pub(super) fn make_room(&self, state: &mut State) -> io::Result<()> {
        while state.size.bytes > self.limit {
            let last = state.segments.len().saturating_sub(1);
            let Some(index) = (1..last).find(|index| state.segments[*index].outputs > 0) else {
                return Ok(());
            };
            let before = &state.segments[index - 1];
            let joins = index > 1 && before.until > Place::default() && before.bytes < self.segment_bytes;
            self.rewrite(state, if joins { index - 1 } else { index }, index)?;
        }
        Ok(())
    }

    /// Makes one segment of those from `from` to `to`, without their output. What went is said by the trace before
    /// it, if there is one that is not on its way yet.
    fn rewrite(&self, state: &mut State, from: usize, to: usize) -> io::Result<()> {
        let mut rest = self.read_without_output(state, from, to)?;
        let head = (1..from).rev().find(|index| state.segments[*index].traces > 0);
        if let (Some(head), Some(loss)) = (head, rest.losses.first().copied()) {
            let mut before = self.read_without_output(state, head, head)?;
            if let Some(joined) = before
                .losses
                .last_mut()
                .and_then(|last| last.with(loss).map(|joined| (last, joined)))
            {
                *joined.0 = joined.1;
                rest.losses.remove(0);
                // First the trace: killed in between, the output is still there, and is not counted again later.
                self.replace(state, (head, head), before)?;
            }
        }
        self.replace(state, (from, to), rest)
    }

    fn read_without_output(&self, state: &State, from: usize, to: usize) -> io::Result<Rest> {
        let mut rest = Rest::default();
        for segment in state.segments.range(from..=to) {
            let file = open_to_read(&self.folder, segment)?;
            let mut records = Records::new(&file, START, segment.bytes);
            while let Some(record) = records.next()? {
                let loss = match record.weight {
                    Weight::Structured => {
                        rest.kept.push(record);
                        continue;
                    }
                    Weight::Output => {
                        rest.let_go += 1;
                        Some(Loss::of(&record))
                    }
                    Weight::Loss => {
                        rest.traces += 1;
                        Loss::read(&record)
                    }
                };
                let joined = rest.losses.last().and_then(|last| last.with(loss?));
                match (joined, rest.losses.last_mut()) {
                    (Some(joined), Some(last)) => *last = joined,
                    _ => rest.losses.extend(loss),
                }
            }
        }
        Ok(rest)
    }

    /// Writes what is left of the segments as one file in their place.
    fn replace(&self, state: &mut State, (from, to): (usize, usize), rest: Rest) -> io::Result<()> {
        // Of a gap in the numbers nobody has to know: what follows begins later in any case.
        let mut whole = Segment::new(state.segments[from].first, state.segments[to + 1].first);
        let mut records = rest.kept;
        records.extend(rest.losses.iter().map(|loss| loss.record(&self.frame)));
        records.sort_by_key(|record| record.place);
        let mut content = whole.header();
        records.iter().for_each(|record| record.encode(&mut content));
        whole.bytes = content.len() as u64;
        whole.records = records.len() as u64;
        whole.traces = rest.losses.len() as u64;

        replace_file(&whole.path(&self.folder), &content, Durability::Synced)?;
        let bytes: u64 = state.segments.range(from..=to).map(|segment| segment.bytes).sum();
        for segment in state.segments.range(from + 1..=to) {
            fs::remove_file(segment.path(&self.folder))?;
        }
        self.syncer.folder_changed();
        state.size.bytes = state.size.bytes + whole.bytes - bytes;
        state.size.unsent = state.size.unsent + whole.traces - rest.let_go - rest.traces;
        state.size.let_go += rest.let_go;
        drop(state.segments.drain(from + 1..=to));
        state.segments[from] = whole;
        Ok(())
    }
}

/// What is left of segments without their output.
#[derive(Default)]
struct Rest {
    kept: Vec<Record>,
    losses: Vec<Loss>,
    /// Events of output that were there.
    let_go: u64,
    /// Traces that were there.
    traces: u64,
}
