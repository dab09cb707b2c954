//! What an adapter is, and what it may say.

use std::borrow::Cow;

use kulti_schemas::Timestamp;
use serde_json::{Map, Value};

use crate::draft::Draft;
use crate::fields::{Data, some_text};

/// Turns the records of one format into events, one after the other, without I/O and without a clock.
///
/// All that an adapter remembers follows from the records that it has read, so that a source that is read in two goes,
/// or twice, gives the same events.
pub trait Adapter: Send {
    /// Says what the record means.
    fn read(&mut self, record: &Value, out: &mut Output<'_>);

    /// What names the record among those of its session.
    fn identity<'r>(&self, record: &'r Value) -> Identity<'r>;
}

/// What tells a record from all others of its session, wherever and whenever it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity<'r> {
    /// The source names it. A second record of that name is a copy if it is the same, else one of its own.
    Named(Cow<'r, str>),
    /// Its bytes, and how many equal ones came before: where a record may stand in several files.
    Content,
    /// Its line: in files that only grow.
    Line,
}

/// Where an adapter says what a record means.
pub struct Output<'r> {
    pub(crate) drafts: &'r mut Vec<Draft>,
    pub(crate) line: &'r str,
    pub(crate) number: u64,
    pub(crate) source_name: &'r str,
    pub(crate) source_time: Option<Timestamp>,
    pub(crate) identity: String,
    pub(crate) said: Said,
}

/// What an adapter said besides events.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) session: Option<String>,
    pub(crate) folder: Option<String>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) cause: Option<String>,
    pub(crate) models: Vec<String>,
    pub(crate) about: Map<String, Value>,
    pub(crate) end_reason: Option<&'static str>,
    pub(crate) is_within_session: bool,
    pub(crate) keep_raw: bool,
    pub(crate) is_unknown: bool,
    pub(crate) is_merged: bool,
}

impl<'r> Identity<'r> {
    /// By this member, if the record has it, else by what it is.
    pub(crate) fn by(record: &'r Value, member: &str) -> Self {
        some_text(record, member).map_or(Identity::Content, |name| Identity::Named(name.into()))
    }
}

impl Output<'_> {
    /// The record's number in its source, from 1.
    pub fn line_number(&self) -> u64 {
        self.number
    }

    /// The record's text.
    pub fn line(&self) -> &str {
        self.line
    }

    /// What the source is called, where it has a name: a file's, for instance.
    pub fn source_name(&self) -> &str {
        self.source_name
    }

    /// A moment to count from where the source tells none.
    pub fn source_time(&self) -> Option<Timestamp> {
        self.source_time
    }

    /// The source's own name for the session of this record and of those after it that name none.
    pub fn session(&mut self, name: &str) {
        self.said.session = Some(name.to_owned());
    }

    /// The folder that the agent works in: it names the agent where nothing else does.
    pub fn folder(&mut self, path: &str) {
        self.said.folder = Some(path.to_owned());
    }

    /// When the record was made; without it, as the one before.
    pub fn time(&mut self, time: Option<Timestamp>) {
        self.said.time = time.or(self.said.time);
    }

    /// The name (as in [`Identity::Named`]) of the record that this one answers.
    pub fn cause(&mut self, name: Option<&str>) {
        self.said.cause = name.map(str::to_owned);
    }

    /// A model was at work, whether or not its use is known.
    pub fn model(&mut self, name: &str) {
        self.said.models.push(name.to_owned());
    }

    /// Something about the session, for `session.started`; only what is said before the first event counts.
    pub fn about(&mut self, name: &str, value: impl Into<Value>) {
        self.said.about.insert(name.to_owned(), value.into());
    }

    /// How the session ends if nothing comes after this record.
    pub fn ends(&mut self, reason: &'static str) {
        self.said.end_reason = Some(reason);
    }

    /// The source is a part of a session that others tell the rest of, so its end is not the session's.
    pub fn is_within_session(&mut self) {
        self.said.is_within_session = true;
    }

    /// Something in the record is in none of its events: the line stays with the first of them.
    pub fn keep_raw(&mut self) {
        self.said.keep_raw = true;
    }

    /// Whether something that an event does not tell is in the record.
    pub fn keep_raw_if(&mut self, is_unmapped: bool) {
        self.said.keep_raw |= is_unmapped;
    }

    /// The record is of a type that this adapter does not know: kept whole, and counted.
    pub fn unknown(&mut self, name: &str, value: Value) {
        self.said.is_unknown = true;
        self.custom(name, value);
    }

    /// Something in the record was told by another one already.
    pub(crate) fn is_merged(&mut self) {
        self.said.is_merged = true;
    }

    /// Something that no kind stands for.
    pub(crate) fn custom(&mut self, name: &str, value: Value) {
        self.event("custom", Data::new().with("name", name).with("value", value));
    }

    /// An event of this kind.
    pub(crate) fn event(&mut self, kind: &'static str, data: Data) {
        let earlier = self
            .drafts
            .iter()
            .rev()
            .take_while(|draft| draft.identity == self.identity)
            .filter(|draft| draft.kind == kind)
            .count();
        self.drafts.push(Draft {
            session: None,
            time: None,
            identity: self.identity.clone(),
            label: format!("{kind}/{earlier}"),
            kind,
            data: data.into_map(),
            cause: None,
            raw: None,
        });
    }
}
