//! Lines in, events out: what all formats have in common.
//!
//! Names events and sessions, recognises copies of records, holds the first records back until session, agent and time
//! are known, splits what is too large, and counts. What a record means is its adapter's to say.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use kulti_masking::Masker;
use kulti_schemas::{AgentId, EventId, SessionId, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::adapter::{Adapter, Identity, Output, Said};
use crate::draft::Draft;
use crate::event::ImportedEvent;
use crate::fields::Data;
use crate::format::Format;
use crate::parts;
use crate::report::Report;
use crate::{asciicast, claude, codex, json_line};

/// Records that are held back at the beginning while session, agent or time are unknown.
const HELD_RECORDS: usize = 64;
/// Bytes of their lines.
const HELD_BYTES: usize = 4 << 20;

/// Label of a record's first event.
const FIRST: &str = "first";

/// What the source does not say by itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The session of all records; without it, one that is named after the source's own.
    pub session: Option<SessionId>,
    /// The agent; without it, the folder that it worked in, or the tool.
    pub agent: Option<AgentId>,
    /// For `session.started`: public, unlisted or private.
    pub visibility: Option<String>,
    /// For `session.started`, whatever the source says.
    pub title: Option<String>,
    /// What the source is called: a file's name.
    pub name: String,
    /// When the source was written, for those that tell no time.
    pub time: Option<Timestamp>,
    /// Hides secrets before events are cut into parts.
    pub masker: Option<Masker>,
    /// The source is being written now, and whoever reads it starts and ends the session: nothing is held back, and
    /// neither `session.started` nor `session.ended` is said.
    pub live: bool,
    /// The terminal of what tools print, in a session whose own terminal shows something else.
    pub terminal: Option<String>,
    /// Tells this reading from others of the same source, where equal records without a name are not the same one:
    /// what comes over a network is read once.
    pub reading: String,
}

/// Reads one source of one format.
pub struct Reader {
    format: Format,
    options: Options,
    adapter: Box<dyn Adapter>,
    copies: Copies,
    held: Vec<Draft>,
    held_records: usize,
    held_bytes: usize,
    is_released: bool,
    number: u64,
    session: Option<String>,
    folder: Option<String>,
    time: Option<Timestamp>,
    about: Map<String, Value>,
    /// Sessions that have begun, each with its agent.
    begun: HashMap<String, (SessionId, AgentId)>,
    end_reason: Option<&'static str>,
    /// The source said itself that its session ended, and nothing after it.
    has_ended: bool,
    is_within_session: bool,
    report: Report,
}

impl Reader {
    /// A reader at the beginning of its source.
    pub fn new(format: Format, options: Options) -> Self {
        let adapter: Box<dyn Adapter> = match format {
            Format::ClaudeTranscript | Format::ClaudeHooks => Box::new(claude::Transcript::default()),
            Format::ClaudeStreamJson => Box::new(claude::StreamJson::default()),
            Format::CodexExec => Box::new(codex::Exec::default()),
            Format::CodexRollout => Box::new(codex::Rollout::default()),
            Format::Asciicast => Box::new(asciicast::Asciicast::default()),
        };
        Reader {
            format,
            options,
            adapter,
            copies: Copies::default(),
            held: Vec::new(),
            held_records: 0,
            held_bytes: 0,
            is_released: false,
            number: 0,
            session: None,
            folder: None,
            time: None,
            about: Map::new(),
            begun: HashMap::new(),
            end_reason: None,
            has_ended: false,
            is_within_session: false,
            report: Report::new(format),
        }
    }

