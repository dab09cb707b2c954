//! `data_from_avro.py` gives `data` back from what kcat prints.

use std::fmt::Write;
use std::process::{Command, Stdio};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use kulti_schemas::schemas;
use serde_json::{Map, Value as Json};

use crate::{crate_path, read, read_text};

/// As Avro's C library prints a value: unions wrapped in their branch's name, bytes as Latin-1, and text only up to
/// the first NUL.
fn printed(value: &Value, schema: &Schema) -> Json {
    let until_nul = |text: &str| Json::from(text.split('\0').next().unwrap());
    match (value, schema) {
        (Value::Union(index, inner), Schema::Union(union)) => {
            let branch = &union.variants()[*index as usize];
            let name = match branch {
                Schema::Null => return Json::Null,
                Schema::Uuid(_) | Schema::String => "string",
                Schema::Bytes => "bytes",
                Schema::Long => "long",
                Schema::Double => "double",
                Schema::Boolean => "boolean",
                Schema::Array(_) => "array",
                other => panic!("no field is a union with {other:?}"),
            };
            Json::Object(Map::from_iter([(name.to_owned(), printed(inner, branch))]))
        }
        (Value::Record(fields), Schema::Record(record)) => fields
            .iter()
            .zip(&record.fields)
            .map(|((name, value), field)| (name.clone(), printed(value, &field.schema)))
            .collect::<Map<_, _>>()
            .into(),
        (Value::Array(items), Schema::Array(array)) => items
            .iter()
            .map(|item| printed(item, &array.items))
            .collect::<Vec<_>>()
            .into(),
        (Value::Map(items), Schema::Map(map)) => {
            let mut members: Vec<_> = items.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, item)| (name.clone(), printed(item, &map.types)))
                .collect::<Map<_, _>>()
                .into()
        }
        (Value::String(text), _) => until_nul(text),
        (Value::Uuid(uuid), _) => uuid.to_string().into(),
        (Value::Bytes(bytes), _) => {
            until_nul(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
        }
        (Value::Long(number) | Value::TimestampMicros(number), _) => (*number).into(),
        (Value::Double(number), _) => (*number).into(),
        (Value::Boolean(yes), _) => (*yes).into(),
        other => panic!("no field is {other:?}"),
    }
}

#[test]
fn kcats_output_gives_the_data_back() {
    let mut lines = String::new();
    let mut expected = Vec::new();
    for schema in schemas() {
        let record = read(&format!("tests/data/{}/v{}.bin", schema.kind, schema.version));
        let parsed = Schema::parse_str(schema.json).unwrap();
        let reader = GenericDatumReader::builder(&parsed).build().unwrap();
        let value = reader.read_value(&mut &record[5..]).unwrap();
        writeln!(lines, "{}", printed(&value, &parsed)).unwrap();
        let event = read_text(&format!(
            "tests/data/{}/v{}.expected.json",
            schema.kind, schema.version
        ));
        let event: Json = serde_json::from_str(&event).unwrap();
        expected.push(event["data"].clone());
    }
    let python = Command::new("python3")
        .arg(crate_path("data_from_avro.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        println!("python3 is not here: data_from_avro.py was not tried");
        return;
    };
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let got: Vec<Json> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(got, expected);
}
