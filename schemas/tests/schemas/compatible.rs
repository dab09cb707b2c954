//! An incompatible change cannot pass: versions of a kind read each other, and released files do not change.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use kulti_schemas::{RegisteredSchema, schemas};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{crate_path, read, read_text};

fn compatible(a: &str, b: &str) -> bool {
    let (a, b) = (Schema::parse_str(a).unwrap(), Schema::parse_str(b).unwrap());
    matches!(SchemaCompatibility::mutual_read(&a, &b), Ok(Compatibility::Full))
}

fn file_of(schema: &RegisteredSchema) -> String {
    format!("avro/{}/v{}.avsc", schema.kind, schema.version)
}

#[test]
fn every_version_of_a_kind_is_fully_compatible_with_every_other() {
    for a in schemas() {
        for b in schemas().iter().filter(|b| b.kind == a.kind) {
            assert!(compatible(a.json, b.json), "{} and {}", file_of(a), file_of(b));
        }
    }
}

#[test]
fn the_check_refuses_what_would_break_a_reader() {
    let thought = schemas()
        .iter()
        .find(|schema| schema.kind == "thought")
        .unwrap()
        .json;
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut schema: Value = serde_json::from_str(thought).unwrap();
        change(schema["fields"].as_array_mut().unwrap());
        compatible(thought, &schema.to_string())
    };
    assert!(with(&|_| {}));
    assert!(with(&|fields| fields.push(
        json!({"name": "new", "type": ["null", "string"], "default": null})
    )));
    assert!(
        !with(&|fields| fields.push(json!({"name": "new", "type": "string"}))),
        "a required field"
    );
    assert!(!with(&|fields| drop(fields.remove(1))), "a required field less");
    assert!(!with(&|fields| fields[1]["type"] = json!("long")), "another type");
    assert!(!with(&|fields| fields[1]["name"] = json!("text")), "another name");
    assert!(
        !with(&|fields| fields[2]["type"] = json!(["null", "long"])),
        "another type in a union"
    );
}

#[test]
fn released_schemas_are_never_edited() {
    // Made by `sha256sum avro/*/*.avsc`. A new version adds its line; no line ever changes.
    let frozen = read_text("tests/data/schemas.sha256");
    let mut files: Vec<String> = schemas().iter().map(file_of).collect();
    files.sort();
    let hash = |file: &String| {
        let digest = Sha256::digest(read(file));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}  {file}")
    };
    let now: Vec<String> = files.iter().map(hash).collect();
    assert_eq!(now, frozen.lines().collect::<Vec<_>>());
}

#[test]
fn every_file_is_in_the_table_as_it_is_on_disk() {
    let mut found = 0;
    for kind in std::fs::read_dir(crate_path("avro")).unwrap() {
        found += std::fs::read_dir(kind.unwrap().path()).unwrap().count();
    }
    assert_eq!(found, schemas().len());
    for schema in schemas() {
        assert_eq!(
            schema.json.as_bytes(),
            read(&file_of(schema)),
            "{}",
            file_of(schema)
        );
    }
}

#[test]
fn meta_is_the_same_bytes_in_every_schema() {
    let frozen = read_text("tests/data/meta.json");
    for schema in schemas() {
        let (_, after) = schema.json.split_once("\"fields\": [\n").unwrap();
        assert!(
            after.starts_with(&frozen),
            "{} does not begin with the frozen meta",
            file_of(schema)
        );
    }
}

#[test]
fn fields_are_named_so_that_readers_need_no_schema_to_map_them_back() {
    for schema in schemas() {
        let parsed: Value = serde_json::from_str(schema.json).unwrap();
        let fields = parsed["fields"].as_array().unwrap();
        let names: Vec<&str> = fields
            .iter()
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        assert_eq!(names[0], "meta");
        assert_eq!(names[names.len() - 2..], ["extra", "raw"]);
        for field in &fields[1..] {
            let name = field["name"].as_str().unwrap();
            assert_eq!(
                name.ends_with("_json"),
                field["kulti.json"] == true,
                "{} {name}",
                schema.kind
            );
            if field["type"].is_array() {
                assert_eq!(field["type"][0], "null");
                assert_eq!(field.get("default"), Some(&Value::Null), "{} {name}", schema.kind);
            }
        }
    }
}
