//! The thread that takes a tool's records, in the order in which they come, and tells the recorder what they mean.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kulti_adapters::{ImportedEvent, Options, Reader};
use kulti_masking::Masker;
use kulti_schemas::{AgentId, SessionId};
use serde::Deserialize;

use super::Tool;
use super::transcripts::Transcripts;
use crate::folder::{RunFile, RunFolder};
use crate::recorder::Recorder;

/// Between two looks at the tool's files: below what a viewer sees as a delay.
const LOOK: Duration = Duration::from_millis(150);
/// Records that wait, each at most 32 MiB and most far below 1 MiB.
const QUEUE: usize = 16;
/// A tool that has ended may have left its last lines to the system: so long nothing may come before that is all.
const QUIET: Duration = Duration::from_millis(300);
const LAST_LINES: Duration = Duration::from_secs(3);
/// The terminal of what tools print, beside the one of the run.
const TOOLS_TERMINAL: &str = "tools";

/// Hands records over; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Teller(SyncSender<Heard>);

#[derive(Debug)]
enum Heard {
    Record(Vec<u8>),
    Hook(Vec<u8>),
    End,
}

impl Teller {
    /// A record as the tool printed it. Waits while there is too much to do.
    pub(crate) fn record(&self, line: &[u8]) {
        self.say(Heard::Record(line.to_vec()));
    }

    /// What a hook was given.
    pub(crate) fn hook(&self, input: Vec<u8>) {
        self.say(Heard::Hook(input));
    }

    fn say(&self, heard: Heard) {
        // Whoever speaks after the end is not heard.
        self.0.send(heard).ok();
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Records {
    teller: Teller,
    thread: JoinHandle<Option<String>>,
}

/// For whom records are taken.
pub(crate) struct Whose {
    /// The run: its tool's name for its session is written there once it is known.
    pub(crate) folder: RunFolder,
    pub(crate) file: RunFile,
    pub(crate) recorder: Recorder,
    pub(crate) masker: Masker,
    /// The task was given, and is not what the tool is asked first.
    pub(crate) has_task: bool,
}

impl Records {
    /// Takes the tool's records from now on.
    ///
    /// # Errors
    /// If there is no thread left.
    pub(crate) fn start(tool: Tool, transcripts: Option<Transcripts>, whose: Whose) -> io::Result<Records> {
        let (sender, heard) = sync_channel(QUEUE);
        let frame = &whose.file.frame;
        let options = Options {
            session: SessionId::parse(&frame.session).ok(),
            agent: AgentId::parse(&frame.agent).ok(),
            masker: Some(whose.masker.clone()),
            live: true,
            terminal: Some(TOOLS_TERMINAL.to_owned()),
            reading: format!(" {}", whose.file.generation),
            ..Options::default()
        };
        let listener = Listener {
            reader: Reader::new(tool.format(), options),
            transcripts,
            whose,
            events: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("tool-records".to_owned())
            .spawn(move || listener.run(&heard))?;
        Ok(Records {
            teller: Teller(sender),
            thread,
        })
    }

    /// For those who hear records.
    pub(crate) fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// The tool has ended: takes what it wrote last, and gives its own name for its session. Blocks for that.
    pub(crate) fn finish(self) -> Option<String> {
        self.teller.say(Heard::End);
        // A panic was printed; what it had told is recorded.
        self.thread.join().ok().flatten()
    }
}

/// Where a hook's input says that the tool writes.
#[derive(Debug, Deserialize)]
struct HookPlaces {
    transcript_path: Option<std::path::PathBuf>,
    agent_transcript_path: Option<std::path::PathBuf>,
}

struct Listener {
    reader: Reader,
    transcripts: Option<Transcripts>,
    whose: Whose,
    events: Vec<ImportedEvent>,
}

impl Listener {
    fn run(mut self, heard: &Receiver<Heard>) -> Option<String> {
        let mut looked_at = Instant::now();
        loop {
            let wait = LOOK.saturating_sub(looked_at.elapsed());
            match heard.recv_timeout(wait) {
                Ok(Heard::Record(line)) => self.read(&line),
                Ok(Heard::Hook(input)) => self.read_hook(&input),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Heard::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked_at.elapsed() >= LOOK {
                self.look(false);
                looked_at = Instant::now();
            }
        }
        self.read_last_lines();
        self.reader.finish(&mut self.events);
        self.tell();
        self.whose.file.tool_session
    }

    fn read(&mut self, line: &[u8]) {
        self.reader.read_line(line, &mut self.events);
        self.tell();
    }

    fn read_hook(&mut self, input: &[u8]) {
        if let (Some(transcripts), Ok(places)) =
            (&mut self.transcripts, serde_json::from_slice::<HookPlaces>(input))
        {
            let told = [places.transcript_path, places.agent_transcript_path];
            told.into_iter().flatten().for_each(|path| transcripts.told(path));
        }
        self.read(input.trim_ascii());
    }

    /// True if something came.
    fn look(&mut self, is_last: bool) -> bool {
        let Some(transcripts) = &mut self.transcripts else {
            return false;
        };
        let (reader, events) = (&mut self.reader, &mut self.events);
        let came = transcripts.look(is_last, |line| reader.read_line(line, events));
        self.tell();
        came
    }

    fn read_last_lines(&mut self) {
        if self.transcripts.is_none() {
            return;
        }
        let begun = Instant::now();
        let mut last_line = Instant::now();
        while last_line.elapsed() < QUIET && begun.elapsed() < LAST_LINES {
            if self.look(true) {
                last_line = Instant::now();
            }
            std::thread::park_timeout(QUIET / 10);
        }
    }

    fn tell(&mut self) {
        for mut event in self.events.drain(..) {
            if event.kind == "session.updated" && self.whose.has_task {
                event.data.remove("task");
                if event.data.is_empty() {
                    continue;
                }
            }
            self.whose.recorder.told(event);
        }
        let Some(session) = self.reader.source_session() else {
            return;
        };
        if self.whose.file.tool_session.as_deref() != Some(session) {
            self.whose.file.tool_session = Some(session.to_owned());
            if let Err(error) = self.whose.folder.write(&self.whose.file) {
                tracing::warn!(%error, "what the tool calls its session cannot be written down");
            }
        }
    }
}
