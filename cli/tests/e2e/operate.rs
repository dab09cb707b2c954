//! The commands that operate a session, as people type them, against real servers.

use std::collections::HashMap;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::cluster::{Cluster, Gateway};
use crate::producer::session_id;

const SECRET: &str = "hunter2-the-password";

fn event(session: &str, kind: &str, data: Value) -> Value {
    json!({"id": uuid::Uuid::now_v7(), "session": session, "agent": "nex", "kind": kind, "data": data})
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `kulti` as somebody at this gateway's machine types it.
async fn kulti(gateway: &Gateway, arguments: &[&str], input: &str) -> Ran {
    let home = tempfile::tempdir().expect("a folder");
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_kulti"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .env("KULTI_URL", gateway.url(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("an input");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

async fn rows(gateway: &Gateway, session: &str) -> Vec<Value> {
    let path = format!("/v1/sessions/{session}/events?limit=1000");
    let answer = gateway
        .client
        .get(gateway.url(&path))
        .send()
        .await
        .expect("an answer");
    let page: Value = answer.json().await.expect("JSON");
    page["items"].as_array().expect("events").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_redacted_wherever_it_is_said_and_told_to_nobody() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let (one, two) = SECRET.split_at(5);
    gateway
        .send(&[
            event(
                &session,
                "session.started",
                json!({"task": format!("use {SECRET}")}),
            ),
            event(
                &session,
                "terminal.output",
                json!({"text": format!("é {one}"), "stream": "pty"}),
            ),
            event(
                &session,
                "terminal.output",
                json!({"text": format!("{two}\n"), "stream": "pty"}),
            ),
            event(
                &session,
                "tool.started",
                json!({"call": "c", "name": "sh", "input": {"keys": [SECRET, SECRET]}}),
            ),
            event(&session, "thought", json!({"content": "done"})),
        ])
        .await;
    cluster.wait_for_rows(&session, 5).await;

    let dry = kulti(&gateway, &["redact", &session, "--text", "-"], SECRET).await;
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert!(
        dry.stderr.contains("would hide 5 places in 5 fields"),
        "{}",
        dry.stderr
    );
    assert_eq!(rows(&gateway, &session).await.len(), 5, "nothing was done");

    let asked = [
        "redact",
        &session,
        "--text",
        "-",
        "--reason",
        "a password",
        "--yes",
        "--json",
    ];
    let done = kulti(&gateway, &asked, &format!("{SECRET}\n")).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((&told["done"], &told["places"]), (&json!(true), &json!(5)));

    let left = rows(&gateway, &session).await;
    let texts: Vec<&str> = left
        .iter()
        .filter_map(|row| row["data"]["text"].as_str())
        .collect();
    assert_eq!(texts, ["é █████", "███████████████\n"]);
    let all = format!(
        "{left:?}{}{}{}{}",
        dry.stdout, dry.stderr, done.stdout, done.stderr
    );
    for part in [SECRET, one, two] {
        assert!(!all.contains(part), "{all}");
    }
    let again = kulti(&gateway, &["redact", &session, "--text", SECRET], "").await;
    assert!(again.stderr.contains("nothing of it"), "{}", again.stderr);
    let refused = kulti(
        &gateway,
        &["redact", &session, "--text", SECRET, "--reason", SECRET],
        "",
    )
    .await;
    assert_eq!(refused.code, Some(2));
    assert!(!refused.stderr.contains(SECRET), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_asks_first_and_says_what_the_log_keeps() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    gateway
        .send(&[event(&session, "thought", json!({"content": "x"}))])
        .await;
    cluster.wait_for_rows(&session, 1).await;
    let asked = kulti(&gateway, &["erase", &session], "").await;
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(rows(&gateway, &session).await.len(), 1);
    let done = kulti(&gateway, &["erase", &session, "--yes"], "").await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("for ever"), "{}", done.stderr);
    let gone = kulti(&gateway, &["erase", &session, "--yes"], "").await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("not_found"), "{}", gone.stderr);
}

/// Kinds and data, with each event's id as its position, wherever it is named.
fn transcript(rows: &[Value]) -> Vec<String> {
    let places: HashMap<String, String> = rows
        .iter()
        .map(|row| {
            (
                row["id"].as_str().expect("an id").to_owned(),
                row["position"].to_string(),
            )
        })
        .collect();
    let named = |text: String| {
        places
            .iter()
            .fold(text, |text, (id, place)| text.replace(id.as_str(), place))
    };
    rows.iter()
        .map(|row| {
            named(format!(
                "{} {} {} {} {}",
                row["source"], row["kind"], row["data"], row["cause"], row["seq"]
            ))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_sent_again_is_the_same_but_for_ids_and_times() {
    let (cluster, other) = (Cluster::create(1).await, Cluster::create(2).await);
    let (gateway, target) = (cluster.gateway().await, other.gateway().await);
    let (_replay, _other_replay) = (cluster.replay(), other.replay());
    gateway.ready().await;
    target.ready().await;
    let session = session_id();
    let mut events = vec![
        event(
            &session,
            "session.started",
            json!({"task": "t", "visibility": "public"}),
        ),
        event(&session, "thought", json!({"content": "a", "n": 1.50})),
        event(&session, "terminal.output", json!({"base64": "/w=="})),
    ];
    events[1]["cause"] = events[0]["id"].clone();
    events[2]["producer"] = json!("p");
    events[2]["seq"] = json!(7);
    gateway.send(&events).await;
    cluster.wait_for_rows(&session, 3).await;
    for (route, body) in [
        (
            "chat",
            json!({"text": "hello", "name": "A", "at": events[1]["id"]}),
        ),
        ("markers", json!({"label": "here", "at": events[2]["id"]})),
        ("clips", json!({"from": events[0]["id"], "to": events[2]["id"]})),
        (
            "redactions",
            json!({"events": [{"event": events[1]["id"], "field": "/content"}]}),
        ),
    ] {
        let url = gateway.url(&format!("/v1/sessions/{session}/{route}"));
        let answer = gateway
            .client
            .post(url)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 201, "{route}");
    }
    gateway
        .send(&[
            event(&session, "thought", json!({"content": "b"})),
            event(&session, "session.ended", json!({"reason": "completed"})),
        ])
        .await;
    cluster.wait_for_rows(&session, 9).await;

    let to = target.url("");
    let asked = [
        "resend",
        &session,
        "--to",
        &to,
        "--speed",
        "max",
        "--session",
        "again",
        "--json",
    ];
    let ran = kulti(&gateway, &asked, "").await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&told["sent"], &told["left_out"]),
        (&json!(9), &json!(0)),
        "{}",
        ran.stderr
    );
    other.wait_for_rows("again", 9).await;
    let (before, after) = (rows(&gateway, &session).await, rows(&target, "again").await);
    assert_eq!(transcript(&after), transcript(&before));
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before["id"], after["id"]);
    }
}
