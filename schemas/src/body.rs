//! A record's body between JSON and Avro: one value per field, and how apache-avro writes and reads them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeTuple, Serializer};

/// One field's value. Absent is Avro's null.
#[derive(Debug)]
pub(crate) enum Slot<'a> {
    Absent,
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Long(i64),
    Double(f64),
    Boolean(bool),
    Strings(Vec<Cow<'a, str>>),
    /// Only `extra`: names and JSON texts.
    Map(Vec<(Cow<'a, str>, Cow<'a, str>)>),
}

impl Serialize for Slot<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Slot::Absent => serializer.serialize_none(),
            Slot::Text(text) => serializer.serialize_str(text),
            Slot::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Slot::Long(number) => serializer.serialize_i64(*number),
            Slot::Double(number) => serializer.serialize_f64(*number),
            Slot::Boolean(yes) => serializer.serialize_bool(*yes),
            Slot::Strings(strings) => serializer.collect_seq(strings),
            Slot::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, text) in members {
                    map.serialize_entry(name, text)?;
                }
                map.end()
            }
        }
    }
}

/// A field whose type is a union of null and something.
struct Nullable<'a>(&'a Slot<'a>);

impl Serialize for Nullable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Slot::Absent => serializer.serialize_none(),
            slot => serializer.serialize_some(slot),
        }
    }
}

/// What is written: every field of the body with whether it is nullable, in the schema's order.
///
/// A tuple, because apache-avro writes those by place; structs and maps it looks up by name.
pub(crate) struct BodyToWrite<'a>(pub &'a [(bool, Slot<'a>)]);

impl Serialize for BodyToWrite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for (nullable, slot) in self.0 {
            match nullable {
                true => tuple.serialize_element(&Nullable(slot))?,
                false => tuple.serialize_element(slot)?,
            }
        }
        tuple.end()
    }
}

/// What was read: the body's fields in the schema's order.
pub(crate) struct BodyRead(pub Vec<Slot<'static>>);

impl<'de> Deserialize<'de> for BodyRead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;
        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = BodyRead;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BodyRead, A::Error> {
                let mut slots = Vec::with_capacity(map.size_hint().unwrap_or(0).min(64));
                while let Some(FieldName) = map.next_key()? {
                    slots.push(map.next_value()?);
                }
                Ok(BodyRead(slots))
            }
        }
        deserializer.deserialize_any(BodyVisitor)
    }
}

/// Fields come in the schema's order, so their names need not be looked at.
struct FieldName;

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = FieldName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }
            fn visit_str<E>(self, _: &str) -> Result<FieldName, E> {
                Ok(FieldName)
            }
        }
        deserializer.deserialize_identifier(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Slot<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SlotVisitor)
    }
}

struct SlotVisitor;

impl<'de> Visitor<'de> for SlotVisitor {
    type Value = Slot<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Slot::Absent)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Slot::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Slot::Text(Cow::Owned(text)))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
        Ok(Slot::Bytes(Cow::Owned(bytes)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Slot::Long(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Slot::Double(number))
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Self::Value, E> {
        Ok(Slot::Boolean(yes))
    }

    // Lengths come from foreign bytes: nothing is reserved by them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut strings = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            strings.push(Cow::Owned(text));
        }
        Ok(Slot::Strings(strings))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            members.push((Cow::Owned(name), Cow::Owned(text)));
        }
        Ok(Slot::Map(members))
    }
}
