//! Recorded sessions, played as if their agents were at work now.

mod player;
mod recording;
mod remarks;

pub(crate) use self::player::{play, play_in_a_loop};
pub(crate) use self::recording::{Recording, Rerun};

/// Name and NDJSON of the sessions in examples/sessions, as they were when this was built.
pub(crate) const EXAMPLES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/example_sessions.rs"));
