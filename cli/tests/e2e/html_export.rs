//! The HTML export in a real Chromium, from a file and without a network: what it shows is what the native fold shows.

use std::path::{Path, PathBuf};

use kulti_session::{FoldEvent, Workspace};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::browser::Browser;
use crate::cluster::{Cluster, Gateway, ReplayConsumer};

struct Stage {
    gateway: Gateway,
    _replay: ReplayConsumer,
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::create(2).await;
        let gateway = cluster.gateway().await;
        let replay = cluster.replay();
        gateway.ready().await;
        Stage {
            gateway,
            _replay: replay,
            cluster,
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A session of these events, once it can be read.
    async fn session(&self, events: Vec<(String, Value)>) -> String {
        let session = Uuid::now_v7().to_string();
        let events: Vec<Value> = events
            .into_iter()
            .map(|(kind, data)| {
                json!({"id": Uuid::now_v7(), "session": session, "agent": "wren", "kind": kind, "data": data})
            })
            .collect();
        for some in events.chunks(200) {
            self.gateway.send(some).await;
        }
        self.cluster.wait_for_rows(&session, events.len() as i64).await;
        session
    }

    async fn export(&self, session: &str, format: &str, more: &[&str]) -> PathBuf {
        let file = self.home.path().join(format!("{}.{format}", Uuid::now_v7()));
        let output = Command::new(env!("CARGO_BIN_EXE_kulti"))
            .args(["export", session, "--format", format, "-o"])
            .arg(&file)
            .args(more)
            .env_clear()
            .env("HOME", self.home.path())
            .env("KULTI_URL", self.gateway.url(""))
            .output()
            .await
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        file
    }
}

/// What the example session's agent did.
fn example(name: &str) -> Vec<(String, Value)> {
    let file = format!(
        "{}/../examples/sessions/{name}.ndjson",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(file).expect("an example");
    let events = text.lines().map(|line| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let kind = event["kind"].as_str().expect("a kind").to_owned();
        (kind, event["data"].clone())
    });
    // What viewers or the server said is not the agent's to send.
    events
        .filter(|(kind, _)| !["chat", "clip", "reaction"].contains(&kind.as_str()))
        .collect()
}

fn random_session(random: &mut SmallRng) -> Vec<(String, Value)> {
    let mut text = String::from("line\n");
    let mut events = Vec::new();
    for number in 0..700 {
        let size = || json!({"cols": 20 + number % 90, "rows": 5 + number % 30});
        let (kind, data) = match random.random_range(0..12) {
            0 => (
                "thought",
                json!({"content": format!("thought {number} \u{1F30C} </script>")}),
            ),
            1 => ("terminal.resized", size()),
            2 => (
                "tool.started",
                json!({"call": format!("c{number}"), "name": "bash", "input": {"n": number}}),
            ),
            3 => (
                "message.delta",
                json!({"message": format!("m{}", number / 40), "index": number, "text": "wörd "}),
            ),
            4 => ("status.changed", json!({"status": "working"})),
            5 => ("error", json!({"message": "<b>no</b>"})),
            6 => ("marker", json!({"label": format!("here {number}")})),
            7 => {
                let before = text.clone();
                text.push_str(&format!("line {number}\n"));
                let patch = diffy::create_patch(&before, &text).to_string();
                if events.iter().any(|(kind, _)| kind == "code.changed") {
                    (
                        "code.changed",
                        json!({"path": "a.txt", "action": "edit", "patch": patch}),
                    )
                } else {
                    (
                        "code.changed",
                        json!({"path": "a.txt", "action": "create", "content": text}),
                    )
                }
            }
            _ => {
                let colour = 30 + random.random_range(0..8);
                let text = format!(
                    "\u{1b}[{colour}m漢 {number}\u{1b}[{};3H\u{1b}[K\r\n",
                    random.random_range(1..30)
                );
                ("terminal.output", json!({"text": text, "stream": "pty"}))
            }
        };
        events.push((kind.to_owned(), data));
    }
    events
}

/// The keyframes of the native fold after each event.
fn folded(ndjson: &str) -> Vec<String> {
    let mut workspace = Workspace::new();
    let mut keyframes = vec![workspace.keyframe().to_json()];
    for line in ndjson.lines() {
        workspace.apply(&FoldEvent::parse(line).expect("an event"));
        keyframes.push(workspace.keyframe().to_json());
    }
    keyframes
}

async fn open(browser: &Browser, file: &Path) {
    browser.goto(&format!("file://{}", file.display())).await;
    browser
        .wait_for("document.body.dataset.state === 'indexed'")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_page_folds_as_the_server_does_byte_for_byte_without_a_network() {
    let stage = Stage::set().await;
    let seed = rand::random();
    let mut random = SmallRng::seed_from_u64(seed);
    let browser = Browser::open_offline(1280, 800).await;
    for events in [
        example("wordcount"),
        example("mandelbrot"),
        random_session(&mut random),
    ] {
        let session = stage.session(events).await;
        let ndjson = stage.export(&session, "ndjson", &[]).await;
        let native = folded(&std::fs::read_to_string(ndjson).expect("the events"));
        let page = stage.export(&session, "html", &[]).await;
        open(&browser, &page).await;
        let last = native.len() - 1;
        let places = (0..40)
            .map(|_| random.random_range(0..=last))
            .chain([last, 0, last]);
        for place in places {
            let expression = format!("(kulti.player.goTo({place}), kulti.player.at.fold.keyframe())");
            let shown = browser.value(&expression).await;
            assert!(
                shown == native[place],
                "after {place} events, seed {seed}: {shown}\n{}",
                native[place]
            );
        }
        let loaded = browser
            .value("performance.getEntriesByType('resource').length")
            .await;
        assert_eq!(loaded, 0, "nothing is loaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_page_plays_with_keys_and_mouse_on_a_phone_too() {
    let stage = Stage::set().await;
    let output = |number: usize| {
        let text = format!("\u{1b}[31mstar {number};\u{1b}[0m\r\n");
        (
            "terminal.output".to_owned(),
            json!({"text": text, "stream": "pty"}),
        )
    };
    let mut events = vec![(
        "session.started".to_owned(),
        json!({"title": "Count </script><b>stars", "agent_name": "Galileo"}),
    )];
    events.extend((1..=49).map(output));
    events.push(("thought".to_owned(), json!({"content": "So <b>many</b>"})));
    events.push((
        "code.changed".to_owned(),
        json!({"path": "sky.txt", "action": "create", "content": "a star\n"}),
    ));
    events.push((
        "code.changed".to_owned(),
        json!({"path": "sky.txt", "action": "edit", "patch": "@@ -1 +1,2 @@\n a star\n+another\n"}),
    ));
    events.extend((50..=96).map(output));
    let session = stage.session(events).await;
    let page = stage.export(&session, "html", &[]).await;

    let browser = Browser::open_offline(1280, 800).await;
    open(&browser, &page).await;
    browser.wait_for_text("title", "Count </script><b>stars").await;
    browser.wait_for_text("place", "event 0 of 100").await;
    browser.press("5").await;
    browser.wait_for_text("place", "event 50 of 100").await;
    assert!(browser.text("screen").await.contains("star 49;"));
    assert!(!browser.text("screen").await.contains("star 50;"));
    let colour = "getComputedStyle(document.querySelector('#screen span')).color";
    assert_eq!(browser.value(colour).await, "rgb(242, 119, 122)");
    browser.press(".").await;
    browser.wait_for_text("said", "So <b>many</b>").await;
    browser.press("..").await;
    browser.wait_for_text("file", "another").await;
    browser.press(",").await;
    browser
        .wait_for("!document.getElementById('file').textContent.includes('another')")
        .await;
    browser.press("0").await;
    browser.click("toggle").await;
    browser.wait_for_text("place", "event 100 of 100").await;
    browser
        .wait_for("document.getElementById('toggle').getAttribute('aria-label') === 'Play'")
        .await;
    let unnamed = "[...document.querySelectorAll('button, input, select, [tabindex]')].filter((node) => \
        !(node.getAttribute('aria-label') || node.textContent.trim() || node.closest('label'))).length";
    assert_eq!(browser.value(unnamed).await, 0, "everything has a name");

    let part = stage.export(&session, "html", &["--from", "60"]).await;
    open(&browser, &part).await;
    browser.wait_for_text("screen", "star 55;").await;
    browser.wait_for_text("place", "event 0 of 41").await;

    let phone = Browser::open_offline(400, 800).await;
    open(&phone, &page).await;
    phone.press("9").await;
    phone.wait_for_text("screen", "star 8").await;
    phone
        .wait_for("document.documentElement.scrollWidth <= innerWidth")
        .await;
    assert_eq!(phone.text("said").await, "", "one pane at a time");
    phone
        .value("document.querySelector('[data-tab=activity]').click()")
        .await;
    phone.wait_for_text("said", "So <b>many</b>").await;
}
