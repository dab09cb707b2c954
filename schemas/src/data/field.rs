//! One member of `data` into its typed field, and whether the field alone gives the member back exactly.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::{form, wrong, wrong_member};
use crate::DataError;
use crate::body::Slot;
use crate::json_text::{self, kind_of};
use crate::plan::{Field, Holds};

/// What the field wants, for people.
pub(super) fn expected(field: &Field) -> &'static str {
    match field.holds {
        Holds::String | Holds::BytesOfText => "a string",
        Holds::BytesOfBase64 => "a string in base64 (standard alphabet, with padding)",
        Holds::Long if field.round => "a number within 64 bits",
        Holds::Long => "a whole number within 64 bits",
        Holds::Double => "a number within the range of a double",
        Holds::Boolean => "a boolean",
        Holds::Strings => "an array of strings",
        Holds::Json => "any JSON",
    }
}

/// The field's value, and true if it says all that `text` says.
pub(super) fn read<'a>(field: &Field, text: &'a str) -> Result<(Slot<'a>, bool), DataError> {
    let mismatch = || {
        wrong_member(
            &field.name,
            format!("expected {}, found {}", expected(field), shown(text)),
        )
    };
    match field.holds {
        Holds::String => {
            let string = string(field, text)?;
            form::check_values(&field.name, &string, field.values.as_deref())?;
            form::check_form(&field.name, &string, field.form)?;
            let exact = shown_by_every_reader(string.as_bytes());
            Ok((Slot::Text(string), exact))
        }
        Holds::BytesOfText => {
            let bytes = match string(field, text)? {
                Cow::Borrowed(string) => Cow::Borrowed(string.as_bytes()),
                Cow::Owned(string) => Cow::Owned(string.into_bytes()),
            };
            let exact = shown_by_every_reader(&bytes);
            Ok((Slot::Bytes(bytes), exact))
        }
        Holds::BytesOfBase64 => {
            let bytes = STANDARD
                .decode(string(field, text)?.as_bytes())
                .map_err(|e| wrong_member(&field.name, format!("expected {}: {e}", expected(field))))?;
            let exact = shown_by_every_reader(&bytes);
            Ok((Slot::Bytes(Cow::Owned(bytes)), exact))
        }
        Holds::Long => {
            let (number, exact) = long(text, field.round).ok_or_else(mismatch)?;
            Ok((Slot::Long(number), exact))
        }
        Holds::Double => {
            let (number, exact) = double(text).ok_or_else(mismatch)?;
            Ok((Slot::Double(number), exact))
        }
        Holds::Boolean => match text {
            "true" => Ok((Slot::Boolean(true), true)),
            "false" => Ok((Slot::Boolean(false), true)),
            _ => Err(mismatch()),
        },
        Holds::Strings => strings(field, text),
        Holds::Json => {
            let tidied = json_text::tidy(text).map_err(|detail| wrong_member(&field.name, detail))?;
            match &field.shape {
                Some(shape) if field.required || text != "null" => {
                    form::check_shape(&field.name, text, shape)?
                }
                _ => {}
            }
            Ok((Slot::Text(tidied), true))
        }
    }
}

/// Avro's C library, and with it kcat, ends a string at NUL. So that its output still gives `data` back, such a
/// value is repeated in `extra`, where it is escaped.
fn shown_by_every_reader(bytes: &[u8]) -> bool {
    !bytes.contains(&0)
}

fn string<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, DataError> {
    match json_text::string(text) {
        Some(Ok(string)) => Ok(string),
        Some(Err(e)) => Err(wrong_member(&field.name, format!("not text: {e}"))),
        None => Err(wrong_member(
            &field.name,
            format!("expected {}, found {}", expected(field), shown(text)),
        )),
    }
}

fn strings<'a>(field: &Field, text: &'a str) -> Result<(Slot<'a>, bool), DataError> {
    let elements: Vec<&'a RawValue> = serde_json::from_str(text).map_err(|_| {
        wrong_member(
            &field.name,
            format!("expected {}, found {}", expected(field), kind_of(text)),
        )
    })?;
    let mut strings = Vec::with_capacity(elements.len());
    let mut exact = true;
    for (index, element) in elements.iter().enumerate() {
        let place = || format!("data.{}[{index}]", field.name);
        match json_text::string(element.get()) {
            Some(Ok(string)) => {
                exact &= shown_by_every_reader(string.as_bytes());
                strings.push(string);
            }
            Some(Err(e)) => return Err(wrong(place(), format!("not text: {e}"))),
            None => {
                return Err(wrong(
                    place(),
                    format!("expected a string, found {}", kind_of(element.get())),
                ));
            }
        }
    }
    Ok((Slot::Strings(strings), exact))
}

/// The number itself where it is short enough to help.
fn shown(text: &str) -> String {
    match kind_of(text) {
        "a number" if text.len() <= 40 => text.to_owned(),
        kind => kind.to_owned(),
    }
}

fn long(text: &str, round: bool) -> Option<(i64, bool)> {
    if let Ok(number) = text.parse::<i64>() {
        // JSON has no other spelling that an i64 would not be written in.
        return Some((number, text != "-0"));
    }
    let number = json_number(text)?;
    let whole = number.round();
    // 2^63 is a double, 2^63 - 1 is not.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole);
    (fits && (round || whole == number)).then_some((whole as i64, false))
}

fn double(text: &str) -> Option<(f64, bool)> {
    let number = json_number(text)?;
    let mut written = [0; 32];
    let mut rest = &mut written[..];
    serde_json::to_writer(&mut rest, &number).ok()?;
    let length = 32 - rest.len();
    Some((number, written[..length] == *text.as_bytes()))
}

/// Rust's parser also takes words such as `inf`, which JSON text cannot be; too large becomes infinite.
fn json_number(text: &str) -> Option<f64> {
    if kind_of(text) != "a number" {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_field_says_when_it_is_not_the_whole_truth() {
        assert_eq!(long("5", false), Some((5, true)));
        assert_eq!(long("-9223372036854775808", false), Some((i64::MIN, true)));
        assert_eq!(long("-0", false), Some((0, false)));
        assert_eq!(long("1.0", false), Some((1, false)));
        assert_eq!(long("1e3", false), Some((1000, false)));
        assert_eq!(long("1.5", true), Some((2, false)));
        for refused in ["1.5", "9223372036854775808", "1e19", "1e400", "true", "\"5\""] {
            assert_eq!(long(refused, false), None, "{refused}");
        }
    }

    #[test]
    fn a_double_field_says_when_it_is_not_the_whole_truth() {
        assert_eq!(double("0.1"), Some((0.1, true)));
        assert_eq!(double("1"), Some((1.0, false)));
        assert_eq!(double("0.10"), Some((0.1, false)));
        let (zero, exact) = double("-0.0").unwrap();
        assert!(exact && zero.is_sign_negative());
        assert_eq!(double("1e400"), None);
        assert_eq!(double("null"), None);
    }
}
