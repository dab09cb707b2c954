//! What viewers add: chat, markers, clips. Each is an event in the log, from a viewer.

use kulti_gateway::control::Scope;
use kulti_gateway::{GatewayConfig, QuotaLimits, RateLimit, Visibility};
use kulti_schemas::Source;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, body, gateway, gateway_with, problem, send, thought};

const REMARKS: [&str; 3] = ["chat", "markers", "clips"];

/// A session `s` of three events, and their ids.
async fn session(gateway: &Gateway) -> Vec<String> {
    gateway.insert_session("s", None).await;
    for position in 1..=3 {
        gateway
            .insert_event("s", position, "thought", json!({"content": "x"}))
            .await;
    }
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select event_id from events where session_id = 's' order by position")
            .fetch_all(&gateway.database.pool)
            .await
            .expect("ids");
    ids.iter().map(Uuid::to_string).collect()
}

fn remark(kind: &str, ids: &[String]) -> Value {
    match kind {
        "chat" => {
            json!({"text": "Try the other branch\nfirst", "name": "ada", "at": ids[1], "reply_to": ids[0]})
        }
        "markers" => json!({"label": "here it goes wrong", "level": "warning", "at": ids[1]}),
        _ => json!({"title": "the fix", "from": ids[0], "to": ids[2]}),
    }
}

fn path(kind: &str) -> String {
    format!("/v1/sessions/s/{kind}")
}

#[tokio::test]
async fn what_viewers_say_is_an_event_in_the_log() {
    let gateway = gateway().await;
    let ids = session(&gateway).await;
    for kind in REMARKS {
        let answer = send(gateway.post(&path(kind), &remark(kind, &ids))).await;
        assert_eq!(answer.status(), 201, "{kind}");
        let answer = body(answer).await;
        let log = gateway.log().await;
        let event = log.last().expect("an event");
        assert_eq!(answer["event"], event.meta.event_id.to_string());
        assert_eq!(answer["session"], "s");
        assert_eq!(event.kind.name(), kind.trim_end_matches('s'));
        assert_eq!(event.meta.source, Source::Viewer);
        assert_eq!(
            (event.meta.session_id.as_str(), event.meta.agent_id.as_str()),
            ("s", "nex")
        );
        let data: Value = serde_json::from_str(event.data.get()).expect("JSON");
        assert_eq!(data, remark(kind, &ids));
    }
}

