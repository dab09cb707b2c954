use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Gateway, body, client, gateway, send, serve};

async fn call(gateway: &Gateway, method: Method, request: &Value) -> (u16, Value) {
    let response = send(gateway.request(method, "/api/agent/stream").json(request)).await;
    (response.status().as_u16(), body(response).await)
}

async fn log(gateway: &Gateway) -> Vec<(String, String, Value)> {
    let events = gateway.log().await.into_iter();
    events
        .map(|event| {
            let data = serde_json::from_str(event.data.get()).expect("JSON");
            (
                event.meta.session_id.as_str().to_owned(),
                event.kind.name().to_owned(),
                data,
            )
        })
        .collect()
}

#[tokio::test]
async fn the_three_calls_are_one_session() {
    let gateway = gateway().await;
    let (status, started) = call(
        &gateway,
        Method::POST,
        &json!({"agentId": "nex", "agentName": "Nex", "task": "Building …"}),
    )
    .await;
    assert_eq!((status, &started["success"]), (201, &json!(true)), "{started}");
    let watch_url = format!("http://{}/watch/nex", gateway.served.address);
    assert_eq!(started["watchUrl"], watch_url);
    let patch =
        json!({"agentId": "nex", "status": "live", "terminal": [{"type": "success", "content": "✓ Ready"}]});
    let (status, patched) = call(&gateway, Method::PATCH, &patch).await;
    assert_eq!((status, &patched["sessionId"]), (200, &started["sessionId"]));
    let ended = send(gateway.request(Method::DELETE, "/api/agent/stream?agentId=nex")).await;
    assert_eq!(ended.status(), 200);
    assert_eq!(body(ended).await["sessionId"], started["sessionId"]);

    let session = started["sessionId"].as_str().expect("a session").to_owned();
    let expected = [
        (
            "session.started",
            json!({"agent_name": "Nex", "task": "Building …"}),
        ),
        ("status.changed", json!({"status": "live"})),
        (
            "terminal.output",
            json!({"text": "✓ Ready\n", "level": "success"}),
        ),
        ("session.ended", json!({"reason": "completed"})),
    ];
    let expected = expected.map(|(kind, data)| (session.clone(), kind.to_owned(), data));
    assert_eq!(log(&gateway).await, expected);

    let (status, next) = call(
        &gateway,
        Method::PATCH,
        &json!({"agentId": "nex", "thinking": "hm"}),
    )
    .await;
    assert_eq!(status, 201, "a patch with no live session starts one");
    assert_ne!(next["sessionId"], started["sessionId"]);
}

