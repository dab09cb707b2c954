use std::time::{Duration, Instant};

use kulti_gateway::control::{self, Scope};
use kulti_test_support::wait_until;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Gateway, body, gateway, problem, public_gateway, send, thought};

fn write(gateway: &Gateway, key: &str, event: &Value) -> RequestBuilder {
    gateway.post("/v1/events", event).bearer_auth(key)
}

#[tokio::test]
async fn this_machine_makes_the_first_key_and_from_then_on_keys_are_needed() {
    let gateway = gateway().await;
    assert_eq!(
        send(gateway.post("/v1/events", &thought("s", "open")))
            .await
            .status(),
        200
    );
    let made = send(gateway.post("/v1/keys", &json!({"name": "me", "scopes": ["admin"]}))).await;
    assert_eq!(made.status(), 201);
    let made = body(made).await;
    let admin = made["key"].as_str().expect("the key").to_owned();
    assert!(
        admin.starts_with(&format!("kulti_{}_", made["id"].as_str().expect("an id"))),
        "{admin}"
    );

    let without = send(gateway.post("/v1/events", &thought("s", "closed"))).await;
    assert_eq!(problem(without).await, (401, "unauthorized".to_owned()));
    let without = send(gateway.post("/v1/keys", &json!({"name": "me", "scopes": ["admin"]}))).await;
    assert_eq!(problem(without).await, (401, "unauthorized".to_owned()));

    let request = json!({"name": "nex", "scopes": ["produce"], "agent": "nex"});
    let produce = body(send(gateway.post("/v1/keys", &request).bearer_auth(&admin)).await).await;
    assert_eq!(produce["agent"], "nex");
    let produce = produce["key"].as_str().expect("the key");
    assert_eq!(
        send(write(&gateway, produce, &thought("t", "x"))).await.status(),
        200
    );

    let list = send(gateway.get("/v1/keys").bearer_auth(&admin))
        .await
        .text()
        .await
        .expect("a list");
    assert!(
        !list.contains(&admin) && !list.contains(produce) && !list.contains("hash"),
        "{list}"
    );
    for (method, path) in [(Method::GET, "/v1/keys"), (Method::DELETE, "/v1/keys/x")] {
        let answer = send(gateway.request(method, path).bearer_auth(produce)).await;
        assert_eq!(problem(answer).await, (403, "forbidden".to_owned()));
    }
}

