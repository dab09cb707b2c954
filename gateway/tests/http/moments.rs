//! `at=`: what each form of a moment means, on real rows.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, body, gateway, problem, send};

/// When the session of these tests begins.
fn start() -> DateTime<Utc> {
    "2026-01-31T12:00:00Z".parse().expect("a moment")
}

/// A session of `count` events, a second apart by its clock; every tenth has the clock of the one before.
async fn session(gateway: &Gateway, id: &str, count: i64) {
    gateway.insert_session(id, None).await;
    sqlx::query(
        "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
         select $1, n, id, 'nex', 'thought', 'agent', c, c, c, '{\"content\": \"x\"}'
         from (select n, id, $3::timestamptz + make_interval(secs => n - 1 - case when n % 10 = 0 then 1 else 0 end)
               from unnest($2::uuid[]) with ordinality as given (id, n)) as events (n, id, c)",
    )
    .bind(id)
    .bind((0..count).map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(start())
    .execute(&gateway.database.pool)
    .await
    .expect("events");
    sqlx::query("update sessions set position = $2, started_at = $3 where id = $1")
        .bind(id)
        .bind(count)
        .bind(start())
        .execute(&gateway.database.pool)
        .await
        .expect("the session");
}

/// The first position after a moment.
async fn first_after(gateway: &Gateway, at: &str) -> i64 {
    let path = "/v1/sessions/s/events?limit=1";
    let answer = send(gateway.get(path).query(&[("after", at)])).await;
    assert_eq!(answer.status(), 200, "{at}");
    body(answer).await["items"][0]["position"].as_i64().unwrap_or(0)
}

async fn event_id(gateway: &Gateway, position: i64) -> Uuid {
    sqlx::query_scalar("select event_id from events where session_id = 's' and position = $1")
        .bind(position)
        .fetch_one(&gateway.database.pool)
        .await
        .expect("an event")
}

/// Appends an event whose id comes back.
async fn append(gateway: &Gateway, position: i64, kind: &str, data: Value) -> Uuid {
    gateway.insert_event("s", position, kind, data).await;
    event_id(gateway, position).await
}

#[tokio::test]
async fn a_moment_is_the_last_event_at_or_before_it_by_the_sessions_clock() {
    let gateway = gateway().await;
    session(&gateway, "s", 1000).await;
    for (at, position) in [
        ("0", 0),
        ("17", 17),
        ("0s", 1),
        ("0.9s", 1),
        ("1s", 2),
        // The tenth event has the clock of the ninth: both are there.
        ("8s", 10),
        ("9s", 10),
        ("10s", 11),
        ("8:20", 501),
        ("0:08:20", 501),
        ("8m20s", 501),
        ("2026-01-31T11:59:59.999Z", 0),
        ("2026-01-31T12:00:00Z", 1),
        ("2026-01-31T12:08:20Z", 501),
        ("2026-01-31T14:08:20.5+02:00", 501),
    ] {
        assert_eq!(first_after(&gateway, at).await, position + 1, "{at}");
    }
    for beyond in ["1000", "5000", "20m", "999h", "2030-01-01T00:00:00Z", "live"] {
        assert_eq!(first_after(&gateway, beyond).await, 0, "{beyond}");
    }
    for middle in [1, 2, 499, 500, 501, 998, 999] {
        let id = event_id(&gateway, middle).await.to_string();
        assert_eq!(first_after(&gateway, &id).await, middle + 1);
    }
}

#[tokio::test]
async fn what_comes_before_a_moment_and_after_it_are_all_events() {
    let gateway = gateway().await;
    session(&gateway, "s", 60).await;
    let of = async |name: &str, at: &str| -> Vec<i64> {
        let answer = send(gateway.get("/v1/sessions/s/events").query(&[(name, at)])).await;
        let page = body(answer).await;
        let items = page["items"].as_array().expect("items").iter();
        items.filter_map(|item| item["position"].as_i64()).collect()
    };
    for at in ["30s", "2026-01-31T12:00:08Z", "live", "2020-01-01T00:00:00Z"] {
        let mut all = of("before", at).await;
        all.extend(of("after", at).await);
        assert_eq!(all, (1..=60).collect::<Vec<_>>(), "{at}");
    }
    let id = event_id(&gateway, 30).await.to_string();
    assert_eq!(of("before", &id).await.last(), Some(&29));
    assert_eq!(of("after", &id).await.first(), Some(&31));
}

#[tokio::test]
async fn a_marker_is_what_it_points_to_and_a_clip_is_where_it_begins() {
    let gateway = gateway().await;
    session(&gateway, "s", 50).await;
    let (tenth, thirtieth) = (event_id(&gateway, 10).await, event_id(&gateway, 30).await);
    let own = append(&gateway, 51, "marker", json!({"label": "here"})).await;
    let pointing = append(&gateway, 52, "marker", json!({"label": "there", "at": tenth})).await;
    let clip = append(&gateway, 53, "clip", json!({"from": tenth, "to": thirtieth})).await;
    let lost = append(&gateway, 54, "clip", json!({"from": Uuid::now_v7(), "to": 7})).await;
    append(&gateway, 55, "thought", json!({"content": "x"})).await;
    for (id, position) in [(own, 51), (pointing, 10), (clip, 10), (lost, 54)] {
        assert_eq!(first_after(&gateway, &id.to_string()).await, position + 1);
    }
}

#[tokio::test]
async fn what_names_no_moment_is_refused_and_an_unknown_id_is_not_found() {
    let gateway = gateway().await;
    session(&gateway, "s", 5).await;
    session(&gateway, "other", 5).await;
    for at in ["soon", "-1", "2026-01-31"] {
        let answer = send(gateway.get("/v1/sessions/s/events").query(&[("before", at)])).await;
        assert_eq!(
            problem(answer).await,
            (400, "invalid_parameter".to_owned()),
            "{at}"
        );
    }
    let foreign: Uuid = sqlx::query_scalar("select event_id from events where session_id = 'other' limit 1")
        .fetch_one(&gateway.database.pool)
        .await
        .expect("an event");
    for id in [foreign, Uuid::now_v7()] {
        let answer = send(gateway.get("/v1/sessions/s/events").query(&[("after", id)])).await;
        let status = answer.status();
        let problem = body(answer).await;
        assert_eq!(
            (status.as_u16(), &problem["field"]),
            (404, &json!("after")),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.starts_with("`after`")),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn a_session_as_of_a_moment_is_what_it_was() {
    let gateway = gateway().await;
    session(&gateway, "s", 2).await;
    append(
        &gateway,
        3,
        "session.started",
        json!({"title": "First", "tags": ["a"]}),
    )
    .await;
    append(
        &gateway,
        4,
        "usage",
        json!({"model": "m", "input": 10, "output": 5, "cost_usd": 0.25}),
    )
    .await;
    append(&gateway, 5, "status.changed", json!({"status": "working"})).await;
    append(&gateway, 6, "session.updated", json!({"title": "Second"})).await;
    append(
        &gateway,
        7,
        "usage",
        json!({"model": "n", "input": 1, "cost_usd": 0.5}),
    )
    .await;
    let ended = append(&gateway, 8, "session.ended", json!({"reason": "completed"})).await;
    sqlx::query(
        "update sessions set title = 'Second', status = 'working', tokens = 16, cost_usd = 0.75, ended_at = now(),
            usage = '{\"m\": {\"call\": {\"input\": 10, \"output\": 5, \"cost_usd\": 0.25}},
                \"n\": {\"call\": {\"input\": 1, \"cost_usd\": 0.5}}}' where id = 's'",
    )
    .execute(&gateway.database.pool)
    .await
    .expect("the session");
    let at = async |at: &str| body(send(gateway.get("/v1/sessions/s").query(&[("at", at)])).await).await;
    let cost =
        async |at: &str| body(send(gateway.get("/v1/sessions/s/cost").query(&[("at", at)])).await).await;
    for (moment, title, status, word, events, tokens, spent) in [
        ("0", json!(null), "live", json!(null), 0, 0, 0.0),
        ("3", json!("First"), "live", json!(null), 3, 0, 0.0),
        ("4", json!("First"), "live", json!(null), 4, 15, 0.25),
        ("5", json!("First"), "live", json!("working"), 5, 15, 0.25),
        ("6", json!("Second"), "live", json!("working"), 6, 15, 0.25),
        ("7", json!("Second"), "live", json!("working"), 7, 16, 0.75),
        ("8", json!("Second"), "ended", json!("working"), 8, 16, 0.75),
        (
            &ended.to_string(),
            json!("Second"),
            "ended",
            json!("working"),
            8,
            16,
            0.75,
        ),
    ] {
        let session = at(moment).await;
        assert_eq!(
            (&session["title"], &session["status"]),
            (&title, &json!(status)),
            "{moment}"
        );
        assert_eq!(
            (&session["agent_status"], &session["events"]),
            (&word, &json!(events)),
            "{moment}"
        );
        assert_eq!(
            (&session["tokens"], &session["cost_usd"]),
            (&json!(tokens), &json!(spent)),
            "{moment}"
        );
        assert_eq!(session["as_of"]["position"], events);
        let cost = cost(moment).await;
        assert_eq!(
            (&cost["tokens"], &cost["cost_usd"]),
            (&json!(tokens), &json!(spent)),
            "{moment}"
        );
        assert_eq!(cost["position"], events);
    }
    assert_eq!(at("4").await.get("ended_at"), None);
    assert_eq!(at("8").await["end_reason"], "completed");
    assert_eq!(at("live").await.get("as_of"), None);
    let (now, then) = (cost("live").await, cost("8").await);
    assert_eq!(now["models"], then["models"]);
    assert_eq!(
        now["models"]["m"],
        json!({"input": 10, "output": 5, "cache_read": 0, "cache_write": 0, "tokens": 15, "cost_usd": 0.25})
    );
    assert_eq!(
        cost("4").await["models"].as_object().map(serde_json::Map::len),
        Some(1)
    );
}
