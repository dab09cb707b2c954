//! /asyncapi.json: what is said over a watch socket and in event streams, for machines. Written by hand; the tests hold
//! it to the code.

use axum::Router;
use axum::routing::get;

use crate::json::json_text;
use crate::state::AppState;

const DOCUMENT: &str = include_str!("asyncapi.json");

/// Serves the document.
pub(crate) fn asyncapi_router() -> Router<AppState> {
    Router::new().route(
        "/asyncapi.json",
        get(|| async { json_text(DOCUMENT.as_bytes().to_vec()) }),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::DOCUMENT;
    use crate::live::FrameType;
    use crate::watch::protocol::Op;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    /// The names of all messages that have this member as a constant.
    fn constants(member: &str) -> Vec<String> {
        let document = document();
        let messages = document["components"]["messages"].as_object().expect("messages");
        let constant = |message: &Value| {
            let constant = &message["payload"]["properties"][member]["const"];
            constant.as_str().map(str::to_owned)
        };
        let mut names: Vec<String> = messages.values().filter_map(constant).collect();
        names.sort();
        names
    }

    #[test]
    fn the_document_has_every_frame_and_every_message_and_no_others() {
        let mut frames: Vec<&str> = FrameType::ALL.iter().map(|kind| kind.as_str()).collect();
        frames.sort_unstable();
        assert_eq!(constants("type"), frames);
        let mut ops: Vec<&str> = Op::ALL.iter().map(|op| op.as_str()).collect();
        ops.sort_unstable();
        assert_eq!(constants("op"), ops);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        found.push(reference.clone());
                    }
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 40);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_page_for_people_has_every_message_too() {
        let page = include_str!("../../../docs/protocol.md");
        for op in Op::ALL {
            assert!(page.contains(&format!("\"op\":\"{}\"", op.as_str())), "{op:?}");
        }
    }
}