    /// The format that is read.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The source's own name of the session that was read last.
    pub fn source_session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// What was read so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Reads the next line, without its end, and appends what it gives: nothing for blank lines, comments, copies,
    /// and records that only add to what others have told.
    pub fn read_line(&mut self, line: &[u8], out: &mut Vec<ImportedEvent>) {
        self.number += 1;
        let is_comment = self.format == Format::Asciicast && self.number > 1 && line.starts_with(b"#");
        if line.trim_ascii().is_empty() || is_comment {
            return;
        }
        self.report.lines += 1;
        let text = String::from_utf8_lossy(line);
        let parsed =
            json_line::parse(line).filter(|parsed| parsed.value.is_object() || parsed.value.is_array());
        let mut drafts = Vec::new();
        let said = match parsed {
            Some(parsed) => {
                let Some(identity) = self.identity(self.adapter.identity(&parsed.value), &text) else {
                    self.report.copies += 1;
                    return;
                };
                let mut output = output(&self.options, self.number, &mut drafts, &text, identity);
                output.said.keep_raw = parsed.mended;
                self.adapter.read(&parsed.value, &mut output);
                if output.drafts.is_empty() && output.said.keep_raw {
                    // All that events have a place for was told before; what else the record holds was not.
                    output.custom("record", json!({"line": output.number}));
                }
                output.said
            }
            None => {
                self.report.unreadable_lines += 1;
                let identity = self
                    .identity(Identity::Content, &text)
                    .expect("records without a name are never copies");
                let mut output = output(&self.options, self.number, &mut drafts, &text, identity);
                output.custom("unreadable", json!({"line": output.number, "bytes": line.len()}));
                output.keep_raw();
                output.said
            }
        };
        self.take(said, &mut drafts, &text);
        self.held.append(&mut drafts);
        self.held_records += 1;
        self.held_bytes += line.len();
        if self.is_ready() {
            self.release_held(out);
        }
    }

    /// Gives what is held back while session, agent and time are unknown: nothing may come for long.
    pub fn release(&mut self, out: &mut Vec<ImportedEvent>) {
        if !self.held.is_empty() {
            self.release_held(out);
        }
    }

    /// The source has ended: gives what was held back, and the end of the session.
    pub fn finish(&mut self, out: &mut Vec<ImportedEvent>) {
        self.release_held(out);
        if self.options.live || self.is_within_session || self.has_ended {
            return;
        }
        let Some(name) = self.session.clone().filter(|name| self.begun.contains_key(name)) else {
            return;
        };
        // One name whatever was read: where the source grows later, this stays the only one.
        let draft = Draft {
            session: Some(name),
            time: self.report.last_time,
            identity: "session".to_owned(),
            label: "ended".to_owned(),
            kind: "session.ended",
            data: Data::new()
                .with("reason", self.end_reason.unwrap_or("unknown"))
                .into_map(),
            cause: None,
            raw: None,
        };
        self.publish(draft, out);
    }

    /// `None` for a copy.
    fn identity(&mut self, identity: Identity<'_>, line: &str) -> Option<String> {
        match identity {
            Identity::Named(name) => self.copies.named(&name, line),
            Identity::Content => Some(self.copies.content(line, &self.options.reading)),
            Identity::Line => Some(format!("line {}{}", self.number, self.options.reading)),
        }
    }

    /// Keeps what the record says besides events, and completes its drafts.
    fn take(&mut self, said: Said, drafts: &mut [Draft], line: &str) {
        self.session = said.session.or(self.session.take());
        self.folder = said.folder.or(self.folder.take());
        self.time = said.time.or(self.time);
        self.end_reason = said.end_reason.or(self.end_reason);
        self.is_within_session |= said.is_within_session;
        if self.begun.is_empty() {
            self.about.extend(said.about);
        }
        for model in said.models {
            self.report.model(&model);
        }
        self.report.unknown_lines += u64::from(said.is_unknown);
        self.report.merged_lines += u64::from(drafts.is_empty());
        for draft in &mut *drafts {
            draft.session.clone_from(&self.session);
            draft.time = self.time;
            draft.cause.clone_from(&said.cause);
        }
        for at in 0..drafts.len() {
            let (before, rest) = drafts.split_at_mut(at);
            // A label that other records can name without knowing what this one became.
            if before.iter().all(|draft| draft.identity != rest[0].identity) {
                FIRST.clone_into(&mut rest[0].label);
            }
        }
        if let Some(first) = drafts.first_mut() {
            first.raw = said.keep_raw.then(|| line.to_owned());
        }
    }

