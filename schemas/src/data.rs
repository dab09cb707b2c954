//! `data` from JSON to a record's fields and back, following the plan: what fits its field exactly goes there,
//! every other member keeps its JSON text in `extra`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::body::Slot;
use crate::json_text::{self, Members};
use crate::plan::{self, Field, Holds, Plan};
use crate::{DataError, Kind};

mod field;
mod form;

/// Checks that `data` is what the kind asks for: required fields present, types right, closed sets kept.
/// Unknown fields are fine and are kept. `encode_record` checks the same: there is no need to call both.
///
/// # Errors
/// Names the first field that is wrong.
pub fn validate_data(kind: &Kind, data: &RawValue) -> Result<(), DataError> {
    match kind.entry().and_then(plan::newest) {
        Some(plan) => fields_of(plan, data).map(drop),
        None => Err(DataError {
            field: "kind".into(),
            detail: format!("{kind} cannot be written"),
        }),
    }
}

fn wrong(field: impl Into<String>, detail: impl Into<String>) -> DataError {
    DataError {
        field: field.into(),
        detail: detail.into(),
    }
}

fn wrong_member(name: &str, detail: impl Into<String>) -> DataError {
    wrong(format!("data.{name}"), detail)
}

/// One (nullable, value) per field of the body up to `extra`, in the schema's order.
pub(crate) fn fields_of<'a>(plan: &Plan, data: &'a RawValue) -> Result<Vec<(bool, Slot<'a>)>, DataError> {
    let text = data.get();
    let Members(members) = serde_json::from_str(text).map_err(|e| match text.starts_with('{') {
        true => wrong("data", e.to_string()),
        false => wrong(
            "data",
            format!("expected an object, found {}", json_text::kind_of(text)),
        ),
    })?;
    // Room for `raw`, which the caller adds.
    let mut slots = Vec::with_capacity(plan.fields.len() + 2);
    slots.extend(plan.fields.iter().map(|field| (!field.required, Slot::Absent)));
    let mut extra = Vec::new();
    let mut seen: u64 = 0;
    let mut of_group = 0;
    for (name, value) in members {
        let text = value.get();
        let Some(index) = plan.fields.iter().position(|field| field.name == name) else {
            if name.contains('\0') {
                // Avro's C library, and with it kcat, would end the name there.
                return Err(wrong("data", "a name may not hold \\u0000"));
            }
            let tidied = json_text::tidy(text).map_err(|detail| wrong_member(&name, detail))?;
            extra.push((name, tidied));
            continue;
        };
        let field = &plan.fields[index];
        if seen & 1 << index != 0 {
            return Err(twice(&name));
        }
        seen |= 1 << index;
        if text == "null" && !field.required && field.holds != Holds::Json {
            extra.push((name, Cow::Borrowed("null")));
            continue;
        }
        of_group += usize::from(plan.one_of.contains(&field.name));
        let (slot, exact) = field::read(field, text)?;
        slots[index].1 = slot;
        if !exact {
            let tidied = json_text::tidy(text).map_err(|detail| wrong_member(&name, detail))?;
            extra.push((name, tidied));
        }
    }
    if let Some((_, field)) = plan
        .fields
        .iter()
        .enumerate()
        .find(|(i, field)| field.required && seen & 1 << i == 0)
    {
        return Err(wrong_member(
            &field.name,
            format!("is required: expected {}", field::expected(field)),
        ));
    }
    if !plan.one_of.is_empty() && of_group != 1 {
        return Err(wrong(
            "data",
            format!("exactly one of {} is required", plan.one_of.join(", ")),
        ));
    }
    extra.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = extra.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(twice(&pair[0].0));
    }
    slots.push((false, Slot::Map(extra)));
    Ok(slots)
}

fn twice(name: &str) -> DataError {
    wrong_member(name, "is there twice")
}

/// Why a body that is good Avro is still no `data`.
#[derive(Debug)]
pub(crate) struct NotData;

/// The JSON object that these fields, `extra` the last of them, came from.
pub(crate) fn data_from(plan: &Plan, mut slots: Vec<Slot<'static>>) -> Result<Box<RawValue>, NotData> {
    let Some(Slot::Map(extra)) = slots.pop() else {
        return Err(NotData);
    };
    let extra = extra_from(extra)?;
    let mut members = Vec::with_capacity(slots.len() + extra.len());
    for (field, slot) in plan.fields.iter().zip(slots) {
        let Some((name, value)) = member_from(plan, field, slot)? else {
            continue;
        };
        if is_in(&extra, &field.name) || is_in(&extra, name) {
            continue;
        }
        if members.iter().any(|(other, _)| other == name) {
            return Err(NotData);
        }
        members.push((Cow::Borrowed(name), value));
    }
    members.extend(extra.into_iter().map(|(name, json)| (name, Member::Json(json))));
    serde_json::value::to_raw_value(&Object(&members)).map_err(|_| NotData)
}

type Extra = Vec<(Cow<'static, str>, Box<RawValue>)>;

/// Sorted by name, which our encoder has done already.
fn extra_from(texts: Vec<(Cow<'static, str>, Cow<'static, str>)>) -> Result<Extra, NotData> {
    let mut extra = Vec::with_capacity(texts.len());
    for (name, text) in texts {
        extra.push((name, json_text::parse(text.into_owned()).map_err(|_| NotData)?));
    }
    extra.sort_by(|a, b| a.0.cmp(&b.0));
    match extra.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err(NotData),
        false => Ok(extra),
    }
}

fn is_in(extra: &Extra, name: &str) -> bool {
    !extra.is_empty()
        && extra
            .binary_search_by(|(other, _)| other.as_ref().cmp(name))
            .is_ok()
}

fn member_from<'a>(
    plan: &'a Plan,
    field: &'a Field,
    slot: Slot<'static>,
) -> Result<Option<(&'a str, Member)>, NotData> {
    let mut name = field.name.as_str();
    let value = match (field.holds, slot) {
        (_, Slot::Absent) => return Ok(None),
        (Holds::Json, Slot::Text(text)) => {
            Member::Json(json_text::parse(text.into_owned()).map_err(|_| NotData)?)
        }
        (Holds::BytesOfText, Slot::Bytes(bytes)) => match String::from_utf8(bytes.into_owned()) {
            Ok(text) => Member::Slot(Slot::Text(Cow::Owned(text))),
            // Not what our encoder writes, but bytes are bytes: readers get them all the same.
            Err(not_text) => {
                let as_base64 = plan
                    .fields
                    .iter()
                    .find(|field| field.holds == Holds::BytesOfBase64);
                name = &as_base64.ok_or(NotData)?.name;
                Member::Slot(Slot::Text(Cow::Owned(STANDARD.encode(not_text.as_bytes()))))
            }
        },
        (Holds::BytesOfBase64, Slot::Bytes(bytes)) => {
            Member::Slot(Slot::Text(Cow::Owned(STANDARD.encode(bytes))))
        }
        (_, slot) => Member::Slot(slot),
    };
    Ok(Some((name, value)))
}

enum Member {
    Slot(Slot<'static>),
    Json(Box<RawValue>),
}

struct Object<'a>(&'a [(Cow<'a, str>, Member)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, member) in self.0 {
            match member {
                Member::Slot(slot) => map.serialize_entry(name, slot)?,
                Member::Json(json) => map.serialize_entry(name, json)?,
            }
        }
        map.end()
    }
}
