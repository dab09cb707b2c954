//! The one place where secrets are masked at ingest, before Kafka (docs/ARCHITECTURE.md, invariant 10).
//!
//! Every way in passes here: `POST /v1/events`, the simple API, what viewers say. The rules are `kulti_masking`'s. What
//! only a later request makes a secret is not here: `kulti_consumers::masking` finds that in the rows.

mod streams;

use std::borrow::Cow;
use std::sync::LazyLock;

use kulti_masking::{Counts, Masker, Policy};
use kulti_schemas::Event;
use serde_json::value::RawValue;

use crate::metrics::GatewayMetrics;

/// Masks events on their way to the log.
pub(crate) struct Masking {
    masker: Masker,
    policy: Policy,
    metrics: GatewayMetrics,
}

impl Masking {
    pub(crate) fn new(policy: Policy, metrics: GatewayMetrics) -> Self {
        Masking {
            masker: Masker::new(policy.allow.clone()),
            policy,
            metrics,
        }
    }

    /// Masks the events of one request, also what is a secret only over several of them.
    pub(crate) fn mask_request<'a>(&self, events: impl Iterator<Item = &'a mut Event>) {
        let mut events: Vec<&mut Event> = events.filter(|event| self.is_on(event)).collect();
        let mut counts = streams::mask_joined(&self.masker, &mut events);
        for event in events {
            self.mask_alone(event, &mut counts);
        }
        self.record(&counts);
    }

    /// What masks what this agent says; none where that is switched off.
    pub(crate) fn masker_for(&self, agent: &str) -> Option<Masker> {
        self.policy.is_on_for(agent).then(|| self.masker.clone())
    }

    /// Masks one event.
    pub(crate) fn mask_event(&self, event: &mut Event) {
        if self.is_on(event) {
            let mut counts = Counts::default();
            self.mask_alone(event, &mut counts);
            self.record(&counts);
        }
    }

    fn is_on(&self, event: &Event) -> bool {
        self.policy.is_on_for(event.meta.agent_id.as_str())
    }

    fn mask_alone(&self, event: &mut Event, counts: &mut Counts) {
        let masked = self.masker.mask_json_text(event.data.get());
        counts.merge(&masked.counts);
        if let Cow::Owned(json) = masked.json {
            event.data = json_of(json);
        }
        if let Some(raw) = &mut event.raw {
            let is_json = serde_json::from_str::<&RawValue>(raw).is_ok();
            let (text, found) = match is_json {
                true => {
                    let masked = self.masker.mask_json_text(raw);
                    (masked.json, masked.counts)
                }
                false => {
                    let masked = self.masker.mask_text(raw);
                    (masked.text, masked.counts)
                }
            };
            counts.merge(&found);
            if let Cow::Owned(text) = text {
                *raw = text;
            }
        }
        if let Some(producer) = &mut event.meta.producer {
            let masked = self.masker.mask_text(producer);
            counts.merge(&masked.counts);
            if let Cow::Owned(text) = masked.text {
                *producer = text;
            }
        }
    }

    /// Counts what was masked.
    pub(crate) fn record(&self, counts: &Counts) {
        for (rule, count) in counts.iter() {
            self.metrics.record_masked(rule, count);
        }
    }
}

/// JSON of which only strings were replaced, by strings.
fn json_of(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("JSON whose strings became other strings is JSON")
}

/// What a client is told may quote what it sent: masked by every rule, whatever the settings let into the log.
pub(crate) fn mask_answer(text: String) -> String {
    static MASKER: LazyLock<Masker> = LazyLock::new(Masker::default);
    match MASKER.mask_text(&text).text {
        Cow::Borrowed(_) => text,
        Cow::Owned(masked) => masked,
    }
}

#[cfg(test)]
mod tests;
