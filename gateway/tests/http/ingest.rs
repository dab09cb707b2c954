use kulti_schemas::Kind;
use reqwest::header::CONTENT_ENCODING;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::harness::{body, gateway, problem, send, thought};

#[tokio::test]
async fn accepted_events_are_in_the_log_in_the_order_sent() {
    let gateway = gateway().await;
    let events: Vec<Value> = (0..50).map(|index| thought("s", &format!("{index}"))).collect();
    let answer = body(send(gateway.post("/v1/events", &json!(events))).await).await;
    assert_eq!(
        (&answer["accepted"], &answer["rejected"], &answer["retry"]),
        (&json!(50), &json!(0), &json!(0))
    );
    let log = gateway.log().await;
    assert_eq!(log.len(), 50);
    for (index, event) in log.iter().enumerate() {
        assert_eq!(event.data.get(), format!("{{\"content\":\"{index}\"}}"));
        assert_eq!(
            answer["results"][index]["id"],
            event.meta.event_id.uuid().to_string()
        );
        assert_eq!(event.meta.time, event.meta.received);
    }
}

#[tokio::test]
async fn one_event_an_array_and_lines_are_taken_alike() {
    let gateway = gateway().await;
    let one = body(send(gateway.post("/v1/events", &thought("s", "a"))).await).await;
    let array = body(send(gateway.post("/v1/events", &json!([thought("s", "b")]))).await).await;
    let lines = format!("{}\n\n{}\n", thought("s", "c"), thought("s", "d"));
    let lines = body(send(gateway.post_lines(lines)).await).await;
    assert_eq!(
        (&one["accepted"], &array["accepted"], &lines["accepted"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!(gateway.log().await.len(), 4);
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let gateway = gateway().await;
    let text = thought("s", "a").to_string();
    let mut gzip = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    gzip.write_all(text.as_bytes()).await.expect("gzip");
    gzip.shutdown().await.expect("gzip");
    let mut zstd = async_compression::tokio::write::ZstdEncoder::new(Vec::new());
    zstd.write_all(text.as_bytes()).await.expect("zstd");
    zstd.shutdown().await.expect("zstd");
    for (encoding, bytes) in [("gzip", gzip.into_inner()), ("zstd", zstd.into_inner())] {
        let answer = send(gateway.post_lines(bytes).header(CONTENT_ENCODING, encoding)).await;
        assert_eq!(body(answer).await["accepted"], 1, "{encoding}");
    }
}

#[tokio::test]
async fn the_same_request_with_an_idempotency_key_is_the_same_events() {
    let gateway = gateway().await;
    let request = || gateway.post("/v1/events", &json!([thought("s", "a"), thought("s", "b")]));
    let first = body(send(request().header("Idempotency-Key", "k1")).await).await;
    let second = body(send(request().header("Idempotency-Key", "k1")).await).await;
    let other = body(send(request().header("Idempotency-Key", "k2")).await).await;
    assert_eq!(first["results"], second["results"]);
    assert_ne!(first["results"][0]["id"], first["results"][1]["id"]);
    assert_ne!(first["results"][0]["id"], other["results"][0]["id"]);
}

#[tokio::test]
async fn an_unknown_kind_is_in_the_log_as_custom_and_said_so() {
    let gateway = gateway().await;
    let event = json!({"session": "s", "agent": "nex", "kind": "dance.step", "data": {"left": true}});
    let answer = body(send(gateway.post("/v1/events", &event)).await).await;
    assert!(
        answer["results"][0]["warning"]
            .as_str()
            .is_some_and(|text| text.contains("dance.step")),
        "{answer}"
    );
    let log = gateway.log().await;
    assert_eq!(log[0].kind, Kind::known("custom").expect("a kind"));
    assert_eq!(
        log[0].data.get(),
        r#"{"name":"dance.step","value":{"left":true}}"#
    );
}

#[tokio::test]
async fn a_body_of_one_event_that_is_rejected_is_answered_with_the_problem_itself() {
    let gateway = gateway().await;
    let event = json!({"session": "s", "agent": "nex", "kind": "thought", "data": {}});
    let answer = send(gateway.post("/v1/events", &event)).await;
    assert_eq!(answer.status(), 422);
    let answer = body(answer).await;
    assert_eq!(
        (&answer["code"], &answer["field"]),
        (&json!("missing_field"), &json!("data.content")),
        "{answer}"
    );
}

#[tokio::test]
async fn what_viewers_and_kulti_say_is_not_taken_from_producers() {
    let gateway = gateway().await;
    let kinds = [
        "chat",
        "chat.delivered",
        "chat.read",
        "clip",
        "reaction",
        "moderation",
        "approval.resolved",
        "redaction",
        "session.erased",
        "unreadable",
    ];
    for kind in kinds {
        let event = json!({"session": "s", "agent": "nex", "kind": kind, "data": {"text": "hi"}});
        let answer = send(gateway.post("/v1/events", &event)).await;
        assert_eq!(
            problem(answer).await,
            (422, "kind_not_allowed".to_owned()),
            "{kind}"
        );
    }
    assert!(gateway.log().await.is_empty());
}

#[tokio::test]
async fn an_empty_list_is_answered_with_no_results() {
    let gateway = gateway().await;
    let answer = body(send(gateway.post("/v1/events", &json!([]))).await).await;
    assert_eq!(
        answer,
        json!({"accepted": 0, "rejected": 0, "retry": 0, "results": []})
    );
}
