//! Recordings of other tools, from files to a server: what `kulti import` does.
//!
//! What records mean is kulti-adapters'. Here is what touches the disk and the network: which files there are, their
//! lines, which of them belong to one session, sending, following.

mod follow;
mod group;
mod source;
mod sources;
mod upload;

pub(crate) use follow::{Follower, LOOK};
pub(crate) use group::read_group;
pub(crate) use source::SourceOptions;
pub(crate) use sources::{Found, find_sources, groups};
pub(crate) use upload::{Batch, Batches, Upload, upload};
