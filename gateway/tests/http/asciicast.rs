//! asciicast: what a player shows is what the fold shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use kulti_session::{FoldEvent, Workspace};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, body, gateway, send};

fn start() -> DateTime<Utc> {
    "2026-01-31T12:00:00Z".parse().expect("a moment")
}

/// A session of these events, each so many milliseconds after the one before.
async fn write(gateway: &Gateway, session: &str, events: &[(i64, &str, Value)]) {
    gateway.insert_session(session, None).await;
    let mut clock = start();
    for (index, (pause_ms, kind, data)) in events.iter().enumerate() {
        clock += TimeDelta::milliseconds(*pause_ms);
        sqlx::query(
            "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
             values ($1, $2, $3, 'nex', $4, 'agent', $5, $5, $5, $6)",
        )
        .bind(session)
        .bind(index as i64 + 1)
        .bind(Uuid::now_v7())
        .bind(kind)
        .bind(clock)
        .bind(data)
        .execute(&gateway.database.pool)
        .await
        .expect("an event");
    }
    sqlx::query(
        "update sessions set position = $2, started_at = $3, clock = $4, ended_at = $4 where id = $1",
    )
    .bind(session)
    .bind(events.len() as i64)
    .bind(start() + TimeDelta::milliseconds(events.first().map_or(0, |event| event.0)))
    .bind(clock)
    .execute(&gateway.database.pool)
    .await
    .expect("the session");
}

/// The file: its header, and (milliseconds since its beginning, code, data) of each event.
async fn export(gateway: &Gateway, session: &str, query: &str) -> (Value, Vec<(i64, String, String)>) {
    let path = format!("/v1/sessions/{session}/export?format=asciicast{query}");
    let answer = send(gateway.get(&path)).await;
    assert_eq!(answer.headers()["content-type"], "application/x-asciicast");
    let text = answer.text().await.expect("a whole file");
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().expect("a header")).expect("JSON");
    let mut ms = 0;
    let events = lines.map(|line| {
        let (interval, code, data): (f64, String, String) = serde_json::from_str(line).expect("an event");
        assert!(interval >= 0.0, "{line}");
        ms += (interval * 1000.0).round() as i64;
        (ms, code, data)
    });
    (header, events.collect())
}

/// What a player that follows the format shows so many milliseconds after the beginning.
fn played(header: &Value, events: &[(i64, String, String)], ms: i64) -> String {
    let size = |name: &str| header["term"][name].as_u64().expect("a size") as usize;
    let mut player = avt::Terminal::new(size("cols"), size("rows")).expect("a terminal");
    for (_, code, data) in events.iter().take_while(|(at, ..)| *at <= ms) {
        match code.as_str() {
            "o" => {
                player.feed(data.as_str());
            }
            "r" => {
                let (cols, rows) = data.split_once('x').expect("a size");
                player.resize(cols.parse().expect("cols"), rows.parse().expect("rows"));
            }
            "m" | "x" => {}
            other => panic!("no such code: {other}"),
        }
    }
    player.dump()
}

/// What the fold shows after the last event at or before a moment.
async fn folded(gateway: &Gateway, session: &str) -> Vec<(i64, String)> {
    let mut workspace = Workspace::new();
    let mut shown = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/v1/sessions/{session}/events?limit=1000&after={after}");
        let page = body(send(gateway.get(&path)).await).await;
        let items = page["items"].as_array().expect("items").clone();
        if items.is_empty() {
            return shown;
        }
        for item in items {
            let text = item.to_string();
            let event = FoldEvent::parse(&text).expect("an event");
            workspace.apply(&event);
            after = event.position;
            let since = event.time - start().timestamp_micros();
            shown.push((since / 1000, workspace.recording("main").screen().to_owned()));
        }
    }
}

fn random_events(random: &mut SmallRng, is_pty: bool) -> Vec<(i64, &'static str, Value)> {
    let mut events = Vec::new();
    let text = "grüße 🌌 from the \u{1b}[1;34mterminal\u{1b}[0m\u{1b}[K\r\n".as_bytes();
    let mut sent = 0;
    for _ in 0..400 {
        let pause = random.random_range(0..700);
        let stream = if is_pty { "pty" } else { "stdout" };
        let (kind, data) = match random.random_range(0..12) {
            0 => ("thought", json!({"content": "hm"})),
            1 => ("terminal.command", json!({"command": "make test"})),
            2 => (
                "terminal.resized",
                json!({"cols": random.random_range(20..120), "rows": random.random_range(5..40)}),
            ),
            3 => (
                "terminal.output",
                json!({"text": "elsewhere\n", "terminal": "other"}),
            ),
            4 => (
                "terminal.output",
                json!({"text": "\u{1b}[?1049h\u{1b}[2J\u{1b}[5;5Hfull screen", "stream": stream}),
            ),
            5 => (
                "terminal.output",
                json!({"text": "\u{1b}[?1049l", "stream": stream}),
            ),
            6 => (
                "terminal.output",
                json!({"text": "plain\nlines\n", "level": "error"}),
            ),
            7 => ("terminal.exited", json!({"code": 1})),
            8 => ("marker", json!({"label": "here"})),
            _ => {
                // Cut anywhere, also within a character.
                let end = (sent + random.random_range(1..20)).min(text.len());
                let part = STANDARD.encode(&text[sent..end]);
                sent = if end == text.len() { 0 } else { end };
                ("terminal.output", json!({"base64": part, "stream": stream}))
            }
        };
        events.push((pause, kind, data));
    }
    events
}