#[tokio::test]
async fn a_clip_is_cut_at_any_form_of_a_moment() {
    let gateway = gateway().await;
    let ids = session(&gateway).await;
    for (from, to) in [
        (json!(1), json!("live")),
        (json!("0"), json!("3")),
        (json!(ids[0]), json!("1h")),
        (json!("2000-01-01T00:00:00Z"), json!("2999-01-01T00:00:00Z")),
    ] {
        let clip = json!({"from": from, "to": to});
        let answer = send(gateway.post("/v1/sessions/s/clips", &clip)).await;
        assert_eq!(answer.status(), 201, "{clip}");
        let data = gateway.log().await.pop().expect("an event").data;
        let data: Value = serde_json::from_str(data.get()).expect("JSON");
        assert_eq!(data, json!({"from": ids[0], "to": ids[2]}), "{clip}");
    }
    let backwards = json!({"from": ids[2], "to": ids[0]});
    let answer = send(gateway.post("/v1/sessions/s/clips", &backwards)).await;
    assert_eq!(problem(answer).await, (422, "invalid_field".to_owned()));
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_one_event() {
    let gateway = gateway().await;
    let ids = session(&gateway).await;
    let mut events = Vec::new();
    for _ in 0..2 {
        let request = gateway.post("/v1/sessions/s/chat", &remark("chat", &ids));
        let answer = body(send(request.header("Idempotency-Key", "once")).await).await;
        events.push(answer["event"].clone());
    }
    assert_eq!(events[0], events[1]);
    let request = gateway.post("/v1/sessions/s/markers", &remark("markers", &ids));
    let other = body(send(request.header("Idempotency-Key", "once")).await).await;
    assert_ne!(events[0], other["event"], "another remark is another event");

    let id = Uuid::now_v7().to_string();
    let own = json!({"id": id, "text": "hello"});
    assert_eq!(
        body(send(gateway.post("/v1/sessions/s/chat", &own)).await).await["event"],
        id
    );
}

#[tokio::test]
async fn what_is_not_valid_is_named() {
    let gateway = gateway().await;
    let ids = session(&gateway).await;
    let stranger = Uuid::now_v7();
    // Ids that name a moment far away would make the session's later events be looked up one by one.
    let far = "ffffffff-ffff-7fff-bfff-ffffffffffff";
    for (kind, remark, code, field) in [
        ("chat", json!({}), "missing_field", "text"),
        ("chat", json!({"text": 1}), "invalid_field", "text"),
        ("chat", json!({"text": " \n"}), "invalid_field", "text"),
        ("chat", json!({"text": "x".repeat(4001)}), "invalid_field", "text"),
        ("chat", json!({"text": "a\u{1b}[2J"}), "invalid_field", "text"),
        (
            "chat",
            json!({"text": "x", "name": "n".repeat(65)}),
            "invalid_field",
            "name",
        ),
        ("chat", json!({"text": "x", "at": "1"}), "invalid_id", "at"),
        (
            "chat",
            json!({"text": "x", "at": stranger}),
            "invalid_field",
            "at",
        ),
        (
            "chat",
            json!({"text": "x", "reply_to": stranger}),
            "invalid_field",
            "reply_to",
        ),
        ("chat", json!({"text": "x", "id": far}), "invalid_id", "id"),
        (
            "markers",
            json!({"label": "x".repeat(201)}),
            "invalid_field",
            "label",
        ),
        ("markers", json!({"label": "a\nb"}), "invalid_field", "label"),
        (
            "markers",
            json!({"label": "x", "level": {}}),
            "invalid_field",
            "level",
        ),
        ("clips", json!({"from": ids[0]}), "missing_field", "to"),
        (
            "clips",
            json!({"from": ids[0], "to": "soon"}),
            "invalid_field",
            "to",
        ),
        (
            "clips",
            json!({"from": stranger, "to": ids[1]}),
            "invalid_field",
            "from",
        ),
    ] {
        let answer = send(gateway.post(&path(kind), &remark)).await;
        assert_eq!(answer.status(), 422, "{remark}");
        let answer = body(answer).await;
        assert_eq!(
            (&answer["code"], &answer["field"]),
            (&json!(code), &json!(field)),
            "{answer}"
        );
    }
    let longest = json!({"text": "é".repeat(4000)});
    assert_eq!(
        send(gateway.post("/v1/sessions/s/chat", &longest)).await.status(),
        201
    );
    for (text, status) in [
        ("[]", 400),
        ("{", 400),
        (&format!("\"{}\"", "x".repeat(70_000)), 413),
    ] {
        let request = gateway
            .request(Method::POST, "/v1/sessions/s/chat")
            .body(text.to_owned());
        let answer = send(request.header(CONTENT_TYPE, "application/json")).await;
        assert_eq!(answer.status(), status);
    }
    let form = gateway
        .request(Method::POST, "/v1/sessions/s/chat")
        .body("text=x");
    let answer = send(form.header(CONTENT_TYPE, "application/x-www-form-urlencoded")).await;
    assert_eq!(answer.status(), 415);
    assert_eq!(gateway.log().await.len(), 1);
}

#[tokio::test]
async fn an_event_that_viewers_have_seen_may_be_named_before_replay_has_written_it() {
    let gateway = gateway().await;
    session(&gateway).await;
    let live = gateway.served.state.live.clone();
    tokio::spawn(live.run());
    let id = Uuid::now_v7();
    let mut event = thought("s", "just now");
    event["id"] = json!(id);
    assert_eq!(send(gateway.post("/v1/events", &event)).await.status(), 200);
    kulti_test_support::wait_until("the gateway has read it", async || {
        let remark = json!({"text": "this", "at": id});
        let answer = send(gateway.post("/v1/sessions/s/chat", &remark)).await;
        assert!([201, 422, 429].contains(&answer.status().as_u16()));
        answer.status() == 201
    })
    .await;
    let clip = json!({"from": 1, "to": id});
    assert_eq!(
        send(gateway.post("/v1/sessions/s/clips", &clip)).await.status(),
        201
    );
}

#[tokio::test]
async fn who_says_too_much_waits_and_others_do_not() {
    let config = GatewayConfig {
        viewer_quota: QuotaLimits {
            events: RateLimit {
                per_second: 1,
                burst: 3,
            },
            ..QuotaLimits::VIEWER
        },
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    session(&gateway).await;
    let keys = [
        gateway.key(&[Scope::Read], None).await,
        gateway.key(&[Scope::Read], None).await,
    ];
    let say = async |key: &str| {
        let request = gateway.post("/v1/sessions/s/chat", &json!({"text": "x"}));
        send(request.header(AUTHORIZATION, format!("Bearer {key}"))).await
    };
    for _ in 0..3 {
        assert_eq!(say(&keys[0]).await.status(), 201);
    }
    let answer = say(&keys[0]).await;
    if answer.status() == 429 {
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(problem(answer).await.1, "quota_exceeded");
    } else {
        assert_eq!(answer.status(), 201, "a second passed");
    }
    assert_eq!(say(&keys[1]).await.status(), 201);
}

#[tokio::test]
async fn keys_that_only_produce_do_not_speak_for_viewers_and_nobody_comes_to_own_a_session_by_speaking() {
    let config = GatewayConfig {
        default_visibility: Visibility::Public,
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    let ids = session(&gateway).await;
    let produce = gateway.key(&[Scope::Produce], None).await;
    let read = gateway.key(&[Scope::Read], None).await;
    for kind in REMARKS {
        let say = async |key: Option<&str>| {
            let mut request = gateway.post(&path(kind), &remark(kind, &ids));
            if let Some(key) = key {
                request = request.header(AUTHORIZATION, format!("Bearer {key}"));
            }
            send(request).await
        };
        let answer = say(Some(&produce)).await;
        assert_eq!(
            problem(answer).await,
            (422, "kind_not_allowed".to_owned()),
            "{kind}"
        );
        assert_eq!(
            problem(say(None).await).await,
            (401, "unauthorized".to_owned()),
            "{kind}"
        );
        assert_eq!(say(Some(&read)).await.status(), 201, "{kind}");
    }
    let owners: i64 = sqlx::query_scalar("select count(*) from control.session_owners")
        .fetch_one(&gateway.database.pool)
        .await
        .expect("a count");
    assert_eq!(owners, 0);
}

#[tokio::test]
async fn what_one_may_not_see_one_may_not_speak_about() {
    let gateway = gateway().await;
    let ids = session(&gateway).await;
    let bound = gateway.key(&[Scope::Read], Some("somebody-else")).await;
    for kind in REMARKS {
        let request = gateway.post(&path(kind), &remark(kind, &ids));
        let answer = send(request.header(AUTHORIZATION, format!("Bearer {bound}"))).await;
        assert_eq!(problem(answer).await, (404, "not_found".to_owned()), "{kind}");
    }
}

#[tokio::test]
async fn without_a_key_only_this_machine_speaks() {
    let gateway = gateway().await;
    let ids = session(&gateway).await;
    for (name, value) in [
        ("host", "kulti.example"),
        ("x-forwarded-for", "10.0.0.1"),
        ("origin", "https://evil.example"),
    ] {
        for kind in REMARKS {
            let request = gateway.post(&path(kind), &remark(kind, &ids)).header(name, value);
            let answer = send(request).await;
            assert_eq!(
                problem(answer).await,
                (403, "writes_closed".to_owned()),
                "{kind} {name}"
            );
        }
    }
    assert!(gateway.log().await.is_empty());
}
