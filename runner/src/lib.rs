//! Producing from a machine: everything between something that happens there and a server that has it.
//!
//! Owns the client's side of `POST /v1/events`, its retries, the spool, and commands under a pseudo-terminal. What the
//! records of tools mean is kulti-adapters' to say.
//!
//! The path of what a command prints: `relay` reads it from the command's terminal (`pty`) and shows it on the user's
//! (`terminal`); `recorder` masks it, makes an event of what comes together, and puts it into the `spool`; `upload`
//! sends it. `tool` brings what some tools tell besides, from their transcripts and hooks. `run` wires these for one command; `leftovers` sends what runs left behind in their `folder`.

pub mod backoff;
pub mod client;
pub mod error;
pub mod folder;
pub mod frame;
pub mod leftovers;
pub mod lines;
pub mod problem;
mod pty;
mod recorder;
mod relay;
pub mod run;
pub mod sender;
pub mod spool;
mod terminal;
pub mod tool;
pub mod upload;

pub use pty::Size;
pub use recorder::Tally;
