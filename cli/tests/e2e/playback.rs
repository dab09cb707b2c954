//! What a viewer may do on the way: seek, pause, play, speed, filter, say something. Whatever it does, it gets every event
//! after the place it went to, in order, once, and nothing of before.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{Cluster, Gateway, ReplayConsumer};
use crate::producer::{ids, session_id, thought};
use crate::viewer::{Viewer, assert_part_of, positions};

/// A second between events, which began an hour ago.
pub fn an_hour_ago(session: &str, count: usize) -> Vec<Value> {
    let start = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let event = |index: usize| {
        let time = start + chrono::TimeDelta::seconds(index as i64);
        let kind = if index % 10 == 9 { "usage" } else { "thought" };
        let data = match kind {
            "usage" => json!({"model": "m", "input": index}),
            _ => json!({"content": format!("step {}", index + 1)}),
        };
        json!({"id": Uuid::now_v7(), "session": session, "agent": "tester", "kind": kind, "data": data,
            "time": time.to_rfc3339()})
    };
    (0..count).map(event).collect()
}

pub struct Recorded {
    pub cluster: Cluster,
    pub gateway: Gateway,
    pub _replay: ReplayConsumer,
    pub session: String,
    pub events: Vec<Value>,
    pub transcript: Vec<String>,
}

/// A session that replay has all of.
pub async fn recorded(count: usize) -> Recorded {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let events = an_hour_ago(&session, count);
    for part in events.chunks(5_000) {
        gateway.send(part).await;
    }
    cluster.wait_for_rows(&session, count as i64).await;
    Recorded {
        transcript: ids(&events),
        cluster,
        gateway,
        _replay,
        session,
        events,
    }
}

impl Recorded {
    pub async fn viewer(&self, fields: Value) -> Viewer {
        let mut viewer = Viewer::connect(self.gateway.address).await;
        let mut message = json!({"op": "subscribe", "sub": "a", "session": self.session});
        let object = message.as_object_mut().expect("an object");
        object.extend(fields.as_object().expect("fields").clone());
        viewer.say(message).await;
        viewer
    }
}

/// The frame that answers the message with this `id`; everything before it is passed over.
async fn answer(viewer: &mut Viewer, id: u64) -> Value {
    loop {
        let frame = viewer.frame().await;
        if frame["id"] == id {
            return frame;
        }
    }
}

/// Goes somewhere and checks the state there; the position.
async fn seek(viewer: &mut Viewer, to: Value, id: u64) -> i64 {
    viewer
        .say(json!({"op": "seek", "sub": "a", "to": to, "id": id}))
        .await;
    let state = answer(viewer, id).await;
    assert_eq!(
        (&state["type"], &state["sub"]),
        (&json!("state"), &json!("a")),
        "{state}"
    );
    state["position"].as_i64().expect("a position")
}

