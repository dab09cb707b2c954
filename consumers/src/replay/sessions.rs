//! The fold from events to a session's row: what a batch changes in it.

use std::borrow::Cow;
use std::collections::HashMap;

use kulti_schemas::{Event, EventId, Source, Timestamp};
use serde_json::value::RawValue;

use super::partition::SessionState;

/// What one batch changes in a session's row. What is `None` stays as it is.
#[derive(Debug, Default)]
pub(super) struct SessionChange {
    /// What the session's first event says; None if it has a row already.
    pub(super) begun: Option<Begun>,
    /// The last event of the batch.
    pub(super) last: Option<LastEvent>,
    /// Ingest time of the agent's last event of the batch.
    pub(super) agent_event_at: Option<Timestamp>,
    pub(super) agent_name: Option<String>,
    pub(super) agent_avatar: Option<String>,
    pub(super) title: Option<String>,
    pub(super) task: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) visibility: Option<&'static str>,
    pub(super) status: Option<String>,
    pub(super) end: Option<End>,
    pub(super) used: bool,
}

#[derive(Debug)]
pub(super) struct Begun {
    pub(super) agent_id: String,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LastEvent {
    pub(super) id: EventId,
    pub(super) position: i64,
    pub(super) clock: Timestamp,
    pub(super) received: Timestamp,
}

/// Whether the session is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Ended {
        at: Timestamp,
        reason: String,
    },
    /// The agent went on.
    Reopened,
}

impl SessionChange {
    /// True once an event was noted.
    pub(super) fn touched(&self) -> bool {
        self.last.is_some()
    }

    /// Notes an event at its place.
    pub(super) fn note(&mut self, state: &mut SessionState, event: &Event, position: i64, clock: Timestamp) {
        let meta = &event.meta;
        if position == 1 {
            self.begun = Some(Begun {
                agent_id: meta.agent_id.as_str().to_owned(),
                at: clock,
            });
        }
        self.last = Some(LastEvent {
            id: meta.event_id,
            position,
            clock,
            received: meta.received,
        });
        match event.kind.name() {
            "session.started" | "session.updated" => self.note_profile(&event.data),
            "status.changed" => {
                if let Some(status) = Fields::of(&event.data).text("status") {
                    self.status = Some(status);
                }
            }
            "usage" => {
                state
                    .usage
                    .apply(meta.producer.as_deref(), meta.generation, &event.data);
                self.used = true;
            }
            _ => {}
        }
        if event.kind.name() == "session.ended" {
            self.note_end(state, event, clock);
        } else if meta.source == Source::Agent && state.ended {
            state.ended = false;
            self.end = Some(End::Reopened);
        }
        if meta.source == Source::Agent {
            self.agent_event_at = Some(meta.received);
            state.agent_event_id = Some(meta.event_id);
        }
    }

    fn note_profile(&mut self, data: &RawValue) {
        let fields = Fields::of(data);
        replace(&mut self.agent_name, fields.text("agent_name"));
        replace(&mut self.agent_avatar, fields.text("agent_avatar"));
        replace(&mut self.title, fields.text("title"));
        replace(&mut self.task, fields.text("task"));
        replace(&mut self.tags, fields.texts("tags"));
        replace(
            &mut self.visibility,
            fields.text("visibility").and_then(|text| visibility(&text)),
        );
    }

    fn note_end(&mut self, state: &mut SessionState, event: &Event, clock: Timestamp) {
        let meta = &event.meta;
        // A timeout names the silence that it ends: one that the agent has overtaken, or that comes to a session
        // which has ended, changes nothing.
        let overtaken = meta.cause.is_some() && meta.cause != state.agent_event_id;
        if meta.source == Source::System && (state.ended || overtaken) {
            return;
        }
        let reason = Fields::of(&event.data).text("reason").unwrap_or_default();
        state.ended = true;
        self.end = Some(End::Ended {
            at: clock.max(meta.time.min(meta.received)),
            reason,
        });
    }
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

fn visibility(text: &str) -> Option<&'static str> {
    ["public", "unlisted", "private"]
        .into_iter()
        .find(|known| *known == text)
}

/// Members of a JSON object, each parsed only when it is asked for: what is not what it should be is absent.
struct Fields<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Fields<'a> {
    fn of(data: &'a RawValue) -> Self {
        Fields(serde_json::from_str(data.get()).unwrap_or_default())
    }

    fn text(&self, name: &str) -> Option<String> {
        let text: String = serde_json::from_str(self.0.get(name)?.get()).ok()?;
        Some(without_nul(text))
    }

    fn texts(&self, name: &str) -> Option<Vec<String>> {
        let texts: Vec<String> = serde_json::from_str(self.0.get(name)?.get()).ok()?;
        Some(texts.into_iter().map(without_nul).collect())
    }
}

/// Postgres' `text` cannot hold NUL.
fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "")
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