#[tokio::test]
async fn keys_are_stored_as_their_hash_alone() {
    let gateway = gateway().await;
    let key = gateway.key(&[Scope::Admin], None).await;
    let secret = key.rsplit('_').next().expect("a secret");
    assert!(secret.len() >= 32, "at least 128 bits");
    let rows: Vec<String> = sqlx::query_scalar("select keys::text from control.keys keys")
        .fetch_all(&gateway.database.pool)
        .await
        .expect("rows");
    assert!(rows.iter().all(|row| !row.contains(secret)), "{rows:?}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_five_seconds() {
    let gateway = public_gateway().await;
    let key = gateway.key(&[Scope::Produce], None).await;
    assert_eq!(
        send(write(&gateway, &key, &thought("s", "x"))).await.status(),
        200
    );
    let id = key.split('_').nth(1).expect("an id");
    assert!(
        control::revoke_key(&gateway.database.pool, id)
            .await
            .expect("an answer")
    );
    let revoked = Instant::now();
    wait_until("the key is refused", async || {
        send(write(&gateway, &key, &thought("s", "x"))).await.status() == 401
    })
    .await;
    assert!(
        revoked.elapsed() < Duration::from_secs(5),
        "{:?}",
        revoked.elapsed()
    );
    let without = send(gateway.post("/v1/events", &thought("s", "x"))).await;
    assert_eq!(problem(without).await.0, 401, "writes do not open again");
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let gateway = gateway().await;
    let key = gateway.key(&[Scope::Produce], None).await;
    let (last, rest) = (&key[key.len() - 1..], &key[..key.len() - 1]);
    let other = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    for wrong in [other.as_str(), rest, "kulti_x_y", "nonsense", &key.to_uppercase()] {
        let answer = send(write(&gateway, wrong, &thought("s", "x"))).await;
        assert_eq!(problem(answer).await, (401, "unauthorized".to_owned()), "{wrong}");
        let answer = send(gateway.get("/v1/sessions").bearer_auth(wrong)).await;
        assert_eq!(problem(answer).await, (401, "unauthorized".to_owned()), "{wrong}");
    }
    let basic = send(gateway.get("/v1/sessions").basic_auth("user", Some("password"))).await;
    assert_eq!(problem(basic).await.0, 401);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say() {
    let gateway = gateway().await;
    let read = gateway.key(&[Scope::Read], None).await;
    let answer = send(write(&gateway, &read, &thought("s", "x"))).await;
    assert_eq!(problem(answer).await, (403, "forbidden".to_owned()));
    let bound = gateway.key(&[Scope::Produce], Some("other")).await;
    let answer = send(write(&gateway, &bound, &thought("s", "x"))).await;
    assert_eq!(problem(answer).await, (422, "agent_not_allowed".to_owned()));
    let simple = send(
        gateway
            .post("/api/agent/stream", &json!({"agentId": "nex"}))
            .bearer_auth(&bound),
    )
    .await;
    assert_eq!(problem(simple).await, (422, "agent_not_allowed".to_owned()));
}

#[tokio::test]
async fn the_first_key_that_writes_a_session_owns_it() {
    let gateway = gateway().await;
    let first = gateway.key(&[Scope::Produce], None).await;
    let second = gateway.key(&[Scope::Produce], None).await;
    let admin = gateway.key(&[Scope::Admin], None).await;
    assert_eq!(
        send(write(&gateway, &first, &thought("s", "mine")))
            .await
            .status(),
        200
    );
    let answer = send(write(&gateway, &second, &thought("s", "not mine"))).await;
    assert_eq!(problem(answer).await, (422, "session_not_yours".to_owned()));
    let mixed = json!([thought("s", "not mine"), thought("t", "mine")]);
    let answer = body(send(write(&gateway, &second, &mixed)).await).await;
    assert_eq!(answer["results"][0]["code"], "session_not_yours");
    assert_eq!(answer["results"][1]["status"], "accepted");
    assert_eq!(
        send(write(&gateway, &admin, &thought("s", "as admin")))
            .await
            .status(),
        200
    );
    assert_eq!(gateway.log().await.len(), 3);
}

#[tokio::test]
async fn an_invalid_event_takes_no_session() {
    let gateway = gateway().await;
    let first = gateway.key(&[Scope::Produce], None).await;
    let second = gateway.key(&[Scope::Produce], None).await;
    let invalid = json!({"session": "s", "agent": "nex", "kind": "thought", "data": {}});
    assert_eq!(send(write(&gateway, &first, &invalid)).await.status(), 422);
    assert_eq!(
        send(write(&gateway, &second, &thought("s", "mine")))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_key_to_make_that_is_not_valid_is_refused_by_name() {
    let gateway = gateway().await;
    let table = [
        (json!({"scopes": ["admin"]}), "missing_field", Some("name")),
        (
            json!({"name": "", "scopes": ["admin"]}),
            "invalid_field",
            Some("name"),
        ),
        (json!({"name": "a"}), "missing_field", Some("scopes")),
        (
            json!({"name": "a", "scopes": []}),
            "invalid_field",
            Some("scopes"),
        ),
        (
            json!({"name": "a", "scopes": ["root"]}),
            "invalid_field",
            Some("scopes"),
        ),
        (
            json!({"name": "a", "scopes": ["produce"], "agent": "a/b"}),
            "invalid_id",
            Some("agent"),
        ),
        (json!([]), "invalid_json", None),
    ];
    for (request, code, field) in table {
        let answer = body(send(gateway.post("/v1/keys", &request)).await).await;
        assert_eq!(
            (answer["code"].as_str(), answer["field"].as_str()),
            (Some(code), field),
            "{request}"
        );
    }
}
