//! The fields of an item, split without looking into them, and parsed one by one.

use std::borrow::Cow;

use kulti_schemas::{IdError, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problem::{Code, Problem};

const MAX_PRODUCER_CHARACTERS: usize = 256;

/// The fields of an item as texts: each is parsed by itself, so that a problem names its field.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) id: Option<&'a RawValue>,
    pub(super) session: Option<&'a RawValue>,
    pub(super) agent: Option<&'a RawValue>,
    pub(super) time: Option<&'a RawValue>,
    pub(super) kind: Option<&'a RawValue>,
    pub(super) data: Option<&'a RawValue>,
    pub(super) cause: Option<&'a RawValue>,
    pub(super) producer: Option<&'a RawValue>,
    pub(super) generation: Option<&'a RawValue>,
    pub(super) seq: Option<&'a RawValue>,
    pub(super) raw: Option<&'a RawValue>,
    pub(super) ignored: Vec<String>,
    pub(super) repeated: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum FieldName {
    Id,
    Session,
    Agent,
    Time,
    Kind,
    Data,
    Cause,
    Producer,
    Generation,
    Seq,
    Raw,
    Other(String),
}

pub(super) struct FieldsVisitor;

impl<'de> serde::de::Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<FieldName>()? {
            let value: &'de RawValue = map.next_value()?;
            let (name, place) = match name {
                FieldName::Id => ("id", &mut fields.id),
                FieldName::Session => ("session", &mut fields.session),
                FieldName::Agent => ("agent", &mut fields.agent),
                FieldName::Time => ("time", &mut fields.time),
                FieldName::Kind => ("kind", &mut fields.kind),
                FieldName::Data => ("data", &mut fields.data),
                FieldName::Cause => ("cause", &mut fields.cause),
                FieldName::Producer => ("producer", &mut fields.producer),
                FieldName::Generation => ("generation", &mut fields.generation),
                FieldName::Seq => ("seq", &mut fields.seq),
                FieldName::Raw => ("raw", &mut fields.raw),
                FieldName::Other(name) => {
                    fields.ignored.push(name);
                    continue;
                }
            };
            if place.is_some() {
                fields.repeated = Some(name);
            }
            *place = Some(value).filter(|value| value.get() != "null");
        }
        Ok(fields)
    }
}

pub(super) fn required<'a>(
    field: &'static str,
    value: Option<&'a RawValue>,
) -> Result<&'a RawValue, Problem> {
    value.ok_or_else(|| Problem::field(Code::MissingField, field, format!("`{field}` is needed")))
}

pub(super) fn string<'a>(field: &'static str, value: &'a RawValue) -> Result<Cow<'a, str>, Problem> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'a>>(value.get())
        .map(|Text(text)| text)
        .map_err(|error| Problem::field(Code::InvalidField, field, format!("must be a string: {error}")))
}

pub(super) fn parsed_id<T>(
    field: &'static str,
    value: &RawValue,
    parse: impl FnOnce(&str) -> Result<T, IdError>,
) -> Result<T, Problem> {
    let text = string(field, value)?;
    parse(&text).map_err(|error| Problem::field(Code::InvalidId, field, error.to_string()))
}

pub(super) fn parsed_time(value: &RawValue) -> Result<Timestamp, Problem> {
    let text = string("time", value)?;
    Timestamp::parse(&text).ok_or_else(|| {
        Problem::field(
            Code::InvalidField,
            "time",
            "must be RFC 3339, 2026-01-31T12:00:00.5Z for instance",
        )
    })
}

pub(super) fn parsed_producer(value: &RawValue) -> Result<String, Problem> {
    let text = string("producer", value)?;
    if text.chars().count() > MAX_PRODUCER_CHARACTERS || text.chars().any(char::is_control) {
        let detail =
            format!("must be at most {MAX_PRODUCER_CHARACTERS} characters without control characters");
        return Err(Problem::field(Code::InvalidField, "producer", detail));
    }
    Ok(text.into_owned())
}

/// A line that an adapter read; lines hold no NUL, and neither does a text in Postgres.
pub(super) fn parsed_raw(value: &RawValue) -> Result<String, Problem> {
    let text = string("raw", value)?;
    if text.contains('\0') {
        return Err(Problem::field(Code::InvalidField, "raw", "must not hold NUL"));
    }
    Ok(text.into_owned())
}

pub(super) fn whole_number(field: &'static str, value: &RawValue) -> Result<i64, Problem> {
    match serde_json::from_str::<i64>(value.get()) {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err(Problem::field(
            Code::InvalidField,
            field,
            "must be a whole number, 0 or more",
        )),
    }
}
