//! Which run of a producer speaks: what an older one still sends after its successor has spoken is not shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::FoldEvent;
use super::window::beginning;

/// Producers whose generations are remembered.
const PRODUCERS: usize = 64;
const NAME_BYTES: usize = 200;

/// The generations of a session's producers, as its events came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generations(BTreeMap<String, Generation>);

/// The generation that speaks for a producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Generation {
    number: i64,
    /// Position of its last event.
    position: i64,
}

impl Generations {
    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes note of the event. True if a later run of the same producer has spoken before it.
    pub fn is_superseded(&mut self, event: &FoldEvent<'_>) -> bool {
        let (Some(producer), Some(number)) = (event.producer.as_deref(), event.generation) else {
            return false;
        };
        let position = event.position;
        let producer = beginning(producer, NAME_BYTES);
        match self.0.get_mut(producer) {
            Some(known) if known.number > number => return true,
            Some(known) => *known = Generation { number, position },
            None => {
                self.0
                    .insert(producer.to_owned(), Generation { number, position });
            }
        }
        if self.0.len() > PRODUCERS {
            let longest_silent = self.0.iter().min_by_key(|(_, known)| known.position);
            if let Some(name) = longest_silent.map(|(name, _)| name.clone()) {
                self.0.remove(&name);
            }
        }
        false
    }
}
