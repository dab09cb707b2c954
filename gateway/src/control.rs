//! SQL on the schema `control`: the few facts that are not in the log. Each is taken by one conditional statement.

mod agent_sessions;
pub(crate) mod asciinema;
mod keys;
mod owners;

pub(crate) use agent_sessions::{AgentSession, current_session, drop_session, restore_session, take_session};
pub use keys::{CreatedKey, KeyRecord, NewKey, Scope, create_key, list_keys, revoke_key};
pub(crate) use keys::{any_key, find_key, hash_key, key_id};
pub(crate) use owners::{session_owner, take_ownership};
