//! Foreign recordings of agents as Kulti's events: one adapter per format, none of which does I/O.
//!
//! [`detect`] names the format of a file by its content; a [`Reader`] takes its lines one after the other and gives
//! events with derived ids, so that the same line gives the same event whenever and however often it is read. What an
//! adapter does not know is kept (`custom`, `raw`), never dropped. `docs/agents/ADDING.md` says how to add a format.

mod adapter;
mod asciicast;
mod calls;
mod claude;
mod codex;
mod draft;
mod event;
mod fields;
mod format;
mod json_line;
mod parts;
mod reader;
mod report;
mod twice;
mod usage;

pub use adapter::{Adapter, Identity, Output};
pub use asciicast::terminal_title;
pub use event::ImportedEvent;
pub use format::{DETECTION_BYTES, Format, detect};
pub use reader::{Options, Reader};
pub use report::{Report, Tokens};
