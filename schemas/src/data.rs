//! `data` from JSON to a record's fields and back, following the plan: what fits its field exactly goes there,
//! every other member keeps its JSON text in `extra`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::body::Slot;
use crate::json_text::{self, Members};
use crate::plan::{self, Holds, Plan};
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

/// The JSON object that these fields, `extra` the last of them, came from.
///
/// # Errors
/// Good Avro, but a text in it is no JSON that `data` could hold, or a member is there twice.
pub(crate) fn data_from(
    plan: &Plan,
    mut slots: Vec<Slot<'static>>,
) -> Result<Box<RawValue>, serde_json::Error> {
    let mut extra = match slots.pop() {
        Some(Slot::Map(extra)) => extra,
        _ => return Err(serde_json::Error::custom("no extra")),
    };
    // Our encoder has sorted them already.
    extra.sort_by(|a, b| a.0.cmp(&b.0));
    if extra.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(serde_json::Error::custom("extra names a member twice"));
    }
    serde_json::value::to_raw_value(&Object {
        plan,
        slots: &slots,
        extra: &extra,
    })
}

/// Written straight from what was read: `to_raw_value` trusts it, so texts are checked on the way.
struct Object<'a> {
    plan: &'a Plan,
    slots: &'a [Slot<'static>],
    extra: &'a [(Cow<'static, str>, Cow<'static, str>)],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, slot) in self.plan.fields.iter().zip(self.slots) {
            if self.is_in_extra(&field.name) {
                continue;
            }
            match (field.holds, slot) {
                (_, Slot::Absent) => {}
                (Holds::Json, Slot::Text(text)) => map.serialize_entry(&field.name, &JsonText(text))?,
                (Holds::BytesOfText, Slot::Bytes(bytes)) => match str::from_utf8(bytes) {
                    Ok(text) => map.serialize_entry(&field.name, text)?,
                    Err(_) => {
                        let name = self.name_for_bytes()?;
                        map.serialize_entry(name, &STANDARD.encode(bytes))?;
                    }
                },
                (Holds::BytesOfBase64, Slot::Bytes(bytes)) => {
                    map.serialize_entry(&field.name, &STANDARD.encode(bytes))?;
                }
                (_, slot) => map.serialize_entry(&field.name, slot)?,
            }
        }
        for (name, text) in self.extra {
            map.serialize_entry(name, &JsonText(text))?;
        }
        map.end()
    }
}

impl Object<'_> {
    fn is_in_extra(&self, name: &str) -> bool {
        !self.extra.is_empty()
            && self
                .extra
                .binary_search_by(|(other, _)| other.as_ref().cmp(name))
                .is_ok()
    }

    /// The member for a text's bytes that are no UTF-8. Our encoder writes no such text, but readers get the bytes
    /// all the same, unless something else is there under that name.
    fn name_for_bytes<E: serde::ser::Error>(&self) -> Result<&str, E> {
        let mut fields = self.plan.fields.iter().zip(self.slots);
        match fields.find(|(field, _)| field.holds == Holds::BytesOfBase64) {
            Some((field, Slot::Absent)) if !self.is_in_extra(&field.name) => Ok(&field.name),
            _ => Err(E::custom("a text is no UTF-8")),
        }
    }
}

struct JsonText<'a>(&'a str);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(self.0).map_err(S::Error::custom)?;
        match json_text::tidy(value.get()).map_err(S::Error::custom)? {
            Cow::Borrowed(_) => value.serialize(serializer),
            Cow::Owned(tidied) => RawValue::from_string(tidied)
                .map_err(S::Error::custom)?
                .serialize(serializer),
        }
    }
}
