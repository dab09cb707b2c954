use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::harness::{Gateway, body, gateway, problem, send, thought};

/// Sends a line between two good ones and returns its result; the good ones must be accepted.
async fn between_neighbours(gateway: &Gateway, line: impl AsRef<[u8]>) -> Value {
    let mut lines = thought("s", "before").to_string().into_bytes();
    lines.push(b'\n');
    lines.extend_from_slice(line.as_ref());
    lines.push(b'\n');
    lines.extend_from_slice(thought("s", "after").to_string().as_bytes());
    let answer = body(send(gateway.post_lines(lines)).await).await;
    let results = answer["results"].as_array().expect("results");
    assert_eq!(results.len(), 3, "{answer}");
    assert_eq!(
        (&results[0]["status"], &results[2]["status"]),
        (&json!("accepted"), &json!("accepted")),
        "{answer}"
    );
    results[1].clone()
}

fn with_data(kind: &str, data: &str) -> String {
    format!(r#"{{"session":"s","agent":"nex","kind":"{kind}","data":{data}}}"#)
}

#[tokio::test]
async fn a_bad_event_is_refused_by_name_and_its_neighbours_are_accepted() {
    let gateway = gateway().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let table = [
        ("{broken".to_owned(), "invalid_json", None),
        (deep.clone(), "invalid_json", None),
        (
            r#"{"agent":"nex","kind":"thought","data":{"content":"x"}}"#.to_owned(),
            "missing_field",
            Some("session"),
        ),
        (
            r#"{"session":"s\u0000","agent":"nex","kind":"thought","data":{}}"#.to_owned(),
            "invalid_id",
            Some("session"),
        ),
        (
            r#"{"session":"s","agent":"n\u0000","kind":"thought","data":{}}"#.to_owned(),
            "invalid_id",
            Some("agent"),
        ),
        (
            r#"{"id":"1\u0000","session":"s","agent":"n","kind":"thought","data":{}}"#.to_owned(),
            "invalid_id",
            Some("id"),
        ),
        (
            with_data("thought", r#"{"content":"\ud800"}"#),
            "invalid_field",
            Some("data.content"),
        ),
        (
            with_data("thought", r#"{"content":5}"#),
            "invalid_field",
            Some("data.content"),
        ),
        (with_data("thought", "{}"), "missing_field", Some("data.content")),
        (
            with_data("thought", &format!(r#"{{"content":"x","metadata":{deep}}}"#)),
            "invalid_field",
            Some("data.metadata"),
        ),
        (
            with_data("custom", &format!(r#"{{"name":"x","value":{deep_object}}}"#)),
            "invalid_field",
            Some("data.value"),
        ),
        (
            with_data("dance", &format!(r#"{{"steps":{deep}}}"#)),
            "invalid_field",
            Some("data.value"),
        ),
        (
            with_data("thought", &format!(r#"{{"content":"{}"}}"#, "x".repeat(1 << 20))),
            "event_too_large",
            None,
        ),
    ];
    for (line, code, field) in table {
        let result = between_neighbours(&gateway, &line).await;
        let shown: String = line.chars().take(80).collect();
        assert_eq!(result["status"], "rejected", "{shown}: {result}");
        assert_eq!(result["code"], code, "{shown}: {result}");
        assert_eq!(
            result.get("field").and_then(Value::as_str),
            field,
            "{shown}: {result}"
        );
    }
    let result = between_neighbours(&gateway, b"{\"session\":\"\xff\"}").await;
    assert_eq!(result["code"], "invalid_json", "{result}");
}

#[tokio::test]
async fn nul_and_any_byte_are_fine_in_terminal_data() {
    let gateway = gateway().await;
    let text = with_data("terminal.output", r#"{"text":"a\u0000b\u001b[31m"}"#);
    assert_eq!(between_neighbours(&gateway, text).await["status"], "accepted");
    let bytes = with_data("terminal.output", r#"{"base64":"AP/+gA=="}"#);
    assert_eq!(between_neighbours(&gateway, bytes).await["status"], "accepted");
    let log = gateway.log().await;
    assert_eq!(log[1].data.get(), r#"{"text":"a\u0000b\u001b[31m"}"#);
    assert_eq!(log[4].data.get(), r#"{"base64":"AP/+gA=="}"#);
}

#[tokio::test]
async fn a_body_that_is_unreadable_as_a_whole_is_refused_as_a_whole() {
    let gateway = gateway().await;
    let table = [
        (
            "application/json",
            None::<&str>,
            b"{broken".to_vec(),
            400,
            "invalid_json",
        ),
        ("application/json", None, b"[{},".to_vec(), 400, "invalid_json"),
        ("application/json", None, Vec::new(), 400, "invalid_json"),
        (
            "application/json",
            Some("gzip"),
            b"not gzip".to_vec(),
            400,
            "invalid_body",
        ),
        (
            "application/json",
            Some("br"),
            b"x".to_vec(),
            415,
            "unsupported_media_type",
        ),
        ("text/plain", None, b"{}".to_vec(), 415, "unsupported_media_type"),
        (
            "application/x-www-form-urlencoded",
            None,
            b"{}".to_vec(),
            415,
            "unsupported_media_type",
        ),
        (
            "application/json",
            None,
            vec![b' '; 10_000_000],
            413,
            "body_too_large",
        ),
        (
            "application/x-ndjson",
            None,
            b"1\n".repeat(10_001),
            413,
            "too_many_events",
        ),
    ];
    for (content_type, encoding, bytes, status, code) in table {
        let mut request = gateway
            .request(Method::POST, "/v1/events")
            .header(CONTENT_TYPE, content_type)
            .body(bytes);
        if let Some(encoding) = encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        assert_eq!(
            problem(send(request).await).await,
            (status, code.to_owned()),
            "{content_type} {encoding:?}"
        );
    }
    assert!(gateway.log().await.is_empty());
}

#[tokio::test]
async fn a_zip_bomb_is_refused() {
    use tokio::io::AsyncWriteExt;
    let gateway = gateway().await;
    let mut bomb = async_compression::tokio::write::ZstdEncoder::new(Vec::new());
    for _ in 0..200 {
        bomb.write_all(&vec![b' '; 1 << 20]).await.expect("zstd");
    }
    bomb.shutdown().await.expect("zstd");
    let bytes = bomb.into_inner();
    assert!(bytes.len() < 100_000);
    let answer = send(gateway.post_lines(bytes).header(CONTENT_ENCODING, "zstd")).await;
    assert_eq!(problem(answer).await, (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn an_endless_body_is_refused_once_it_is_too_large() {
    let gateway = gateway().await;
    let piece = || Ok::<_, std::io::Error>(vec![b' '; 1 << 16]);
    let pieces = futures_util::stream::iter(std::iter::repeat_with(piece).take(400));
    let request = gateway.post_lines(reqwest::Body::wrap_stream(pieces));
    assert_eq!(
        problem(send(request).await).await,
        (413, "body_too_large".to_owned())
    );
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems() {
    let gateway = gateway().await;
    assert_eq!(
        problem(send(gateway.get("/v2/nothing")).await).await,
        (404, "not_found".to_owned())
    );
    let answer = send(gateway.request(Method::PUT, "/v1/events")).await;
    assert_eq!(problem(answer).await, (405, "method_not_allowed".to_owned()));
}
