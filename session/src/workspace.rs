//! The fold from a session's events to the state of its workspace: what a person sees at a moment.
//!
//! Pure: no I/O, no clock, bounded in memory whatever the events say. The same code runs in the consumer that makes
//! keyframes, in the gateway that answers `at=`, and as WebAssembly in browsers. A [`Keyframe`] is the whole of it as
//! JSON: what is stored, what `GET /v1/sessions/{id}/state` answers, and what a viewer's `state` frame holds. A fold
//! that goes on from a keyframe is equal to the one that it was taken from.

mod activity;
mod conversation;
mod event;
mod feed;
mod fields;
mod files;
mod generations;
mod markers;
mod profile;
mod recording;
mod screen;
mod terminal;
mod window;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use activity::{Activity, Approval, LastError, Preview, Progress, Status, Step, ToolCall, Tools};
pub use conversation::{ChatLine, Conversation, Message, Thought};
#[cfg(feature = "log")]
pub use event::EventTexts;
pub use event::FoldEvent;
pub use feed::{MAIN_TERMINAL, TerminalChange, TerminalFeed, terminal_of};
pub use files::{ContentHash, FileState};
pub use markers::{Marker, Markers, TestOutcome, test_outcome};
pub use profile::{Ended, Profile};
pub use recording::TerminalRecording;
pub use screen::{CursorPlace, Paint, Run, Screen, StyledLine};
pub use terminal::StoredTerminal;
pub use window::{Cost, Window};

use crate::usage::Usage;
use conversation::short;
use event::{micros, moment};
use files::Files;
use generations::Generations;
use terminal::Terminals;

/// Which fold wrote a keyframe. Grows with every change after which the same events give another keyframe: stored ones
/// of another number are made anew.
pub const FOLD: u32 = 1;
/// Largest keyframe, as JSON.
pub const KEYFRAME_BYTES: usize = 256_000;

/// The state of a session's workspace after the events that were applied.
#[derive(Default)]
pub struct Workspace {
    now: Now,
    profile: Profile,
    conversation: Conversation,
    activity: Activity,
    markers: Markers,
    usage: Usage,
    files: Files,
    terminals: Terminals,
    generations: Generations,
}

/// Where in the session a state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Position of the last event applied; 0 before the first.
    pub position: i64,
    /// That event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The session's clock there, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_moment")]
    pub time: Option<i64>,
}

/// A workspace's whole state. Its JSON takes at most [`KEYFRAME_BYTES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    /// [`FOLD`] of the fold that made it.
    pub fold: u32,
    /// Where it is.
    #[serde(flatten)]
    pub now: Now,
    /// What the session says about itself.
    #[serde(flatten)]
    pub profile: Profile,
    /// Messages, thoughts, chat.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// Status, plan, tools, preview, approvals, errors.
    #[serde(flatten)]
    pub activity: Activity,
    /// Markers of the agent, of viewers, and of the fold.
    pub markers: Markers,
    /// What was used: by model and scope.
    pub usage: Usage,
    /// Tokens of all models.
    pub tokens: i64,
    /// US dollars, of all models.
    pub cost_usd: f64,
    /// The files that were changed.
    pub files: Window<FileState, 64_000>,
    /// The terminals, the one used last at the end.
    pub terminals: Vec<StoredTerminal>,
    #[serde(default, skip_serializing_if = "Generations::is_empty")]
    generations: Generations,
}

impl Workspace {
    /// The state before the first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from a keyframe. The contents of its files are not in it: [`Workspace::wants`] says when one is needed.
    pub fn from_keyframe(keyframe: Keyframe) -> Self {
        Workspace {
            now: keyframe.now,
            profile: keyframe.profile,
            conversation: keyframe.conversation,
            activity: keyframe.activity,
            markers: keyframe.markers,
            usage: keyframe.usage,
            files: Files::restore(keyframe.files),
            terminals: Terminals::restore(keyframe.terminals),
            generations: keyframe.generations,
        }
    }

    /// The whole state.
    pub fn keyframe(&self) -> Keyframe {
        let mut keyframe = Keyframe {
            fold: FOLD,
            now: self.now.clone(),
            profile: self.profile.clone(),
            conversation: self.conversation.clone(),
            activity: self.activity.clone(),
            markers: self.markers.clone(),
            usage: self.usage.clone(),
            tokens: self.usage.tokens(),
            cost_usd: self.usage.cost_usd(),
            files: self.files.list().clone(),
            terminals: Vec::new(),
            generations: self.generations.clone(),
        };
        let left = KEYFRAME_BYTES.saturating_sub(keyframe.to_json().len());
        keyframe.terminals = self.terminals.store(left);
        keyframe
    }

