//! Bytes that were once written are read for ever, by today's code and with the whole schema alike.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use kulti_schemas::{PositionedEvent, RegisteredSchema, Timestamp, decode_record, encode_record, schemas};

use crate::{crate_path, read, read_text, samples};

fn file(schema: &RegisteredSchema, end: &str) -> String {
    format!("tests/data/{}/v{}.{end}", schema.kind, schema.version)
}

fn rendered(record: &Bytes) -> String {
    let event = decode_record(Some(samples::SESSION.as_bytes()), Some(record)).unwrap();
    let mut json = Vec::new();
    PositionedEvent {
        position: 1,
        clock: Timestamp(0),
        event,
    }
    .write_json(&mut json);
    json.push(b'\n');
    String::from_utf8(json).unwrap()
}

#[test]
fn frozen_bytes_of_every_version_are_read_as_ever() {
    for schema in schemas() {
        let record = Bytes::from(read(&file(schema, "bin")));
        assert_eq!(
            rendered(&record),
            read_text(&file(schema, "expected.json")),
            "{}",
            file(schema, "bin")
        );
    }
}

#[test]
fn the_newest_version_writes_the_frozen_bytes() {
    for schema in newest() {
        let record = encode_record(&samples::event(schema.kind)).unwrap();
        assert_eq!(record, read(&file(schema, "bin")), "{}", schema.kind);
    }
}

/// Our codec writes `meta` and the rest by themselves: anybody with the whole schema must see one record.
#[test]
fn frozen_bytes_are_one_avro_record_of_the_whole_schema() {
    for schema in schemas() {
        let record = read(&file(schema, "bin"));
        assert_eq!(record[0], 0);
        assert_eq!(record[1..5], schema.id.0.to_be_bytes());
        let parsed = Schema::parse_str(schema.json).unwrap();
        let mut rest = &record[5..];
        let value = GenericDatumReader::builder(&parsed)
            .build()
            .unwrap()
            .read_value(&mut rest)
            .unwrap();
        assert!(rest.is_empty(), "{}", schema.kind);
        let again = GenericDatumWriter::builder(&parsed)
            .build()
            .unwrap()
            .write_value_to_vec(value)
            .unwrap();
        assert_eq!(again, record[5..], "{}", schema.kind);
    }
}

/// Writes what is missing after a kind or version was added; never replaces a file.
#[test]
#[ignore = "a tool: cargo test -p kulti-schemas --test schemas -- --ignored freeze_what_is_new"]
fn freeze_what_is_new() {
    for schema in newest() {
        let path = crate_path(&file(schema, "bin"));
        if path.exists() {
            continue;
        }
        let record = Bytes::from(encode_record(&samples::event(schema.kind)).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(crate_path(&file(schema, "expected.json")), rendered(&record)).unwrap();
        std::fs::write(path, record).unwrap();
    }
}

fn newest() -> impl Iterator<Item = &'static RegisteredSchema> {
    let is_newest = |schema: &&RegisteredSchema| {
        !schemas()
            .iter()
            .any(|other| other.kind == schema.kind && other.version > schema.version)
    };
    schemas().iter().filter(is_newest)
}
