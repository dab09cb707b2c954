//! Markers, clips, chat and the outline: what stands beside a session's state.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, body, gateway, problem, send};

fn start() -> DateTime<Utc> {
    "2026-01-31T12:00:00Z".parse().expect("a moment")
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let response = send(gateway.get(path)).await;
    assert_eq!(response.status(), 200, "{path}");
    body(response).await
}

/// Appends an event so many seconds after the start.
async fn event(gateway: &Gateway, position: i64, seconds: f64, kind: &str, data: Value) -> Uuid {
    let id = Uuid::now_v7();
    let source = if ["chat", "clip"].contains(&kind) {
        "viewer"
    } else {
        "agent"
    };
    sqlx::query(
        "with moment as (select $5::timestamptz + make_interval(secs => $6) as c), written as (
             insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
             select 's', $1, $2, 'nex', $3, $7, c, c, c, $4 from moment)
         update sessions set position = $1, started_at = $5, clock = c from moment where id = 's'",
    )
    .bind(position)
    .bind(id)
    .bind(kind)
    .bind(data)
    .bind(start())
    .bind(seconds)
    .bind(source)
    .execute(&gateway.database.pool)
    .await
    .expect("an event");
    id
}

#[tokio::test]
async fn markers_stand_where_they_point_to_in_order_and_page_by_page() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    let mut ids = Vec::new();
    for position in 1..=5 {
        ids.push(
            event(
                &gateway,
                position,
                position as f64,
                "thought",
                json!({"content": "x"}),
            )
            .await,
        );
    }
    let own = event(
        &gateway,
        6,
        6.0,
        "marker",
        json!({"label": "chapter two", "level": 2}),
    )
    .await;
    event(&gateway, 7, 7.0, "marker", json!({"label": "look", "at": ids[2]})).await;
    event(
        &gateway,
        8,
        8.0,
        "marker",
        json!({"label": "lost", "at": Uuid::now_v7()}),
    )
    .await;
    let page = get(&gateway, "/v1/sessions/s/markers").await;
    let labels = |page: &Value| -> Vec<(i64, String)> {
        let items = page["items"].as_array().expect("items").iter();
        items
            .map(|item| {
                (
                    item["position"].as_i64().unwrap_or(0),
                    item["label"].as_str().unwrap_or("").to_owned(),
                )
            })
            .collect()
    };
    let expected = [
        (3, "look".to_owned()),
        (6, "chapter two".to_owned()),
        (8, "lost".to_owned()),
    ];
    assert_eq!(labels(&page), expected);
    assert_eq!(page["next"], Value::Null);
    assert_eq!(page["items"][0]["event"], json!(ids[2]));
    assert_eq!(page["items"][0]["time"], "2026-01-31T12:00:03.000000Z");
    let second = &page["items"][1];
    assert_eq!(
        (&second["id"], &second["event"], &second["level"]),
        (&json!(own), &json!(own), &json!(2))
    );
    assert_eq!(second["origin"], "agent");

    let mut seen = Vec::new();
    let mut path = "/v1/sessions/s/markers?limit=1".to_owned();
    loop {
        let page = get(&gateway, &path).await;
        seen.extend(labels(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/sessions/s/markers?limit=1&cursor={next}");
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_clip_says_where_it_begins_and_ends() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    let mut ids = Vec::new();
    for position in 1..=5 {
        ids.push(
            event(
                &gateway,
                position,
                position as f64 * 1.5,
                "thought",
                json!({"content": "x"}),
            )
            .await,
        );
    }
    let clip = event(
        &gateway,
        6,
        9.0,
        "clip",
        json!({"title": "the fix", "from": ids[1], "to": ids[3]}),
    )
    .await;
    let lost = event(
        &gateway,
        7,
        9.0,
        "clip",
        json!({"from": ids[1], "to": Uuid::now_v7()}),
    )
    .await;
    let page = get(&gateway, "/v1/sessions/s/clips").await;
    assert_eq!(
        page["items"].as_array().map(Vec::len),
        Some(1),
        "what has no end cannot be played"
    );
    let item = &page["items"][0];
    assert_eq!((&item["id"], &item["title"]), (&json!(clip), &json!("the fix")));
    assert_eq!(
        (&item["from_position"], &item["to_position"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(item["duration_ms"], 3000);
    assert_eq!(item["from_time"], "2026-01-31T12:00:03.000000Z");
    let url = item["url"].as_str().expect("a link");
    assert!(url.ends_with(&format!("/s/s?at={clip}")), "{url}");
    assert_eq!(
        &get(&gateway, &format!("/v1/sessions/s/clips/{clip}")).await,
        item
    );
    for other in [lost, ids[0], Uuid::now_v7()] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/clips/{other}"))).await;
        assert_eq!(problem(answer).await, (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn an_outline_counts_every_event_once_and_goes_on_with_the_session() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    let check = async |count: i64| -> Value {
        let outline = get(&gateway, "/v1/sessions/s/outline").await;
        assert_eq!(outline["position"], count);
        let events: Vec<i64> = outline["events"]
            .as_array()
            .expect("buckets")
            .iter()
            .filter_map(Value::as_i64)
            .collect();
        assert!(events.len() <= 400, "{}", events.len());
        assert_eq!(events.iter().sum::<i64>(), count);
        // A bucket's last position is the sum up to it: so the scrubber knows where it seeks to.
        let bucket_ms = outline["bucket_ms"].as_i64().expect("a length");
        let mut position = 0;
        for (index, count) in events.iter().enumerate() {
            position += count;
            let at = format!("{}s", ((index as i64 + 1) * bucket_ms - 1) as f64 / 1000.0);
            let after = get(&gateway, &format!("/v1/sessions/s/events?limit=1&after={at}")).await;
            let expected = if position == outline["position"] {
                Value::Null
            } else {
                json!(position + 1)
            };
            assert_eq!(after["items"][0]["position"], expected, "bucket {index}");
        }
        outline
    };
    assert_eq!(check(0).await["duration_ms"], 0);
    let mut position = 0;
    for second in 0..20 {
        position += 1;
        let kind = if second % 5 == 0 {
            "error"
        } else {
            "terminal.output"
        };
        let data = if kind == "error" {
            json!({"message": "x"})
        } else {
            json!({"text": "x"})
        };
        event(&gateway, position, f64::from(second), kind, data).await;
    }
    let outline = check(20).await;
    assert_eq!(outline["totals"], json!({"errors": 4, "terminal": 16}));
    assert_eq!(outline["duration_ms"], 19_000);
    assert_eq!(outline["idle"], json!([]));
    // Ten minutes later: longer buckets, and a pause.
    event(&gateway, 21, 619.0, "chat", json!({"text": "hello?"})).await;
    event(&gateway, 22, 620.0, "marker", json!({"label": "again"})).await;
    let outline = check(22).await;
    assert_eq!(
        outline["idle"],
        json!([{"position": 21, "from_ms": 19_000, "to_ms": 619_000}])
    );
    assert_eq!(
        outline["totals"],
        json!({"chat": 1, "errors": 4, "other": 1, "terminal": 16})
    );
    let chapters = outline["chapters"].as_array().expect("chapters").iter();
    let origins: Vec<&Value> = chapters.map(|chapter| &chapter["origin"]).collect();
    // A viewer's chat does not move the session's clock: it is the marker that ends the silence.
    assert_eq!(origins, ["first_error", "agent", "idle"]);
    assert_eq!(
        outline["groups"]["chat"].as_array().map(Vec::len),
        outline["events"].as_array().map(Vec::len)
    );
}

#[tokio::test]
async fn chat_as_of_a_moment_is_what_was_said_by_then_and_what_was_said_about_it_later() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    let first = event(&gateway, 1, 1.0, "thought", json!({"content": "x"})).await;
    event(&gateway, 2, 2.0, "chat", json!({"text": "early", "name": "ada"})).await;
    let third = event(&gateway, 3, 3.0, "thought", json!({"content": "x"})).await;
    event(
        &gateway,
        4,
        3.0,
        "chat",
        json!({"text": "about the first", "at": first}),
    )
    .await;
    event(
        &gateway,
        5,
        3.0,
        "chat",
        json!({"text": "about the third", "at": third}),
    )
    .await;
    let texts = async |query: &str| -> Vec<(String, bool)> {
        let page = get(&gateway, &format!("/v1/sessions/s/chat?{query}")).await;
        let items = page["items"].as_array().expect("items").iter();
        items
            .map(|item| {
                (
                    item["text"].as_str().unwrap_or("").to_owned(),
                    item["later"] == true,
                )
            })
            .collect()
    };
    let said = |text: &str| (text.to_owned(), false);
    let later = |text: &str| (text.to_owned(), true);
    assert_eq!(
        texts("").await,
        [said("early"), said("about the first"), said("about the third")]
    );
    assert_eq!(texts("at=2").await, [said("early"), later("about the first")]);
    assert_eq!(texts("at=1").await, [later("about the first")]);
    assert_eq!(texts("t=2").await, [said("early"), later("about the first")]);
    assert_eq!(texts(&format!("at={third}")).await.len(), 3);
    assert_eq!(texts("at=0").await, []);
    assert_eq!(texts("limit=1").await, [said("early")]);
    let line = &get(&gateway, "/v1/sessions/s/chat?at=4").await["items"][1];
    assert_eq!(
        (&line["at"], &line["anchor"], &line["position"]),
        (&json!(first), &json!(1), &json!(4))
    );
    let answer = send(gateway.get("/v1/sessions/s/chat?at=soon")).await;
    assert_eq!(problem(answer).await, (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn what_the_fold_found_stands_among_the_markers_however_long_ago() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    let origins = async |from: usize| -> Vec<String> {
        let mut origins = Vec::new();
        let mut path = "/v1/sessions/s/markers?limit=7".to_owned();
        loop {
            let page = get(&gateway, &path).await;
            let items = page["items"].as_array().expect("items").iter();
            origins.extend(items.map(|item| item["origin"].as_str().unwrap_or("").to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/sessions/s/markers?limit=7&cursor={next}");
        }
        origins.split_off(from)
    };
    // An error after ten minutes of silence: two markers at one event.
    event(&gateway, 1, 0.0, "thought", json!({"content": "x"})).await;
    event(&gateway, 2, 600.0, "error", json!({"message": "boom"})).await;
    event(&gateway, 3, 601.0, "marker", json!({"label": "by the agent"})).await;
    assert_eq!(origins(0).await, ["first_error", "idle", "agent"]);
    // More than a state holds.
    for round in 0..80 {
        for (half, line) in [
            (0, "test result: FAILED. 1 passed; 1 failed"),
            (1, "test result: ok. 2 passed; 0 failed"),
        ] {
            let position = 4 + round * 2 + half;
            let data = json!({"text": format!("{line}\n")});
            event(
                &gateway,
                position,
                602.0 + position as f64,
                "terminal.output",
                data,
            )
            .await;
        }
        if round == 40 {
            assert_eq!(origins(3).await, ["tests_failed", "tests_passed"].repeat(41));
        }
    }
    assert_eq!(origins(3).await, ["tests_failed", "tests_passed"].repeat(80));
    let chapters = get(&gateway, "/v1/sessions/s/outline").await["chapters"].clone();
    assert_eq!(chapters.as_array().map(Vec::len), Some(163));
    assert_eq!(chapters[0]["label"], "first error: boom");
}
