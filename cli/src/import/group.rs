//! The files of one session, merged: each in its own order, among each other by time.

use std::io;

use kulti_adapters::ImportedEvent;

use super::source::{Source, SourceOptions};
use super::sources::Found;

/// Files that are open at once; of more, one is read after the other.
const OPEN: usize = 200;

/// What becomes of a group.
pub(crate) trait Sink {
    /// An event. False: nobody wants more.
    fn event(&mut self, event: ImportedEvent) -> bool;
    /// A file has been read.
    fn done(&mut self, source: &Source);
    /// A file could not be read, or not to its end.
    fn failed(&mut self, found: &Found, error: &io::Error);
    /// So many bytes more have been read.
    fn progress(&mut self, bytes: u64);
}

/// Reads the files of one session. False: the sink wants no more.
pub(crate) fn read_group(group: &[&Found], options: &SourceOptions, sink: &mut impl Sink) -> bool {
    let mut end = None;
    for files in group.chunks(OPEN) {
        let mut sources = Vec::new();
        for found in files {
            match Source::open(found, options) {
                Ok(Some(source)) => sources.push((*found, source)),
                Ok(None) => {}
                Err(error) => sink.failed(found, &error),
            }
        }
        if !merge(sources, &mut end, sink) {
            return false;
        }
    }
    end.is_none_or(|end| sink.event(end))
}

fn merge(mut sources: Vec<(&Found, Source)>, end: &mut Option<ImportedEvent>, sink: &mut impl Sink) -> bool {
    loop {
        let mut index = 0;
        while index < sources.len() {
            let (found, source) = &mut sources[index];
            let before = source.bytes_read();
            let filled = source.fill();
            sink.progress(source.bytes_read() - before);
            match filled {
                Ok(true) => index += 1,
                Ok(false) => {
                    let last = source.take_end();
                    if last.as_ref().map(|event| event.time) >= end.as_ref().map(|event| event.time) {
                        *end = last.or(end.take());
                    }
                    sink.done(source);
                    sources.remove(index);
                }
                Err(error) => {
                    sink.failed(found, &error);
                    sources.remove(index);
                }
            }
        }
        // The first of those that are equal.
        let Some((_, source)) = sources.iter_mut().min_by_key(|(_, source)| source.next_time()) else {
            return true;
        };
        if let Some(event) = source.pop()
            && !sink.event(event)
        {
            return false;
        }
    }
}
