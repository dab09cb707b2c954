//! The pure folds from a session's events to its state. No I/O, no clock: native in consumers and gateway, and without
//! the feature `log` (what reads the log's own types) as WebAssembly too.

#[cfg(feature = "log")]
mod clock;
#[cfg(feature = "log")]
mod sequencer;
mod usage;
pub mod workspace;

#[cfg(feature = "log")]
pub use clock::session_clock;
#[cfg(feature = "log")]
pub use sequencer::{Decision, SEQUENCER_IDS, Sequencer};
pub use usage::{Amounts, Usage};
pub use workspace::{FOLD, FoldEvent, Keyframe, Workspace};
