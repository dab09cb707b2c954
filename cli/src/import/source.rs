//! One file on its way to events.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use kulti_adapters::{ImportedEvent, Options, Reader, Report};
use kulti_masking::Masker;
use kulti_runner::lines::{Lines, Next};
use kulti_schemas::{AgentId, Timestamp};

use super::sources::Found;

/// What the person who imports says about all files.
#[derive(Debug, Clone)]
pub(crate) struct SourceOptions {
    pub(crate) agent: Option<AgentId>,
    pub(crate) visibility: String,
    pub(crate) masker: Masker,
}

/// Reads one file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    lines: Lines,
    reader: Reader,
    scratch: Vec<ImportedEvent>,
    events: VecDeque<ImportedEvent>,
    /// The session's end, for whoever knows that nothing else tells of it.
    end: Option<ImportedEvent>,
    has_ended: bool,
    /// Latest time so far: what comes next is not earlier, whatever it says.
    clock: Option<Timestamp>,
}

impl Source {
    /// Opens a file whose format is known.
    pub(crate) fn open(found: &Found, options: &SourceOptions) -> io::Result<Option<Self>> {
        let Some(format) = found.format else {
            return Ok(None);
        };
        let name = found.path.file_name().unwrap_or_default().to_string_lossy();
        let options = Options {
            agent: options.agent.clone(),
            visibility: Some(options.visibility.clone()),
            masker: Some(options.masker.clone()),
            name: name.into_owned(),
            time: found.modified.and_then(timestamp),
            ..Options::default()
        };
        Ok(Some(Source {
            path: found.path.clone(),
            lines: Lines::open(&found.path)?,
            reader: Reader::new(format, options),
            scratch: Vec::new(),
            events: VecDeque::new(),
            end: None,
            has_ended: false,
            clock: None,
        }))
    }

    /// What was read so far.
    pub(crate) fn report(&self) -> &Report {
        self.reader.report()
    }

    /// Bytes of the file that were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    /// The session's end, once all has been read.
    pub(crate) fn take_end(&mut self) -> Option<ImportedEvent> {
        self.end.take()
    }

    /// Reads until there is an event, or the file has been read to its end. True if there is one.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        while self.events.is_empty() && !self.has_ended {
            match self.lines.read_next()? {
                Next::Line => self.reader.read_line(self.lines.line(), &mut self.scratch),
                Next::Begun => {
                    self.reader.read_line(self.lines.line(), &mut self.scratch);
                    self.lines.take_begun();
                    self.finish();
                }
                Next::End => self.finish(),
            }
            self.events.extend(self.scratch.drain(..));
        }
        Ok(!self.events.is_empty())
    }

    /// Reads what is there of a file that is still being written: whole lines only, and no end.
    pub(crate) fn fill_growing(&mut self) -> io::Result<bool> {
        while self.events.is_empty() {
            if self.lines.read_next()? != Next::Line {
                // Nothing more may come for long.
                self.reader.release(&mut self.scratch);
                self.events.extend(self.scratch.drain(..));
                break;
            }
            self.reader.read_line(self.lines.line(), &mut self.scratch);
            self.events.extend(self.scratch.drain(..));
        }
        Ok(!self.events.is_empty())
    }

    fn finish(&mut self) {
        self.has_ended = true;
        self.reader.finish(&mut self.scratch);
        self.end = self.scratch.pop_if(|event| event.kind == "session.ended");
    }

    /// The time of the next event, never earlier than of those before it.
    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let next = self.events.front().and_then(|event| event.time);
        next.max(self.clock)
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<ImportedEvent> {
        self.clock = self.next_time();
        self.events.pop_front()
    }
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let time = Timestamp(i64::try_from(since.as_micros()).ok()?);
    time.is_in_range().then_some(time)
}
