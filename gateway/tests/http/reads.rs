use serde_json::{Value, json};

use crate::harness::{Gateway, body, gateway, send};

async fn get(gateway: &Gateway, path: &str) -> Value {
    let response = send(gateway.get(path)).await;
    assert_eq!(response.status(), 200, "{path}");
    body(response).await
}

fn positions(page: &Value) -> Vec<i64> {
    let items = page["items"].as_array().expect("items").iter();
    items
        .map(|item| item["position"].as_i64().expect("a position"))
        .collect()
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items").iter();
    items.map(|item| item["id"].as_str().expect("an id")).collect()
}

async fn with_events(count: i64) -> Gateway {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    for position in 1..=count {
        let kind = if position % 2 == 0 { "thought" } else { "error" };
        let data = if kind == "thought" {
            json!({"content": "x"})
        } else {
            json!({"message": "x"})
        };
        gateway.insert_event("s", position, kind, data).await;
    }
    gateway
}

#[tokio::test]
async fn events_are_listed_by_position_in_both_directions() {
    let gateway = with_events(10).await;
    assert_eq!(
        positions(&get(&gateway, "/v1/sessions/s/events").await),
        (1..=10).collect::<Vec<_>>()
    );
    let page = get(&gateway, "/v1/sessions/s/events?after=3&before=6").await;
    assert_eq!((positions(&page), &page["next"]), (vec![4, 5], &Value::Null));
    let page = get(&gateway, "/v1/sessions/s/events?before=6&limit=2").await;
    assert_eq!(positions(&page), [4, 5]);
    let next = page["next"].as_str().expect("more before it");
    let page = get(
        &gateway,
        &format!("/v1/sessions/s/events?before=6&limit=2&cursor={next}"),
    )
    .await;
    assert_eq!(positions(&page), [2, 3]);
    let page = get(&gateway, "/v1/sessions/s/events?kind=error&after=2").await;
    assert_eq!(positions(&page), [3, 5, 7, 9]);
    for both in ["kind=error,thought", "kind=error&kind=thought"] {
        assert_eq!(
            positions(&get(&gateway, &format!("/v1/sessions/s/events?{both}")).await).len(),
            10
        );
    }
}

#[tokio::test]
async fn an_event_is_shown_as_it_was_written() {
    let gateway = with_events(2).await;
    let page = get(&gateway, "/v1/sessions/s/events?after=1").await;
    let event = &page["items"][0];
    assert_eq!(
        (&event["position"], &event["session"], &event["agent"]),
        (&json!(2), &json!("s"), &json!("nex"))
    );
    assert_eq!(
        (&event["kind"], &event["source"]),
        (&json!("thought"), &json!("agent"))
    );
    assert_eq!(event["data"], json!({"content": "x"}));
    assert!(
        event["time"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{event}"
    );
    assert!(
        event.get("cause").is_none() && event.get("seq").is_none(),
        "{event}"
    );
}

#[tokio::test]
async fn following_next_gives_every_event_once() {
    let gateway = with_events(23).await;
    let mut seen = Vec::new();
    let mut path = "/v1/sessions/s/events?limit=5".to_owned();
    loop {
        let page = get(&gateway, &path).await;
        seen.extend(positions(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/sessions/s/events?limit=5&cursor={next}");
    }
    assert_eq!(seen, (1..=23).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_of_large_events_is_cut_by_its_bytes_and_goes_on() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    for position in 1..=12 {
        let content = "x".repeat(900_000);
        gateway
            .insert_event("s", position, "thought", json!({"content": content}))
            .await;
    }
    let page = get(&gateway, "/v1/sessions/s/events").await;
    let first = positions(&page);
    assert!(!first.is_empty() && first.len() < 12, "{first:?}");
    let next = page["next"].as_str().expect("more");
    let second = positions(&get(&gateway, &format!("/v1/sessions/s/events?cursor={next}")).await);
    assert_eq!(second.first().copied(), first.last().map(|last| last + 1));
}

#[tokio::test]
async fn sessions_are_listed_with_those_that_are_open_first() {
    let gateway = gateway().await;
    for (id, silent_for, ended) in [
        ("ended-late", "1 second", true),
        ("quiet", "3 minutes", false),
        ("live", "1 second", false),
        ("ended-early", "2 hours", true),
        ("live-too", "2 seconds", false),
    ] {
        gateway.insert_session(id, None).await;
        sqlx::query(
            "update sessions set received_at = now() - $2::text::interval,
                ended_at = case when $3 then now() end, tags = array['t-' || id] where id = $1",
        )
        .bind(id)
        .bind(silent_for)
        .bind(ended)
        .execute(&gateway.database.pool)
        .await
        .expect("a session");
    }
    let expected = ["live", "live-too", "quiet", "ended-late", "ended-early"];
    let page = get(&gateway, "/v1/sessions").await;
    assert_eq!(ids(&page), expected);
    let statuses: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["status"])
        .collect();
    assert_eq!(statuses, ["live", "live", "quiet", "ended", "ended"]);
    let item = &page["items"][0];
    assert!(
        item["url"].as_str().is_some_and(|url| url.ends_with("/s/live")),
        "{item}"
    );
    assert_eq!(
        (&item["viewers"], &item["events"], &item["agent"]),
        (&json!(0), &json!(0), &json!("nex"))
    );

    let mut seen = Vec::new();
    let mut path = "/v1/sessions?limit=2".to_owned();
    loop {
        let page = get(&gateway, &path).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/sessions?limit=2&cursor={next}");
    }
    assert_eq!(seen, expected);
    for (filter, found) in [
        ("status=live", vec!["live", "live-too"]),
        ("status=quiet", vec!["quiet"]),
        ("status=ended", vec!["ended-late", "ended-early"]),
        ("tag=t-quiet", vec!["quiet"]),
        ("agent=nobody", vec![]),
        ("to=2000-01-01T00:00:00Z", vec![]),
        ("from=2999-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(
            ids(&get(&gateway, &format!("/v1/sessions?{filter}")).await),
            found,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn parameters_that_are_not_valid_are_named() {
    let gateway = with_events(1).await;
    for (path, field) in [
        ("/v1/sessions?limit=0", "limit"),
        ("/v1/sessions?limit=1001", "limit"),
        ("/v1/sessions?status=asleep", "status"),
        ("/v1/sessions?from=yesterday", "from"),
        ("/v1/sessions?cursor=nonsense", "cursor"),
        ("/v1/sessions/s/events?after=x", "after"),
        ("/v1/sessions/s/events?before=1.5", "before"),
        ("/v1/sessions/s/events?cursor=%00", "cursor"),
        ("/v1/sessions/s/events?kind=%00", "kind"),
        ("/v1/sessions?agent=%00", "agent"),
    ] {
        let answer = send(gateway.get(path)).await;
        assert_eq!(answer.status(), 400, "{path}");
        assert_eq!(body(answer).await["field"], field, "{path}");
    }
}
