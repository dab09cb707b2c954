//! The record's value: Confluent framing (0x00, 4-byte id, Avro), both directions.

use bytes::Bytes;

use crate::{DecodeError, EncodeError, Event};

/// The value of the record for this event: framed with the newest version's id.
pub fn encode_record(_event: &Event) -> Result<Vec<u8>, EncodeError> {
    todo!()
}

/// Reads a record. Bounded in depth and allocation: the bytes may be anybody's.
///
/// # Errors
/// Only for what has no readable `meta` or a key that is not its session.
pub fn decode_record(_key: Option<&[u8]>, _value: Option<&Bytes>) -> Result<Event, DecodeError> {
    todo!()
}
