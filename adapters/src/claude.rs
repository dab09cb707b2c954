//! Claude Code: its transcripts and its stream-json, which say the same in two envelopes, and its hooks.

mod approvals;
mod hooks;
mod messages;
mod stream_json;
mod tokens;
mod tools;
mod transcript;

pub(crate) use stream_json::StreamJson;
pub(crate) use transcript::Transcript;
