//! What a session says about itself, and whether it has ended.

use serde::{Deserialize, Serialize};

use super::event::{FoldEvent, moment};
use super::fields::Fields;
use super::short;
use super::window::beginning;

const TEXT_BYTES: usize = 4_000;
const TAGS: usize = 50;

/// The fold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The session's id.
    pub session: String,
    /// Whose it is.
    pub agent: String,
    /// The agent's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// Its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_avatar: Option<String>,
    /// The session's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the agent was asked to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The session's clock at its first event, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Set while it is over; a later event of the agent opens it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The agent's last event: what a timeout names as its cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_event: Option<String>,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// completed, failed, cancelled, timeout, ...
    pub reason: String,
    /// What came out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When: RFC 3339.
    pub at: String,
    /// Position of the event that says so.
    pub position: i64,
}

impl Profile {
    /// Takes what every event says. `clock` is the session's clock at the event.
    pub(super) fn begin(&mut self, event: &FoldEvent<'_>, clock: i64) {
        if self.started_at.is_none() {
            self.session = event.session.to_string();
            self.agent = event.agent.to_string();
            self.started_at = Some(moment(clock));
        }
    }

    pub(super) fn apply(&mut self, event: &FoldEvent<'_>, clock: i64) {
        match event.kind.as_ref() {
            "session.started" | "session.updated" => self.apply_profile(&Fields::of(event.data)),
            "session.ended" => self.end(event, clock),
            _ if event.is_agents() => self.ended = None,
            _ => {}
        }
        if event.is_agents() {
            self.agent_event = Some(event.id.to_string());
        }
    }

    fn apply_profile(&mut self, fields: &Fields<'_>) {
        let long = |name| {
            fields
                .text(name)
                .map(|text| beginning(&text, TEXT_BYTES).to_owned())
        };
        self.ended = None;
        replace(&mut self.agent_name, short(fields, "agent_name"));
        replace(&mut self.agent_avatar, long("agent_avatar"));
        replace(&mut self.title, long("title"));
        replace(&mut self.task, long("task"));
        if let Some(tags) = fields.value::<Vec<String>>("tags") {
            self.tags = tags
                .iter()
                .take(TAGS)
                .map(|tag| beginning(tag, 100).to_owned())
                .collect();
        }
    }

    /// A timeout names the silence that it ends: one that the agent has overtaken changes nothing.
    fn end(&mut self, event: &FoldEvent<'_>, clock: i64) {
        let overtaken = event.cause.is_some() && event.cause.as_deref() != self.agent_event.as_deref();
        if event.source == "system" && (self.ended.is_some() || overtaken) {
            return;
        }
        let fields = Fields::of(event.data);
        self.ended = Some(Ended {
            reason: short(&fields, "reason").unwrap_or_default(),
            result: fields
                .text("result")
                .map(|text| beginning(&text, TEXT_BYTES).to_owned()),
            at: moment(clock.max(event.time.min(event.received))),
            position: event.position,
        });
    }
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}