#[tokio::test]
async fn a_post_and_a_patch_at_two_gateways_at_once_are_one_session() {
    let gateway = gateway().await;
    let second = serve(
        "127.0.0.1:0",
        Default::default(),
        gateway.database.pool.clone(),
        &gateway.topics.config,
    )
    .await;
    let client = client();
    for round in 0..10 {
        let agent = format!("nex-{round}");
        let post = gateway.post("/api/agent/stream", &json!({"agentId": agent, "task": "x"}));
        let patch = client
            .patch(format!("http://{}/api/agent/stream", second.address))
            .json(&json!({"agentId": agent, "thinking": "hm"}));
        let (post, patch) = tokio::join!(send(post), send(patch));
        let (post, patch) = (body(post).await, body(patch).await);
        assert_eq!(post["sessionId"], patch["sessionId"], "{post} {patch}");
    }
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_or_was_not_used_for_twelve_hours_is_not_gone_on_with() {
    let gateway = gateway().await;
    let request = json!({"agentId": "nex", "thinking": "hm"});
    let (_, first) = call(&gateway, Method::PATCH, &request).await;
    let first = first["sessionId"].as_str().expect("a session").to_owned();
    gateway.insert_session(&first, None).await;
    sqlx::query("update sessions set ended_at = now()")
        .execute(&gateway.database.pool)
        .await
        .expect("an end");
    let (status, second) = call(&gateway, Method::PATCH, &request).await;
    assert_eq!(status, 201);
    assert_ne!(second["sessionId"], first);
    sqlx::query("update control.agent_sessions set used_at = now() - interval '13 hours'")
        .execute(&gateway.database.pool)
        .await
        .expect("a long pause");
    let (status, third) = call(&gateway, Method::PATCH, &request).await;
    assert_eq!(status, 201);
    assert_ne!(third["sessionId"], second["sessionId"]);
}

#[tokio::test]
async fn a_file_is_created_once_and_edited_afterwards_at_every_gateway() {
    let gateway = gateway().await;
    let request =
        json!({"agentId": "nex", "code": {"filename": "a \"b\".ts", "content": "\u{0}", "action": "write"}});
    call(&gateway, Method::PATCH, &request).await;
    let (_, answer) = call(&gateway, Method::PATCH, &request).await;
    let session = answer["sessionId"].as_str().expect("a session").to_owned();
    let written = log(&gateway).await;
    let actions: Vec<&Value> = written
        .iter()
        .filter(|(_, kind, _)| kind == "code.changed")
        .map(|(_, _, data)| &data["action"])
        .collect();
    assert_eq!(actions, ["create", "edit"]);

    // Another gateway knows it from what replay wrote.
    gateway.insert_session(&session, None).await;
    sqlx::query(
        "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
         values ($1, 1, gen_random_uuid(), 'nex', 'code.changed', 'agent', now(), now(), now(), $2::text::json)",
    )
    .bind(&session)
    .bind(r#"{"action":"create","content":"\u0000","path":"a \"b\".ts"}"#)
    .execute(&gateway.database.pool)
    .await
    .expect("an event");
    let second = serve(
        "127.0.0.1:0",
        Default::default(),
        gateway.database.pool.clone(),
        &gateway.topics.config,
    )
    .await;
    let url = format!("http://{}/api/agent/stream", second.address);
    assert_eq!(send(client().patch(url).json(&request)).await.status(), 200);
    assert_eq!(log(&gateway).await.last().expect("an event").2["action"], "edit");
}

#[tokio::test]
async fn a_later_post_says_only_what_changed() {
    let gateway = gateway().await;
    let (_, started) = call(
        &gateway,
        Method::POST,
        &json!({"agentId": "nex", "agentName": "Nex", "task": "a"}),
    )
    .await;
    gateway
        .insert_session(started["sessionId"].as_str().expect("a session"), None)
        .await;
    sqlx::query("update sessions set agent_name = 'Nex', task = 'a'")
        .execute(&gateway.database.pool)
        .await
        .expect("a profile");
    call(
        &gateway,
        Method::POST,
        &json!({"agentId": "nex", "agentName": "Nex", "task": "a"}),
    )
    .await;
    assert_eq!(log(&gateway).await.len(), 1, "nothing changed");
    call(
        &gateway,
        Method::POST,
        &json!({"agentId": "nex", "agentName": "Nex", "task": "b"}),
    )
    .await;
    let last = log(&gateway).await.pop().expect("an event");
    assert_eq!(
        (last.1.as_str(), last.2),
        ("session.updated", json!({"task": "b"}))
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_in_both_ways_and_nothing_is_written() {
    let gateway = gateway().await;
    let table = [
        (json!({"task": "x"}), 422, "missing_field", "agentId"),
        (json!({"agentId": "a/b"}), 422, "invalid_id", "agentId"),
        (
            json!({"agentId": "a", "thinking": "ok", "code": {"content": "x"}}),
            422,
            "missing_field",
            "code.filename",
        ),
        (
            json!({"agentId": "a", "thinking": "x".repeat(1 << 20)}),
            422,
            "event_too_large",
            "thinking",
        ),
        (
            json!({"agentId": "a", "thinking": "ok", "visibility": "secret"}),
            422,
            "invalid_field",
            "task",
        ),
    ];
    for (request, status, code, field) in table {
        let (given, answer) = call(&gateway, Method::POST, &request).await;
        assert_eq!(
            (given, answer["code"].as_str(), answer["field"].as_str()),
            (status, Some(code), Some(field))
        );
        assert_eq!(
            (&answer["success"], &answer["error"]),
            (&json!(false), &answer["detail"])
        );
    }
    let form = gateway
        .request(Method::POST, "/api/agent/stream")
        .body("{\"agentId\":\"a\"}");
    assert_eq!(send(form).await.status(), 415);
    let nobody = send(gateway.request(Method::DELETE, "/api/agent/stream?agentId=nobody")).await;
    assert_eq!(nobody.status(), 404);
    assert_eq!(body(nobody).await["success"], false);
    assert!(gateway.log().await.is_empty());
    let pointers: i64 = sqlx::query_scalar("select count(*) from control.agent_sessions")
        .fetch_one(&gateway.database.pool)
        .await
        .expect("a count");
    assert_eq!(pointers, 0, "no session was begun");
}

#[tokio::test]
async fn the_agent_to_end_may_be_in_the_body_and_the_start_at_the_root() {
    let gateway = gateway().await;
    let started = send(gateway.post("/", &json!({"agentId": "nex"}))).await;
    assert_eq!(started.status(), 201);
    let (status, ended) = call(&gateway, Method::DELETE, &json!({"agentId": "nex"})).await;
    assert_eq!(
        (status, &ended["sessionId"]),
        (200, &body(started).await["sessionId"])
    );
}