    fn is_ready(&self) -> bool {
        let is_known = (self.session.is_some() || self.options.session.is_some())
            && (self.folder.is_some() || self.options.agent.is_some() || !self.format.tells_folder())
            && (self.time.is_some() || !self.format.tells_time());
        self.is_released
            || is_known
            || self.options.live
            || self.held_records >= HELD_RECORDS
            || self.held_bytes >= HELD_BYTES
    }

    fn release_held(&mut self, out: &mut Vec<ImportedEvent>) {
        self.is_released |= !self.held.is_empty();
        let time = self.held.iter().find_map(|draft| draft.time);
        let session = match self.held.iter().find_map(|draft| draft.session.clone()) {
            Some(session) => session,
            None => {
                let Some(first) = self.held.first() else {
                    return;
                };
                // Told from other unnamed sources by what it is called and what it says first.
                let unnamed = || format!("{:.16}", hex(&[&self.options.name, &first.identity]));
                self.session.get_or_insert_with(unnamed).clone()
            }
        };
        for mut draft in std::mem::take(&mut self.held) {
            draft.session.get_or_insert_with(|| session.clone());
            draft.time = draft.time.or(time).or(self.options.time);
            self.publish(draft, out);
        }
    }

    /// Gives the draft its ids and lets it go, the start of its session before it.
    fn publish(&mut self, draft: Draft, out: &mut Vec<ImportedEvent>) {
        let name = draft.session.clone().unwrap_or_default();
        let begins = !self.begun.contains_key(&name);
        if begins {
            let session = self.session_id(&name);
            let agent = self.agent_id();
            self.report.session(&session);
            self.begun.insert(name.clone(), (session, agent));
        }
        let (session, agent) = self.begun[&name].clone();
        if begins && draft.kind != "session.started" && !self.options.live {
            let start = Draft {
                identity: "session".to_owned(),
                label: "started".to_owned(),
                kind: "session.started",
                data: Map::new(),
                cause: None,
                raw: None,
                ..draft.clone()
            };
            self.emit(self.started(start), &session, &agent, out);
        }
        let mut draft = match draft.kind {
            // Not all of the tool's sessions are the whole of the run.
            "session.ended" if self.options.live => return,
            // As `finish` would name it, who says it when the source breaks off before.
            "session.ended" if self.options.reading.is_empty() => Draft {
                identity: "session".to_owned(),
                label: "ended".to_owned(),
                ..draft
            },
            "session.started" if begins && !self.options.live => self.started(draft),
            "session.started" => Draft {
                kind: "session.updated",
                ..draft
            },
            _ => draft,
        };
        self.has_ended = draft.kind == "session.ended";
        if let Some(terminal) = &self.options.terminal
            && draft.kind.starts_with("terminal.")
        {
            draft.data.insert("terminal".to_owned(), terminal.as_str().into());
        }
        self.emit(draft, &session, &agent, out);
    }

    /// The session's start, with what is known about it.
    fn started(&self, mut draft: Draft) -> Draft {
        let mut data = self.about.clone();
        data.append(&mut draft.data);
        data.entry("tags").or_insert_with(|| json!([self.format.tool()]));
        data.entry("agent_name")
            .or_insert_with(|| self.format.tool_name().into());
        for (name, told) in [
            ("visibility", &self.options.visibility),
            ("title", &self.options.title),
        ] {
            if let Some(told) = told {
                data.insert(name.to_owned(), told.as_str().into());
            }
        }
        Draft {
            identity: "session".to_owned(),
            label: "started".to_owned(),
            data,
            ..draft
        }
    }

