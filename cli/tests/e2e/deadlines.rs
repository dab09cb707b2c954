//! Catching up within a time, while the session goes on.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::playback::recorded;
use crate::producer::{ids, send_steadily};
use crate::viewer::{assert_part_of, positions};

/// An event of this kind.
fn event(session: &str, kind: &str, data: Value) -> Value {
    json!({"id": Uuid::now_v7(), "session": session, "agent": "tester", "kind": kind, "data": data})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_caught_up_with_in_the_time_that_was_asked_for() {
    let mut recorded = recorded(500).await;
    let session = recorded.session.clone();
    let mut later = Vec::new();
    for index in 0..60 {
        let edit = json!({"path": format!("src/{index}.rs"), "action": "create", "content": "x"});
        later.push(event(&session, "code.changed", edit));
        let delta = |part| {
            let data = json!({"message": format!("m{index}"), "index": part, "text": "a"});
            event(&session, "message.delta", data)
        };
        later.extend((0..40).map(delta));
        let output = json!({"text": "test result: ok. 3 passed; 0 failed\n"});
        later.push(event(&session, "terminal.output", output));
    }
    recorded.gateway.send(&later).await;
    recorded.transcript.extend(ids(&later));
    let asked = Instant::now();
    let mut viewer = recorded
        .viewer(json!({"state": true, "speed": {"deadline_s": 4}}))
        .await;
    let time = Duration::from_secs(6);
    let producing = send_steadily(&recorded.gateway, &session, 100, time);
    let watching = async {
        let (mut seen, mut frames) = (Vec::new(), Vec::new());
        loop {
            let frame = viewer.frame().await;
            match frame["type"].as_str() {
                Some("events") => {
                    seen.extend(positions(&frame));
                    frames.push(frame["events"].as_array().expect("events").clone());
                }
                Some("caught_up") => return (seen, frames, asked.elapsed(), viewer),
                Some("clock" | "state" | "viewers") => {}
                _ => panic!("{frame}"),
            }
        }
    };
    let (sent, (mut seen, frames, landed, mut viewer)) = tokio::join!(producing, watching);
    recorded.transcript.extend(sent);
    // How near it lands is what the bench says; here it must not have been dumped at once, nor forgotten.
    assert!(landed >= Duration::from_millis(3_800), "{landed:?}");
    seen.extend(
        viewer
            .events_until(recorded.transcript.last().expect("events"))
            .await,
    );
    assert_part_of(&recorded.transcript, &seen, "who caught up");
    for events in &frames {
        let alone = |event: &Value| {
            event["kind"] == "code.changed"
                || event["data"]["text"]
                    .as_str()
                    .is_some_and(|text| text.contains("passed"))
        };
        assert!(events.len() == 1 || !events.iter().any(alone), "{events:?}");
    }
    assert!(frames.iter().any(|events| events.len() > 5), "deltas are folded");
}
