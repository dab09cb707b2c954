//! The pure folds from a session's events to its state. No I/O, no clock: native in consumers and gateway.

mod clock;
mod sequencer;
mod usage;

pub use clock::session_clock;
pub use sequencer::{Decision, SEQUENCER_IDS, Sequencer};
pub use usage::{Amounts, Usage};
