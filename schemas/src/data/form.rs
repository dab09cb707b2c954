//! What a schema's own attributes ask of strings and of free JSON, beyond their Avro type.

use serde_json::Value;
use serde_json::value::RawValue;

use super::wrong_member;
use crate::json_text::{self, Members, kind_of};
use crate::plan::Form;
use crate::{DataError, EventId, SessionId, Timestamp};

pub(super) fn check_values(name: &str, text: &str, values: Option<&[String]>) -> Result<(), DataError> {
    match values {
        Some(values) if !values.iter().any(|value| value == text) => Err(wrong_member(
            name,
            format!("expected one of {}", values.join(", ")),
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_form(name: &str, text: &str, form: Form) -> Result<(), DataError> {
    let problem = match form {
        Form::Any | Form::String => None,
        Form::EventId => EventId::parse(text).err().map(|e| e.0),
        Form::SessionId => SessionId::parse(text).err().map(|e| e.0),
        Form::Time => Timestamp::parse(text)
            .is_none()
            .then(|| "expected a time as in RFC 3339".into()),
    };
    problem.map_or(Ok(()), |detail| Err(wrong_member(name, detail)))
}

/// `shape` is a form's name, `[shape of each element]`, or `{"member": shape, "optional member?": shape}`;
/// members that it does not name are fine.
pub(super) fn check_shape(path: &str, text: &str, shape: &Value) -> Result<(), DataError> {
    let expected = |what: &str| wrong_member(path, format!("expected {what}, found {}", kind_of(text)));
    match shape {
        Value::Array(of) => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| expected("an array"))?;
            for (index, element) in elements.iter().enumerate() {
                check_shape(&format!("{path}[{index}]"), element.get(), &of[0])?;
            }
        }
        Value::Object(shapes) => {
            let Members(members) = serde_json::from_str(text).map_err(|_| expected("an object"))?;
            for (name, shape) in shapes {
                let (name, optional) = name
                    .strip_suffix('?')
                    .map_or((name.as_str(), false), |n| (n, true));
                let place = format!("{path}.{name}");
                match members
                    .iter()
                    .find(|(member, _)| member == name)
                    .map(|(_, value)| value.get())
                {
                    None | Some("null") if optional => {}
                    None => return Err(wrong_member(&place, "is required")),
                    Some(text) => check_shape(&place, text, shape)?,
                }
            }
        }
        Value::String(form) => match Form::named(form) {
            Form::Any => {}
            form => {
                let string = json_text::string(text).ok_or_else(|| expected("a string"))?;
                let string = string.map_err(|e| wrong_member(path, format!("not text: {e}")))?;
                check_form(path, &string, form)?;
            }
        },
        _ => {}
    }
    Ok(())
}
