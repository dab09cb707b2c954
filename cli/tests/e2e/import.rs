//! `kulti import` from the command line to the rows: once, twice, after a file has grown, and while it grows.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use kulti_test_support::wait_until;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Gateway};

const SESSION: &str = "11111111-0000-4000-8000-000000000001";

/// A transcript's line.
fn line(number: usize, rest: Value) -> String {
    let mut line = json!({"uuid": format!("u{number}"), "sessionId": SESSION, "cwd": "/home/me/shop", "version": "2.1.0",
        "timestamp": format!("2026-03-01T10:00:{number:02}.000Z")});
    for (name, value) in rest.as_object().into_iter().flatten() {
        line[name] = value.clone();
    }
    format!("{line}\n")
}

fn asks(number: usize, text: &str) -> String {
    line(
        number,
        json!({"type": "user", "message": {"role": "user", "content": text}}),
    )
}

fn command(gateway: &Gateway, arguments: &[&str], path: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kulti"));
    command
        .arg("import")
        .args(arguments)
        .arg(path)
        .env_clear()
        .env("HOME", path.parent().expect("a folder"))
        .env("KULTI_URL", gateway.url(""))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn import(gateway: &Gateway, arguments: &[&str], path: &Path) -> (Option<i32>, String, String) {
    let output = command(gateway, arguments, path).output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_adds_what_is_new_and_nothing_twice() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("projects/any-name.txt");
    fs::create_dir(folder.path().join("projects")).expect("a folder");
    let secret = ["ghp_", "aB3dE5gH7jK9", "mN1pQ3sT5vW7", "yZ9bC1dE3fG5"].concat();
    let begun = [
        asks(1, &format!("Use {secret} for it")),
        line(
            2,
            json!({"type": "assistant", "message": {"id": "m1", "role": "assistant", "model": "claude-opus-4",
            "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}],
            "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 4}}}),
        ),
    ]
    .concat();
    fs::write(&file, &begun).expect("written");
    let session = format!("claude-{SESSION}");

    let (code, stdout, _) = import(&gateway, &["--dry-run", "--json"], folder.path()).await;
    let report: Value = serde_json::from_str(stdout.trim()).expect("one report");
    assert_eq!(code, Some(0));
    assert_eq!(report["format"], "claude-transcript");
    assert_eq!(report["sessions"], json!([session]));
    assert_eq!(
        (&report["tool_calls"], &report["unpaired_calls"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(report["tokens"]["claude-opus-4"]["output"], 4);
    assert_eq!(report["masked"], json!({"github-token": 1}));
    assert!(cluster.rows(&session).await.is_empty(), "a dry run sends nothing");

    let (code, _, stderr) = import(&gateway, &[], folder.path()).await;
    assert_eq!(code, Some(2), "nobody was asked: {stderr}");

    let events: i64 = report["events"]
        .as_object()
        .expect("counts")
        .values()
        .filter_map(Value::as_i64)
        .sum();
    let (code, _, stderr) = import(&gateway, &["--yes"], folder.path()).await;
    assert_eq!(code, Some(0), "{stderr}");
    cluster.wait_for_rows(&session, events).await;
    let once = cluster.rows(&session).await;

    let answer = line(
        3,
        json!({"type": "user", "message": {"role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.rs"}]}}),
    );
    fs::write(&file, begun + &answer).expect("written");
    assert_eq!(import(&gateway, &["--yes"], folder.path()).await.0, Some(0));
    // The result, what was printed, the exit.
    cluster.wait_for_rows(&session, events + 3).await;
    assert_eq!(cluster.rows(&session).await[..once.len()], once);
    assert_eq!(import(&gateway, &["--yes"], folder.path()).await.0, Some(0));
    let page = gateway
        .client
        .get(gateway.url(&format!("/v1/sessions/{session}/events")))
        .send()
        .await
        .expect("an answer");
    let page = page.text().await.expect("text");
    assert!(!page.contains(&secret[4..]) && page.contains("[masked:github-token]"));
    assert_eq!(cluster.rows(&session).await.len() as i64, events + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_followed_as_they_grow_and_new_ones_are_found() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.jsonl");
    // The second line is still being written.
    let second = asks(2, "two");
    fs::write(&file, asks(1, "one") + &second[..40]).expect("written");
    let mut following = command(&gateway, &["--yes", "--follow"], folder.path())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let session = format!("claude-{SESSION}");
    // The start, the message, the task.
    cluster.wait_for_rows(&session, 3).await;
    fs::write(&file, asks(1, "one") + &second).expect("written");
    cluster.wait_for_rows(&session, 4).await;
    fs::write(
        folder.path().join("b.cast"),
        "{\"version\":2,\"width\":80,\"height\":24}\n[0.1,\"o\",\"hi\"]\n",
    )
    .expect("written");
    wait_until("the new file is there", async || {
        let sessions = gateway
            .client
            .get(gateway.url("/v1/sessions"))
            .send()
            .await
            .expect("an answer");
        sessions.text().await.expect("text").contains("asciicast-")
    })
    .await;
    assert_eq!(cluster.rows(&session).await.len(), 4);
    following.kill().await.expect("it runs");
}
