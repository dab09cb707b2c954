//! Ids, event kinds, Avro schemas and the wire format: everything that two parts of Kulti must agree on.
//!
//! No I/O and no product logic. Nothing here depends on another crate of this workspace.

mod body;
mod codec;
mod data;
mod error;
mod event;
mod ids;
mod json_text;
mod kind;
mod plan;
mod redaction;
mod registry;
mod timestamp;
mod topic;

pub use codec::{decode_record, encode_record, kind_of_record};
pub use data::validate_data;
pub use error::{DataError, DecodeError, EncodeError, IdError};
pub use event::{Event, Meta, PositionedEvent, Source};
pub use ids::{AgentId, EventId, SessionId};
pub use kind::Kind;
pub use redaction::{
    MARKER, Mask, Redactions, escape_pointer_token, mask_data, mask_rendered, redaction_targets,
};
pub use registry::{RegisteredSchema, SchemaId, schema_by_id, schemas};
pub use timestamp::Timestamp;
pub use topic::{Topic, TopicNames, partition_of};