#[tokio::test]
async fn at_any_time_a_player_shows_what_the_fold_shows() {
    let gateway = gateway().await;
    let mut random = SmallRng::seed_from_u64(7);
    for (session, is_pty) in [("pty", true), ("log", false)] {
        let events = random_events(&mut random, is_pty);
        write(&gateway, session, &events).await;
        let shown = folded(&gateway, session).await;
        for first in [1, 150] {
            let query = if first == 1 {
                String::new()
            } else {
                format!("&from={first}")
            };
            let (header, cast) = export(&gateway, session, &query).await;
            assert_eq!(header["version"], 3);
            let begins = shown[first - 1].0;
            let ends = shown[shown.len() - 1].0;
            for _ in 0..100 {
                let at = random.random_range(begins..=ends);
                let expected = shown
                    .iter()
                    .take_while(|(ms, _)| *ms <= at)
                    .last()
                    .expect("an event");
                assert_eq!(
                    played(&header, &cast, at - begins),
                    expected.1,
                    "{session} from {first} at {at} ms"
                );
            }
        }
    }
}

#[tokio::test]
async fn intervals_do_not_drift_and_markers_and_exit_have_their_place() {
    let gateway = gateway().await;
    let mut events = vec![
        (0, "session.started", json!({"title": "Stars"})),
        (100, "marker", json!({"label": "before all"})),
        (100, "terminal.resized", json!({"cols": 100, "rows": 30})),
    ];
    for _ in 0..1000 {
        events.push((7, "terminal.output", json!({"text": "x", "stream": "pty"})));
    }
    events.push((0, "marker", json!({"label": "half \"way\"\n"})));
    events.push((500, "terminal.exited", json!({"code": 3})));
    events.push((250, "session.ended", json!({"reason": "completed"})));
    write(&gateway, "s", &events).await;
    sqlx::query("update sessions set title = 'Stars' where id = 's'")
        .execute(&gateway.database.pool)
        .await
        .expect("a title");
    // Times between milliseconds: what rounding takes from one interval the next one has.
    sqlx::query(
        "update events set clock = clock + make_interval(secs => least(position, 1003) * 0.0004) where session_id = 's'",
    )
    .execute(&gateway.database.pool)
    .await
    .expect("clocks");
    let (header, cast) = export(&gateway, "s", "").await;
    assert_eq!(
        header["term"],
        json!({"cols": 100, "rows": 30, "type": "xterm-256color"})
    );
    assert_eq!(
        (&header["title"], &header["timestamp"]),
        (&json!("Stars"), &json!(start().timestamp()))
    );
    let events: Vec<(i64, &str, &str)> = cast
        .iter()
        .map(|(ms, code, data)| (*ms, code.as_str(), data.as_str()))
        .collect();
    assert_eq!(events[0], (101, "m", "before all"));
    assert!(
        events[1].0 == 201 && events[1].1 == "o",
        "tab stops: {:?}",
        events[1]
    );
    assert_eq!(events[2], (209, "o", "x"));
    assert_eq!(events[1001].0, 200 + 7000 + 401);
    assert_eq!(events[1002], (7601, "m", "half \"way\"\n"));
    assert_eq!(events[1003], (8351, "x", "3"));
    assert_eq!(events.len(), 1004);
}

#[tokio::test]
async fn a_session_without_a_terminal_is_an_empty_recording_and_another_terminal_has_its_own() {
    let gateway = gateway().await;
    write(&gateway, "none", &[(0, "thought", json!({"content": "x"}))]).await;
    let (header, cast) = export(&gateway, "none", "").await;
    assert_eq!(
        (&header["term"]["cols"], &header["term"]["rows"]),
        (&json!(80), &json!(24))
    );
    assert!(cast.is_empty());
    let events = [
        (0, "terminal.output", json!({"text": "main\n"})),
        (
            10,
            "terminal.output",
            json!({"text": "second\n", "terminal": "b"}),
        ),
    ];
    write(&gateway, "two", &events).await;
    let (_, main) = export(&gateway, "two", "").await;
    assert_eq!(main, [(0, "o".to_owned(), "main\r\n".to_owned())]);
    let (_, second) = export(&gateway, "two", "&terminal=b").await;
    assert_eq!(second, [(10, "o".to_owned(), "second\r\n".to_owned())]);
}
