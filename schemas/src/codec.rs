//! The record's value: Confluent framing (0x00, 4-byte id, Avro), both directions.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::body::{BodyRead, BodyToWrite, Slot};
use crate::data::{data_from, fields_of};
use crate::plan::{self, Plan};
use crate::registry::{LAST_KIND_OF_FIRST_RELEASE, SchemaId};
use crate::{DataError, DecodeError, EncodeError, Event, Kind, Meta};

mod meta;

/// Bytes before the Avro: the magic byte and the id.
const FRAME: usize = 5;

/// The value of the record for this event: framed with the newest version's id.
///
/// Validates: `data` against its kind, and what readers would refuse in `meta` and `raw`.
///
/// # Errors
/// `Data` names the field; the other variants are faults of the caller or of this build.
pub fn encode_record(event: &Event) -> Result<Vec<u8>, EncodeError> {
    let entry = event
        .kind
        .entry()
        .ok_or_else(|| EncodeError::Kind(event.kind.name().to_owned()))?;
    let plan = plan::newest(entry).ok_or_else(|| EncodeError::Kind(entry.name.to_owned()))?;
    meta::check(&event.meta)?;
    let mut body = fields_of(plan, &event.data)?;
    body.push((true, raw_slot(event.raw.as_deref())?));

    let raw_length = event.raw.as_ref().map_or(0, String::len);
    let mut out = Vec::with_capacity(event.data.get().len() + raw_length + 200);
    out.push(0);
    out.extend_from_slice(&plan.id.0.to_be_bytes());
    let newer_kind = (entry.number > LAST_KIND_OF_FIRST_RELEASE).then_some(entry.name);
    let avro = |e: apache_avro::Error| EncodeError::Avro(e.to_string());
    plan::META
        .writer
        .write_ser(
            &mut out,
            &meta::MetaToWrite {
                meta: &event.meta,
                newer_kind,
            },
        )
        .map_err(avro)?;
    plan.body
        .writer
        .write_ser(&mut out, &BodyToWrite(&body))
        .map_err(avro)?;
    Ok(out)
}

fn raw_slot(raw: Option<&str>) -> Result<Slot<'_>, DataError> {
    match raw {
        Some(raw) if raw.contains('\0') => Err(DataError {
            field: "raw".into(),
            detail: "may not hold NUL".into(),
        }),
        Some(raw) => Ok(Slot::Text(Cow::Borrowed(raw))),
        None => Ok(Slot::Absent),
    }
}

/// Reads a record. Bounded in depth and allocation: the bytes may be anybody's.
///
/// A kind or version that this build does not know gives `Kind::Unknown`, with the record's bytes in `record` and
/// `{"base64", "schema"}` as data. A body that cannot be read gives `Kind::Unreadable` and `{"base64", "code"}`,
/// where code is `avro`, `trailing_bytes`, `data` or `raw`.
///
/// # Errors
/// Only for what has no readable `meta` or a key that is not its session.
pub fn decode_record(key: Option<&[u8]>, value: Option<&Bytes>) -> Result<Event, DecodeError> {
    let record = value.ok_or(DecodeError::Framing)?;
    let (id, mut rest) = unframe(record).ok_or(DecodeError::Framing)?;
    let mut meta = plan::META
        .reader
        .read_deser::<meta::MetaRead>(&mut rest)
        .map_err(|e| DecodeError::Meta(e.to_string()))?
        .checked()
        .map_err(DecodeError::Meta)?;
    if key != Some(meta.session_id.as_str().as_bytes()) {
        return Err(DecodeError::Key);
    }
    let Some(plan) = plan::by_id(id) else {
        let kind = Kind::Unknown(unknown_name(&meta, id));
        let data = Undecoded {
            base64: STANDARD.encode(record),
            schema: Some(id.0),
            code: None,
        };
        return Ok(undecoded(meta, kind, &data, record));
    };
    if id.kind_number() > LAST_KIND_OF_FIRST_RELEASE {
        meta.attributes.remove(meta::KIND_ATTRIBUTE);
    }
    Ok(match read_body(plan, rest) {
        Ok((data, raw)) => Event {
            meta,
            kind: plan.kind.clone(),
            data,
            raw,
            record: None,
        },
        Err(code) => {
            let data = Undecoded {
                base64: STANDARD.encode(record),
                schema: None,
                code: Some(code),
            };
            undecoded(meta, Kind::Unreadable, &data, record)
        }
    })
}

/// The kind that a record's frame names, without reading the record; `None` for what this build does not know.
pub fn kind_of_record(record: &[u8]) -> Option<&'static str> {
    let (id, _) = unframe(record)?;
    match plan::by_id(id)?.kind {
        Kind::Known(name) => Some(name),
        _ => None,
    }
}

fn unframe(record: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (frame, rest) = record.split_first_chunk::<FRAME>()?;
    let [0, id @ ..] = frame else { return None };
    let id = SchemaId(u32::from_be_bytes(*id));
    // Under any other id the first field need not be `meta`.
    id.is_ours().then_some((id, rest))
}

fn read_body(plan: &Plan, mut rest: &[u8]) -> Result<(Box<RawValue>, Option<String>), &'static str> {
    let BodyRead(mut slots) = plan.body.reader.read_deser(&mut rest).map_err(|_| "avro")?;
    if !rest.is_empty() {
        return Err("trailing_bytes");
    }
    let raw = match slots.pop() {
        // Postgres cannot store it as text.
        Some(Slot::Text(raw)) if raw.contains('\0') => return Err("raw"),
        Some(Slot::Text(raw)) => Some(raw.into_owned()),
        _ => None,
    };
    let data = data_from(plan, slots).map_err(|_| "data")?;
    Ok((data, raw))
}

/// Kinds newer than the first release tell their name; a newer version of a known kind must not pass for it, because
/// its data cannot be read here.
fn unknown_name(meta: &Meta, id: SchemaId) -> String {
    let is_name = |name: &&String| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b))
            && Kind::known(name).is_none()
            && *name != Kind::Unreadable.name()
    };
    match meta.attributes.get(meta::KIND_ATTRIBUTE).filter(is_name) {
        Some(name) => name.clone(),
        None => format!("unknown.{:08x}", id.0),
    }
}

#[derive(Serialize)]
struct Undecoded {
    base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

fn undecoded(meta: Meta, kind: Kind, data: &Undecoded, record: &Bytes) -> Event {
    let data = to_raw_value(data).expect("strings and numbers are JSON");
    Event {
        meta,
        kind,
        data,
        raw: None,
        record: Some(record.clone()),
    }
}

#[cfg(test)]
mod tests;
