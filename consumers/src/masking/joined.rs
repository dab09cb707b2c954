//! What events say together that is a secret, and how it is hidden.

use std::collections::BTreeMap;
use std::ops::Range;

use kulti_masking::{Masker, Part, Piece, part_of};
use kulti_schemas::{EventId, PositionedEvent};
use serde_json::{Value, json};

/// A secret over several events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JoinedSecret {
    pub(super) rule: &'static str,
    targets: Vec<Target>,
}

/// What of one event is hidden.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    event: EventId,
    member: &'static str,
    /// Characters of a text, bytes of base64.
    span: Range<usize>,
}

impl JoinedSecret {
    /// The data of its redaction. Says nothing of the secret but its rule.
    pub(super) fn data(&self) -> Value {
        let events: Vec<Value> = self
            .targets
            .iter()
            .map(|target| {
                json!({"event": target.event.to_string(), "field": format!("/{}", target.member),
                    "spans": [[target.span.start, target.span.end]]})
            })
            .collect();
        json!({"events": events, "reason": format!("masked: {}", self.rule)})
    }

    /// The same whoever finds it.
    pub(super) fn identity(&self) -> String {
        let targets = self.targets.iter().map(|target| {
            let Target { event, member, span } = target;
            format!("{event}/{member}/{}-{}", span.start, span.end)
        });
        targets.collect::<Vec<_>>().join(" ")
    }
}

/// The secrets over several of these events of a session, in order, of which a part is in one from `first_new` on.
pub(super) fn joined_secrets(
    masker: &Masker,
    events: &[PositionedEvent],
    first_new: usize,
) -> Vec<JoinedSecret> {
    let mut streams: BTreeMap<String, Vec<(usize, Part)>> = BTreeMap::new();
    for (index, positioned) in events.iter().enumerate() {
        if let Some(part) = part_of(positioned.event.kind.name(), positioned.event.data.get()) {
            streams
                .entry(part.stream.clone())
                .or_default()
                .push((index, part));
        }
    }
    let mut secrets = Vec::new();
    for parts in streams.values().filter(|parts| parts.len() > 1) {
        let pieces: Vec<Piece<'_>> = parts.iter().map(|(_, part)| Piece(&part.bytes)).collect();
        for joined in masker.joined(&pieces) {
            let is_new = joined
                .cuts
                .last()
                .is_some_and(|cut| parts[cut.piece].0 >= first_new);
            if is_new {
                let targets = joined.cuts.iter().map(|cut| {
                    let (index, part) = &parts[cut.piece];
                    Target {
                        event: events[*index].event.meta.event_id,
                        member: part.member,
                        span: span_of(part, &cut.range),
                    }
                });
                secrets.push(JoinedSecret {
                    rule: joined.rule,
                    targets: targets.collect(),
                });
            }
        }
    }
    secrets
}

fn span_of(part: &Part, bytes: &Range<usize>) -> Range<usize> {
    if part.member == "base64" {
        return bytes.clone();
    }
    let characters = |end: usize| String::from_utf8_lossy(&part.bytes[..end]).chars().count();
    characters(bytes.start)..characters(bytes.end)
}