    /// Position of the last event applied; 0 before the first.
    pub fn position(&self) -> i64 {
        self.now.position
    }

    /// Where the state is.
    pub fn now(&self) -> &Now {
        &self.now
    }

    /// The content that the event, a patch, is to be applied to, if it is not at hand: give it to
    /// [`Workspace::supply`] before [`Workspace::apply`]. Without it the file's content is unknown from there on.
    pub fn wants(&self, event: &FoldEvent<'_>) -> Option<ContentHash> {
        self.files.wants(event)
    }

    /// Takes the content of a file.
    pub fn supply(&mut self, content: &str) {
        self.files.supply(content);
    }

    /// Applies the next event. An event that was applied already changes nothing.
    pub fn apply(&mut self, event: &FoldEvent<'_>) {
        if event.position <= self.now.position {
            return;
        }
        let before = self.now.time;
        let time = session_clock(before, event);
        self.now = Now {
            position: event.position,
            event: Some(event.id.to_string()),
            time: Some(time),
        };
        self.profile.begin(event, time);
        if self.generations.is_superseded(event) {
            return;
        }
        self.profile.apply(event, time);
        self.markers.apply(event, (before, time));
        match event.kind.as_ref() {
            "usage" => self
                .usage
                .apply(event.producer.as_deref(), event.generation, event.data),
            "code.changed" => self.files.apply(event),
            kind if kind.starts_with("terminal.") => {
                let name = terminal_of(event).unwrap_or_default();
                if let Some(text) = self.terminals.apply(&name, event)
                    && event.kind == "terminal.output"
                {
                    self.markers.read_output(event, time, &name, &text);
                }
            }
            _ => {
                self.conversation.apply(event);
                self.activity.apply(event);
            }
        }
    }

    /// What the session says about itself.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What was said.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// What the agent is at.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The terminal that is shown where nobody names one: of those that draw their own screen the one used last; where
    /// none does, of all.
    pub fn shown_terminal(&self) -> Option<&str> {
        self.terminals.shown()
    }

    /// The screen of a terminal; without a name, of the one that is shown. `None` if there is none.
    pub fn screen(&self, terminal: Option<&str>) -> Option<Screen> {
        self.terminals.screen(terminal)
    }

    /// Names of the terminals, the one used last at the end.
    pub fn terminals(&self) -> impl Iterator<Item = &str> {
        self.terminals.names()
    }

    /// The files, the one changed last at the end.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = &FileState> {
        self.files.list().iter()
    }

    /// How many files were changed so long ago that they are not listed.
    pub fn forgotten_files(&self) -> u64 {
        let list = self.files.list();
        list.total() - list.iter().len() as u64
    }

    /// Bytes of the files' contents that are at hand: what a state may take beside its keyframe.
    pub fn content_bytes(&self) -> usize {
        self.files.content_bytes()
    }

    /// A file's content, if it is at hand. For what is not, whoever stored the keyframe has it by the file's hash.
    pub fn content(&self, hash: &str) -> Option<&Arc<str>> {
        self.files.content(hash)
    }

    /// A terminal from here on, for another emulator; one that nothing was written to if there is none of that name.
    pub fn recording(&self, terminal: &str) -> TerminalRecording {
        let mut recording = self.terminals.recording(terminal);
        recording.generations = self.generations.clone();
        recording.position = self.now.position;
        recording
    }
}

impl Keyframe {
    /// Its JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a keyframe has no keys that are not text")
    }

    /// Reads the JSON of a keyframe of this fold; `None` for one of another fold.
    ///
    /// # Errors
    /// When the text is not a keyframe.
    pub fn from_json(json: &str) -> serde_json::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Version {
            fold: u32,
        }
        if serde_json::from_str::<Version>(json)?.fold != FOLD {
            return Ok(None);
        }
        serde_json::from_str(json).map(Some)
    }
}

/// The session's clock after an event (see `clock.rs`, which is the same over the log's types).
pub fn session_clock(before: Option<i64>, event: &FoldEvent<'_>) -> i64 {
    let told = event.time.min(event.received);
    match (event.is_agents(), before) {
        (true, before) => before.map_or(told, |before| before.max(told)),
        (false, Some(before)) => before,
        (false, None) => event.received,
    }
}

mod optional_moment {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{micros, moment};

    pub(super) fn serialize<S: Serializer>(time: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_str(&moment(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        #[derive(Deserialize)]
        struct Moment(#[serde(deserialize_with = "micros")] i64);
        Ok(Option::<Moment>::deserialize(deserializer)?.map(|moment| moment.0))
    }
}

#[cfg(test)]
mod tests;
