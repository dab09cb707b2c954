//! Files that go on growing, and new ones beside them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::group::Sink;
use super::source::{Source, SourceOptions};
use super::sources::find_sources;

/// Files that are kept open where they stand; of more, the one that grew longest ago is read from its start again when
/// it grows, and the server drops what it knows.
const OPEN: usize = 64;
/// Between two looks at the files.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Follows files.
pub(crate) struct Follower {
    paths: Vec<PathBuf>,
    options: SourceOptions,
    /// How long each file was when it was last read.
    known: HashMap<PathBuf, u64>,
    /// The one that grew last at the end.
    open: Vec<Source>,
}

impl Follower {
    /// Begins with all that is there.
    pub(crate) fn new(paths: Vec<PathBuf>, options: SourceOptions) -> Self {
        Follower {
            paths,
            options,
            known: HashMap::new(),
            open: Vec::new(),
        }
    }

    /// Reads what has come since the last look. False: the sink wants no more.
    pub(crate) fn look(&mut self, sink: &mut impl Sink) -> bool {
        // A file that is gone while it is looked at is no failure.
        for found in find_sources(&self.paths, |_, _| {}) {
            let before = self.known.get(&found.path).copied();
            if before == Some(found.bytes) || found.format.is_none() {
                continue;
            }
            if before.is_some_and(|before| before > found.bytes) {
                // Written anew.
                self.open.retain(|source| source.path != found.path);
            }
            self.known.insert(found.path.clone(), found.bytes);
            let place = self.open.iter().position(|source| source.path == found.path);
            let mut source = match place.map(|place| self.open.remove(place)) {
                Some(source) => source,
                None => match Source::open(&found, &self.options) {
                    Ok(Some(source)) => source,
                    Ok(None) => continue,
                    Err(error) => {
                        sink.failed(&found, &error);
                        continue;
                    }
                },
            };
            match read(&mut source, sink) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => sink.failed(&found, &error),
            }
            if self.open.len() >= OPEN {
                self.open.remove(0);
            }
            self.open.push(source);
        }
        true
    }
}

fn read(source: &mut Source, sink: &mut impl Sink) -> io::Result<bool> {
    while source.fill_growing()? {
        while let Some(event) = source.pop() {
            if !sink.event(event) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
