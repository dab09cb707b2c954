//! The read models and the code that writes them. The readers are in the gateway; the contract between the two is
//! `migrations/README.md`.
//!
//! `replay` decides what an event is and which position it has, and writes it (design: invariants 3 and 6). `life`
//! watches for sessions that fell silent, `masking` for secrets that several events are together.

pub mod life;
pub mod masking;
pub mod replay;
pub mod segments;
