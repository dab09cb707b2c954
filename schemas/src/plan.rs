//! What a schema says about `data`, compiled once: the one generic mapper between JSON and Avro follows it, so that
//! the .avsc files stay the only place where a kind's fields are written down.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::Value;

use crate::Kind;
use crate::registry::{KINDS, KindEntry, SchemaId};

/// One version of one kind.
pub(crate) struct Plan {
    pub id: SchemaId,
    pub kind: Kind,
    /// The members of `data` that have a field, in the schema's order.
    pub fields: Vec<Field>,
    /// Exactly one of these members must be there (`kulti.one_of`); empty: no such rule.
    pub one_of: Vec<String>,
    /// The record without its `meta`, which is written and read by itself: Avro records are their fields one
    /// after the other.
    pub body: Codec,
}

/// One field of `data`.
pub(crate) struct Field {
    /// The member's name in JSON.
    pub name: String,
    pub required: bool,
    pub holds: Holds,
    /// The closed set of values (`kulti.values`), checked at ingest only.
    pub values: Option<Vec<String>>,
    /// What form a string must have (`kulti.form`), checked at ingest only.
    pub form: Form,
    /// What free JSON must look like (`kulti.shape`), checked at ingest only.
    pub shape: Option<Value>,
    /// A fraction is rounded for the typed field instead of refused (`kulti.round`).
    pub round: bool,
}

/// How a field holds its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    String,
    Long,
    Double,
    Boolean,
    /// An array of strings.
    Strings,
    /// Any JSON, as its text (`kulti.json`); the field is named after the member plus `_json`.
    Json,
    /// A string whose UTF-8 bytes are the field (`kulti.bytes`: text).
    BytesOfText,
    /// A string in base64 whose bytes are the field (`kulti.bytes`: base64).
    BytesOfBase64,
}

/// Forms of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Any,
    String,
    EventId,
    SessionId,
    Time,
}

/// A schema ready to write and to read.
pub(crate) struct Codec {
    pub writer: GenericDatumWriter<'static>,
    pub reader: GenericDatumReader<'static>,
}

/// The most that a single string or array of a record may make apache-avro allocate: far above what the topic
/// takes, far below what would hurt.
const MAX_ALLOCATION_BYTES: usize = 16 << 20;

const MAX_FIELDS: usize = 64;

static PLANS: LazyLock<Vec<Vec<Plan>>> = LazyLock::new(|| {
    apache_avro::util::max_allocation_bytes(MAX_ALLOCATION_BYTES);
    KINDS
        .iter()
        .map(|entry| {
            entry
                .versions
                .iter()
                .map(|&(v, json)| compile(entry, v, json))
                .collect()
        })
        .collect()
});

/// How `meta` is written and read: the same for every record of every build.
pub(crate) static META: LazyLock<Codec> = LazyLock::new(|| {
    let record = parse_json(KINDS[0].versions[0].1);
    codec(&record["fields"][0]["type"])
});

/// The newest version's plan of a kind.
pub(crate) fn newest(entry: &KindEntry) -> Option<&'static Plan> {
    let index = KINDS.binary_search_by_key(&entry.number, |e| e.number).ok()?;
    PLANS[index].last()
}

/// The plan of exactly this schema, if this build has it.
pub(crate) fn by_id(id: SchemaId) -> Option<&'static Plan> {
    let index = KINDS.binary_search_by_key(&id.kind_number(), |e| e.number).ok()?;
    PLANS[index].get(usize::from(id.version()).checked_sub(1)?)
}

fn compile(entry: &KindEntry, version: u8, json: &str) -> Plan {
    let mut record = parse_json(json);
    let one_of = names(&record["kulti.one_of"]).unwrap_or_default();
    let fields = record["fields"].as_array_mut().expect("a record has fields");
    fields.remove(0);
    // The last two are `extra` and `raw`.
    let of_data: Vec<Field> = fields.iter().take(fields.len() - 2).map(compile_field).collect();
    assert!(
        of_data.len() <= MAX_FIELDS,
        "{}: the mapper marks fields in 64 bits",
        entry.name
    );
    Plan {
        id: SchemaId::of(entry.number, version),
        kind: Kind::Known(entry.name),
        fields: of_data,
        one_of,
        body: codec(&record),
    }
}

fn compile_field(field: &Value) -> Field {
    let name = field["name"].as_str().expect("a field has a name");
    let (required, ty) = match field["type"].as_array() {
        Some(union) => (false, &union[1]),
        None => (true, &field["type"]),
    };
    let (name, holds) = match (ty.as_str(), field["kulti.bytes"].as_str()) {
        (Some("string"), None) if field["kulti.json"] == true => (
            name.strip_suffix("_json").expect("free JSON is named *_json"),
            Holds::Json,
        ),
        (Some("string"), None) => (name, Holds::String),
        (Some("long"), None) => (name, Holds::Long),
        (Some("double"), None) => (name, Holds::Double),
        (Some("boolean"), None) => (name, Holds::Boolean),
        (Some("bytes"), Some("text")) => (name, Holds::BytesOfText),
        (Some("bytes"), Some("base64")) => (name, Holds::BytesOfBase64),
        (None, None) if ty["type"] == "array" && ty["items"] == "string" => (name, Holds::Strings),
        _ => panic!("field {name} has a type that the mapper does not know"),
    };
    Field {
        name: name.to_owned(),
        required,
        holds,
        values: names(&field["kulti.values"]),
        form: field["kulti.form"].as_str().map_or(Form::String, Form::named),
        shape: field.get("kulti.shape").cloned(),
        round: field["kulti.round"] == true,
    }
}

impl Form {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "any" => Form::Any,
            "string" => Form::String,
            "event" => Form::EventId,
            "session" => Form::SessionId,
            "time" => Form::Time,
            _ => panic!("no form is called {name}"),
        }
    }
}

fn parse_json(text: &str) -> Value {
    serde_json::from_str(text).expect("embedded schemas are JSON")
}

fn names(list: &Value) -> Option<Vec<String>> {
    let names = list
        .as_array()?
        .iter()
        .map(|name| name.as_str().expect("a list of names").to_owned());
    Some(names.collect())
}

fn codec(schema: &Value) -> Codec {
    // Leaked once per embedded schema: writer and reader borrow it for the life of the process.
    let schema: &'static Schema = Box::leak(Box::new(
        Schema::parse(schema).expect("embedded schemas are Avro"),
    ));
    Codec {
        writer: GenericDatumWriter::builder(schema)
            .build()
            .expect("embedded schemas name what they define"),
        reader: GenericDatumReader::builder(schema)
            .build()
            .expect("embedded schemas name what they define"),
    }
}
