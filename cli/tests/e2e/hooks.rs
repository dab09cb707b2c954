//! Claude Code's http hooks against a real gateway: as `kulti hooks install` sets them up.

use std::process::{Command, Stdio};

use kulti_test_support::wait_until_some;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::run::events_at;

const FIXTURE: &str = include_str!("../../../adapters/tests/fixtures/claude-hooks.jsonl");

fn kulti(home: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_kulti"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .args(arguments)
        .output()
        .expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_that_are_installed_tell_a_session_once_and_two_gateways_hear_it_as_one() {
    let cluster = Cluster::create(2).await;
    let (one, other) = (cluster.gateway().await, cluster.gateway().await);
    one.ready().await;
    other.ready().await;
    let _replay = cluster.replay();
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join(".claude/settings.json");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, "{\n  \"model\": \"opus\"\n}\n").expect("written");

    let server = one.url("");
    let asked = kulti(home.path(), &["hooks", "install", "--url", &server]);
    assert_eq!(asked.status.code(), Some(2), "nobody can be asked");
    assert!(
        String::from_utf8_lossy(&asked.stdout).contains("+    \"PreToolUse\": ["),
        "the diff is shown"
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("settings"),
        "{\n  \"model\": \"opus\"\n}\n"
    );
    let installed = kulti(home.path(), &["hooks", "install", "--yes", "--url", &server]);
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    let settings: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).expect("settings")).expect("JSON");

    // Some calls are heard by another gateway, and all of one are posted again.
    let client = reqwest::Client::new();
    for (index, line) in FIXTURE.lines().enumerate() {
        let input: Value = serde_json::from_str(line).expect("JSON");
        let groups = &settings["hooks"][input["hook_event_name"].as_str().expect("a name")];
        let Some(hook) = groups[0]["hooks"][0].as_object() else {
            continue;
        };
        assert_eq!((&hook["type"], &hook["timeout"]), (&json!("http"), &json!(2)));
        let url = hook["url"].as_str().expect("a URL");
        let url = if index % 3 == 2 {
            url.replace(&server, &other.url(""))
        } else {
            url.to_owned()
        };
        let times = if input["tool_use_id"] == "toolu_1" { 2 } else { 1 };
        for _ in 0..times {
            let answer = client.post(&url).json(&input).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.text().await.expect("text"), "{}");
        }
    }
    let session = "claude-hooks-7a1e0c52-0000-4000-8000-0000000000aa";
    let events = wait_until_some("the session has ended", async || {
        let events = events_at(&server, session).await;
        let last = events
            .last()
            .is_some_and(|event| event["kind"] == "session.ended");
        last.then_some(events)
    })
    .await;
    let positions: Vec<i64> = events
        .iter()
        .filter_map(|event| event["position"].as_i64())
        .collect();
    assert!(positions.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    let calls = |kind: &str| -> Vec<&Value> {
        let of_kind = events.iter().filter(|event| event["kind"] == kind);
        of_kind.map(|event| &event["data"]["call"]).collect()
    };
    assert_eq!(calls("session.started").len(), 1);
    assert_eq!(calls("tool.started"), ["toolu_1", "toolu_2", "toolu_3"]);
    assert_eq!(calls("tool.finished"), ["toolu_1", "toolu_2", "toolu_3"]);
    assert_eq!(calls("code.changed"), ["toolu_2"]);
    assert!(events.iter().all(|event| event["agent"] == "shop"));

    let removed = kulti(home.path(), &["hooks", "uninstall", "--yes"]);
    assert!(removed.status.success());
    assert_eq!(
        std::fs::read_to_string(&file).expect("settings"),
        "{\n  \"model\": \"opus\"\n}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hook_is_refused_by_its_field_and_an_answer_at_the_terminal_is_the_producers() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    gateway.ready().await;
    let client = reqwest::Client::new();
    let post = async |path: &str, body: Value| {
        let answer = client
            .post(gateway.url(path))
            .json(&body)
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON"))
    };
    let hook = "/v1/hooks/claude-code";
    let (status, problem) = post(hook, json!({"session_id": "s"})).await;
    assert_eq!(
        (status, &problem["field"]),
        (422, &json!("hook_event_name")),
        "{problem}"
    );
    let (status, problem) = post(hook, json!({"hook_event_name": "Stop"})).await;
    assert_eq!((status, &problem["field"]), (422, &json!("session_id")));

    let answer = |by: &str| {
        json!({"session": "s", "agent": "a", "kind": "approval.resolved",
            "data": {"approval": "x", "decision": "allow", "by": by}})
    };
    let (status, problem) = post("/v1/events", answer("alice")).await;
    assert_eq!((status, &problem["code"]), (422, &json!("kind_not_allowed")));
    assert_eq!(post("/v1/events", answer("terminal")).await.0, 200);

    let tolerant =
        json!({"hook_event_name": "BrandNew", "session_id": "odd/../id", "cwd": 7, "tool_input": null});
    assert_eq!(post(hook, tolerant).await.0, 200);
}
