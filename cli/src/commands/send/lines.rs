//! Completes an event: its id before it is first sent, and what the flags say where it says nothing.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use kulti_runner::sender::OutgoingEvent;

/// For events that do not name their own.
pub(super) struct Defaults {
    pub(super) session: Option<String>,
    pub(super) agent: Option<String>,
}

/// The event as it is sent; values that are there are passed on byte for byte.
pub(super) fn complete(line: &str, defaults: &Defaults) -> Result<OutgoingEvent, String> {
    let mut event: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
    let mut default = |name: &str, value: Option<&str>| -> Result<(), String> {
        if !event.contains_key(name) {
            let value = value.ok_or_else(|| format!("{name} is missing: name it with --{name}"))?;
            event.insert(
                name.to_owned(),
                to_raw_value(value).map_err(|error| error.to_string())?,
            );
        }
        Ok(())
    };
    default("session", defaults.session.as_deref())?;
    default("agent", defaults.agent.as_deref())?;
    default("id", Some(&Uuid::now_v7().to_string()))?;
    // An id that is no text is the server's to refuse; here it is only a name for the result.
    let id = serde_json::from_str(event["id"].get()).unwrap_or_else(|_| event["id"].get().to_owned());
    let json = serde_json::to_string(&event).map_err(|error| error.to_string())?;
    // Line ends may stand between the parts of a JSON text, but would end a line of NDJSON.
    let json = if json.contains(['\n', '\r']) {
        one_line(&json)?
    } else {
        json
    };
    Ok(OutgoingEvent { id, json })
}

fn one_line(json: &str) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            session: Some("s".to_owned()),
            agent: Some("a".to_owned()),
        }
    }

    #[test]
    fn what_is_there_stays_byte_for_byte() {
        let line = r#"{"id":"x","session":"own","kind":"custom","data":{"n":1.0,"big":12345678901234567890123,"u":"\u0041"}}"#;
        let event = complete(line, &defaults()).expect("an event");
        assert_eq!(event.id, "x");
        assert!(
            event
                .json
                .contains(r#""data":{"n":1.0,"big":12345678901234567890123,"u":"\u0041"}"#)
        );
        assert!(event.json.contains(r#""session":"own""#) && event.json.contains(r#""agent":"a""#));
    }

    #[test]
    fn ids_are_made_before_the_first_send_and_ascend() {
        let ids: Vec<String> = (0..100)
            .map(|_| complete("{}", &defaults()).expect("an event").id)
            .collect();
        let mut sorted = ids.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(ids, sorted);
        let event: Value =
            serde_json::from_str(&complete("{}", &defaults()).expect("an event").json).expect("JSON");
        assert!(event["id"].is_string());
    }

    #[test]
    fn missing_names_and_broken_lines_are_named() {
        let nothing = Defaults {
            session: None,
            agent: None,
        };
        assert!(
            complete("{}", &nothing)
                .expect_err("no session")
                .contains("--session")
        );
        assert!(
            complete("[1]", &defaults())
                .expect_err("no object")
                .contains("not a JSON object")
        );
        assert!(complete("{", &defaults()).is_err());
    }
}