    /// Puts markers in place of secrets, in the event and in the line that stays with it.
    fn mask(&mut self, draft: &mut Draft) {
        let Some(masker) = &self.options.masker else {
            return;
        };
        // A session's task is the beginning of a message, whose own event counts it.
        let task = draft
            .data
            .get_mut("task")
            .filter(|_| draft.kind.starts_with("session."));
        if let Some(task) = task {
            masker.mask_json(task);
        }
        let mut data = Value::Object(std::mem::take(&mut draft.data));
        self.report.masked(&masker.mask_json(&mut data));
        if let Value::Object(members) = data {
            draft.data = members;
        }
        if let Some(raw) = &draft.raw {
            // The same secrets again: they count once.
            let masked = masker.mask_json_text(raw);
            draft.raw = Some(masked.json.into_owned());
        }
    }

    fn emit(&mut self, mut draft: Draft, session: &SessionId, agent: &AgentId, out: &mut Vec<ImportedEvent>) {
        let event_id = |identity: &str, label: &str| {
            EventId::derive(&[
                b"import",
                session.as_str().as_bytes(),
                identity.as_bytes(),
                label.as_bytes(),
            ])
        };
        self.mask(&mut draft);
        let first = out.len();
        parts::split(
            ImportedEvent {
                id: event_id(&draft.identity, &draft.label),
                session: session.clone(),
                agent: agent.clone(),
                time: draft.time,
                kind: draft.kind,
                data: draft.data,
                cause: draft.cause.map(|cause| event_id(&cause, FIRST)),
                raw: draft.raw,
            },
            out,
        );
        for event in &out[first..] {
            self.report.observe(event);
        }
    }

    fn session_id(&self, name: &str) -> SessionId {
        self.options.session.clone().unwrap_or_else(|| {
            let prefix = self.format.session_prefix();
            SessionId::parse(&format!("{prefix}-{name}")).unwrap_or_else(|_| {
                SessionId::parse(&format!("{prefix}-{:.32}", hex(&[name])))
                    .expect("letters, digits and hyphens are a session id")
            })
        })
    }

    fn agent_id(&self) -> AgentId {
        let from_folder = || {
            let folder = self.folder.as_deref()?.trim_end_matches(['/', '\\']);
            let name = folder.rsplit(['/', '\\']).next()?;
            let name: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
            AgentId::parse(name.trim()).ok()
        };
        let named = self.options.agent.clone().or_else(from_folder);
        named.unwrap_or_else(|| AgentId::parse(self.format.tool()).expect("a tool's name is an agent id"))
    }
}

/// Where the adapter says what the record at `number` means.
fn output<'r>(
    options: &'r Options,
    number: u64,
    drafts: &'r mut Vec<Draft>,
    line: &'r str,
    identity: String,
) -> Output<'r> {
    Output {
        drafts,
        line,
        number,
        source_name: &options.name,
        source_time: options.time,
        identity,
        said: Said::default(),
    }
}

/// The records that were read, to know copies of them.
#[derive(Default)]
struct Copies {
    /// Hash of a name -> hash of the first record of that name.
    names: HashMap<u64, u64>,
    /// Hash of a record without a name, or a second one of a name -> how many there were.
    contents: HashMap<u64, u32>,
}

impl Copies {
    fn named(&mut self, name: &str, line: &str) -> Option<String> {
        let line_hash = short_hash(line);
        match self.names.insert(short_hash(name), line_hash) {
            None => Some(name.to_owned()),
            Some(first) => {
                self.names.insert(short_hash(name), first);
                let other = line_hash ^ short_hash(name);
                if first == line_hash || self.contents.insert(other, 1).is_some() {
                    return None;
                }
                Some(format!("{name} {}", hex(&[line])))
            }
        }
    }

    fn content(&mut self, line: &str, reading: &str) -> String {
        let count = self.contents.entry(short_hash(line)).or_default();
        *count += 1;
        format!("{} {count}{reading}", hex(&[line]))
    }
}

/// The same for the life of a process; never written anywhere.
pub(crate) fn short_hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

/// SHA-256 in hexadecimal, the parts told from each other.
pub(crate) fn hex(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