/// Events up to this one.
async fn rest(viewer: &mut Viewer, recorded: &Recorded) -> Vec<(i64, String)> {
    viewer
        .events_until(recorded.transcript.last().expect("events"))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seek_shows_the_state_there_and_goes_on_with_what_comes_after_it() {
    let recorded = recorded(400).await;
    let mut viewer = recorded.viewer(json!({})).await;
    viewer.frame_of("caught_up").await;
    let start: chrono::DateTime<chrono::Utc> = recorded.events[0]["time"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    let moment = (start + chrono::TimeDelta::milliseconds(99_500)).to_rfc3339();
    let places = [
        (json!({"position": 250}), 250),
        (json!("start"), 0),
        (json!({"event": recorded.transcript[41]}), 42),
        (json!({"time": moment}), 100),
        (json!({"time": "2m30s"}), 151),
        (json!({"time": 30}), 31),
        (json!("live"), 400),
    ];
    for (id, (to, position)) in places.into_iter().enumerate() {
        assert_eq!(seek(&mut viewer, to.clone(), id as u64).await, position, "{to}");
        if position < 400 {
            let seen = rest(&mut viewer, &recorded).await;
            assert_eq!(seen[0].0, position + 1, "{to}");
            assert_part_of(&recorded.transcript, &seen, &to.to_string());
        }
        assert_eq!(viewer.frame_of("caught_up").await["position"], 400);
    }

    // The state is the session's as of there.
    viewer
        .say(json!({"op": "seek", "to": {"position": 13}, "id": "s"}))
        .await;
    let state = loop {
        let frame = viewer.frame().await;
        if frame["type"] == "state" {
            break frame;
        }
    };
    assert_eq!(
        (&state["session"], &state["id"]),
        (&json!(recorded.session), &json!("s"))
    );
    let thoughts = state["thoughts"].to_string();
    assert!(
        thoughts.contains("step 13\"") && !thoughts.contains("step 14\""),
        "{thoughts}"
    );

    // Who wants no state is told where it is instead.
    viewer
        .say(json!({"op": "seek", "to": {"position": 390}, "state": false, "id": 20}))
        .await;
    let clock = answer(&mut viewer, 20).await;
    assert_eq!(
        (&clock["type"], &clock["position"]),
        (&json!("clock"), &json!(390))
    );
    assert_eq!(rest(&mut viewer, &recorded).await[0].0, 391);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_seek_takes_the_place_of_an_older_one_and_nothing_of_before_comes_after_its_answer() {
    let recorded = recorded(2000).await;
    let mut viewer = recorded.viewer(json!({"state": true})).await;
    assert_eq!(viewer.frame_of("state").await["position"], 0);
    for round in 0..6u64 {
        let places = [1500, 20, 700 + round as i64];
        for (index, position) in places.iter().enumerate() {
            let id = round * 10 + index as u64;
            viewer
                .say(json!({"op": "seek", "to": {"position": position}, "id": id}))
                .await;
        }
        let state = answer(&mut viewer, round * 10 + 2).await;
        assert_eq!(state["position"], places[2]);
        let next = positions(&viewer.frame_of("events").await);
        assert_eq!(next[0].0, places[2] + 1);
        // The burst that a socket takes is used up; what is due comes back with time.
        tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    }
    viewer
        .say(json!({"op": "seek", "to": {"position": 1000}, "id": 99}))
        .await;
    assert_eq!(answer(&mut viewer, 99).await["position"], 1000);
    let seen = rest(&mut viewer, &recorded).await;
    assert_eq!(seen[0].0, 1001);
    assert_part_of(&recorded.transcript, &seen, "after many seeks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_while_a_seek_is_on_its_way_does_not_lose_it() {
    let recorded = recorded(1000).await;
    let mut viewer = recorded.viewer(json!({})).await;
    viewer.frame_of("caught_up").await;
    viewer
        .say(json!({"op": "seek", "to": {"position": 600}, "id": 1}))
        .await;
    viewer.say(json!({"op": "pause", "id": 2})).await;
    viewer
        .say(json!({"op": "filter", "kinds": ["usage"], "id": 3}))
        .await;
    let state = answer(&mut viewer, 1).await;
    assert_eq!(state["position"], 600);
    let paused = answer(&mut viewer, 2).await;
    assert_eq!(
        (&paused["paused"], &paused["position"]),
        (&json!(true), &json!(600))
    );
    answer(&mut viewer, 3).await;
    // Nothing comes while it is paused: the pong is next.
    viewer.say(json!({"op": "ping", "id": 4})).await;
    assert_eq!(viewer.frame().await["type"], "pong");
    viewer.say(json!({"op": "play", "id": 5})).await;
    assert_eq!(answer(&mut viewer, 5).await["paused"], false);
    let frame = viewer.frame_of("events").await;
    assert_eq!(frame["from"], 601);
    assert!(
        positions(&frame).iter().all(|(position, _)| position % 10 == 0),
        "{frame}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_viewer_goes_on_where_it_stopped() {
    let recorded = recorded(300).await;
    let mut viewer = recorded
        .viewer(json!({"speed": 64, "paused": true, "state": true}))
        .await;
    assert_eq!(viewer.frame_of("state").await["position"], 0);
    let mut seen = Vec::new();
    for round in 0..3u64 {
        viewer.say(json!({"op": "play", "id": round * 2})).await;
        answer(&mut viewer, round * 2).await;
        seen.extend(positions(&viewer.frame_of("events").await));
        viewer.say(json!({"op": "pause", "id": round * 2 + 1})).await;
        loop {
            let frame = viewer.frame().await;
            match frame["type"].as_str() {
                Some("events") => seen.extend(positions(&frame)),
                _ if frame["id"] == round * 2 + 1 => break,
                _ => {}
            }
        }
    }
    viewer.say(json!({"op": "speed", "speed": "max"})).await;
    viewer.say(json!({"op": "play"})).await;
    seen.extend(rest(&mut viewer, &recorded).await);
    assert_part_of(&recorded.transcript, &seen, "who paused often");
    viewer.frame_of("caught_up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_not_there_is_refused_and_playback_goes_on() {
    let recorded = recorded(50).await;
    let mut viewer = recorded
        .viewer(json!({"from": {"position": 20}, "paused": true}))
        .await;
    let nowhere = Uuid::now_v7();
    viewer
        .say(json!({"op": "seek", "to": {"event": nowhere}, "id": 1}))
        .await;
    let refusal = answer(&mut viewer, 1).await;
    assert_eq!(
        (&refusal["type"], &refusal["code"]),
        (&json!("error"), &json!("not_found"))
    );
    viewer.say(json!({"op": "play", "id": 2})).await;
    answer(&mut viewer, 2).await;
    let seen = rest(&mut viewer, &recorded).await;
    assert_eq!(seen[0].0, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_live_goes_back_and_jumps_to_live_again_also_while_replay_stands_still() {
    let mut recorded = recorded(200).await;
    let mut viewer = recorded.viewer(json!({"from": "live"})).await;
    viewer.frame_of("caught_up").await;
    let held = recorded.cluster.hold_replay().await;
    let later: Vec<Value> = (0..100).map(|_| thought(&recorded.session, "live")).collect();
    recorded.gateway.send(&later).await;
    recorded.transcript.extend(ids(&later));
    let seen = rest(&mut viewer, &recorded).await;
    assert_eq!(seen[0].0, 201);
    // To an event that no row has yet: the state is of before, and what is between comes at once.
    for (to, at) in [
        (json!({"event": recorded.transcript[249]}), 200),
        (json!({"time": "2m"}), 121),
    ] {
        assert_eq!(seek(&mut viewer, to, at as u64).await, at);
        let seen = rest(&mut viewer, &recorded).await;
        assert_eq!(seen[0].0, at + 1);
        assert_part_of(&recorded.transcript, &seen, "gone back");
        viewer.frame_of("caught_up").await;
    }
    seek(&mut viewer, json!({"position": 10}), 1).await;
    let position = seek(&mut viewer, json!("live"), 2).await;
    assert!(position <= 300);
    viewer.frame_of("caught_up").await;
    drop(held);
    let last = [thought(&recorded.session, "last")];
    recorded.gateway.send(&last).await;
    recorded.transcript.extend(ids(&last));
    let seen = rest(&mut viewer, &recorded).await;
    assert_eq!(seen, [(301, recorded.transcript[300].clone())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_viewer_says_on_its_socket_is_accepted_once_it_is_in_the_log() {
    let recorded = recorded(5).await;
    let mut viewer = recorded.viewer(json!({"from": "live"})).await;
    viewer.frame_of("caught_up").await;
    let (chat, at) = (Uuid::now_v7().to_string(), &recorded.transcript[2]);
    viewer
        .say(json!({"op": "chat", "session": recorded.session, "id": chat, "text": "why?", "at": at}))
        .await;
    viewer
        .say(json!({"op": "mark", "sub": "a", "label": "here", "at": at}))
        .await;
    let (mut accepted, mut shown) = (Vec::new(), Vec::new());
    while accepted.len() < 2 || shown.len() < 2 {
        let frame = viewer.frame().await;
        match frame["type"].as_str() {
            Some("accepted") => accepted.push(frame),
            Some("events") => shown.extend(frame["events"].as_array().expect("events").clone()),
            Some("viewers") => {}
            _ => panic!("{frame}"),
        }
    }
    assert_eq!(
        (&accepted[0]["event"], &accepted[0]["id"]),
        (&json!(chat), &json!(chat))
    );
    assert_eq!(
        (&shown[0]["kind"], &shown[0]["id"]),
        (&json!("chat"), &json!(chat))
    );
    assert_eq!(
        (&shown[0]["source"], &shown[0]["data"]["at"]),
        (&json!("viewer"), &json!(at))
    );
    assert_eq!(
        (&shown[1]["kind"], &shown[1]["id"]),
        (&json!("marker"), &accepted[1]["event"])
    );
    // A marker is a place that one can go to: where it points.
    let marker = accepted[1]["event"].clone();
    assert_eq!(seek(&mut viewer, json!({"marker": marker}), 7).await, 3);

    viewer
        .say(json!({"op": "chat", "session": recorded.session, "text": " "}))
        .await;
    let refusal = viewer_error(&mut viewer).await;
    assert_eq!(
        (&refusal["code"], &refusal["field"]),
        (&json!("invalid_field"), &json!("text"))
    );
    viewer
        .say(json!({"op": "chat", "session": "s-nowhere", "text": "hello"}))
        .await;
    assert_eq!(viewer_error(&mut viewer).await["code"], "not_found");
}

async fn viewer_error(viewer: &mut Viewer) -> Value {
    loop {
        let frame = viewer.frame().await;
        if frame["type"] == "error" {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_pacing_the_clock_tells_where_playback_is() {
    let recorded = recorded(120).await;
    let mut viewer = recorded.viewer(json!({"speed": 20})).await;
    let clock = viewer.frame_of("clock").await;
    assert_eq!((&clock["speed"], &clock["paused"]), (&json!(20.0), &json!(false)));
    assert!(
        clock["position"].as_i64() > Some(0) && clock["time"].is_string(),
        "{clock}"
    );
    viewer.say(json!({"op": "speed", "speed": "max", "id": 1})).await;
    let clock = answer(&mut viewer, 1).await;
    let seen = rest(&mut viewer, &recorded).await;
    assert_eq!(
        Some(seen[0].0),
        clock["position"].as_i64().map(|position| position + 1)
    );
    assert_part_of(&recorded.transcript, &seen, "at max");
}
