//! asciinema's own command line against a real Kulti, as it comes from its registries (`dev/asciinema` installs it), and
//! its own player on what came of it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kulti_gateway::control::{self, NewKey, Scope};
use kulti_test_support::{Proxy, wait_until, wait_until_some};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::alis::{browser_with_player, shown};
use crate::browser::Browser;
use crate::cluster::{Cluster, Gateway, ReplayConsumer};
use crate::run::{events_at, printed};

const RECORDING: &str = "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1772000000,\"title\":\"A demo\"}\n\
    [0.1,\"o\",\"one\\r\\n\"]\n[0.2,\"o\",\"two\"]\n";

/// What `dev/asciinema` installed.
fn tool(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../.stack/asciinema")
        .join(path);
    assert!(
        path.exists(),
        "{} is not there: run dev/asciinema first, as `make test` does",
        path.display()
    );
    path
}

/// A Kulti, and a person's home.
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

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The command line as a person has it, with the server at this address.
    fn command(&self, program: &str, server: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool(program));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("USER", "ada")
            .env("SHELL", "/bin/sh")
            .env("LC_ALL", "C.UTF-8")
            // Version 2 knows the server by this one.
            .env("ASCIINEMA_API_URL", server)
            .env("ASCIINEMA_SERVER_URL", server)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// What it prints; it must end well.
    async fn says(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.command(program, &self.gateway.url(""), arguments);
        let output = command.output().await.expect("it runs");
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{arguments:?}: {stdout}\n{stderr}");
        // Version 2 tells people something, so on standard error.
        [stdout, stderr].concat()
    }

    /// Streams `script`, which goes on whenever a line is written to the pipe `go`.
    async fn stream(&self, server: &str, arguments: &[&str], script: &str) -> Child {
        let made = Command::new("mkfifo").arg(self.path("go")).status().await;
        assert!(made.expect("mkfifo").success());
        let script = format!("exec 3<>go; {script}");
        let mut all = arguments.to_vec();
        all.extend(["--headless", "--window-size", "100x30", "--return", "-c", &script]);
        let mut command = self.command("bin/asciinema", server, &all);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("it runs")
    }

    fn go_on(&self) {
        // Read and write, so that it does not wait for who reads.
        let pipe = OpenOptions::new().read(true).write(true).open(self.path("go"));
        pipe.expect("the pipe").write_all(b"\n").expect("written");
    }

    /// The only session.
    async fn session(&self) -> String {
        wait_until_some("the session is there", async || {
            let sessions = self.json("/v1/sessions").await;
            sessions["items"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.gateway.client.get(self.gateway.url(path)).send().await;
        answer.expect("an answer").text().await.expect("text")
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).expect("JSON")
    }

    /// All events, once one of them is of this kind.
    async fn events_with(&self, session: &str, kind: &str) -> Vec<Value> {
        wait_until_some(&format!("{session} has {kind}"), async || {
            let events = events_at(&self.gateway.url(""), session).await;
            events.iter().any(|event| event["kind"] == kind).then_some(events)
        })
        .await
    }

    /// Waits until so many terminals are being streamed.
    async fn wait_for_producers(&self, count: usize) {
        let line = format!("\nkulti_gateway_terminal_producers {count}\n");
        wait_until(&line, async || self.text("/metrics").await.contains(&line)).await;
    }

    async fn wait_for_output(&self, session: &str, part: &str) {
        wait_until(&format!("{session} shows {part:?}"), async || {
            let events = events_at(&self.gateway.url(""), session).await;
            String::from_utf8_lossy(&printed(&events)).contains(part)
        })
        .await;
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    kinds.dedup();
    kinds
}

fn output(events: &[Value]) -> String {
    String::from_utf8(printed(events)).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_asciinema_streams_and_uploads() {
    let stage = Stage::set().await;
    std::fs::write(stage.path("demo.cast"), RECORDING).expect("written");
    for (program, file) in [
        ("bin/asciinema", "demo.cast"),
        ("python/bin/asciinema", "demo.cast"),
    ] {
        let said = stage.says(program, &["upload", file]).await;
        let page = said.trim();
        let session = page
            .strip_prefix(&stage.gateway.url("/s/"))
            .expect("the page, and nothing else");
        let events = stage.events_with(session, "session.ended").await;
        assert_eq!(output(&events), "one\r\ntwo");
        let about = stage.json(&format!("/v1/sessions/{session}")).await;
        assert_eq!(
            (&about["title"], &about["visibility"]),
            (&json!("A demo"), &json!("private"))
        );
        assert_eq!(
            stage.says(program, &["upload", file]).await,
            said,
            "the same once more"
        );
        assert_eq!(events_at(&stage.gateway.url(""), session).await, events);
    }

    let live = Stage::set().await;
    let script = "printf 'first\\n'; read -r line <&3; printf '\\033[5;5Hsecond'; \
        read -r line <&3; exit 3";
    let server = live.gateway.url("");
    let arguments = ["stream", "-r", "--title", "Live", "--visibility", "unlisted"];
    let mut streaming = live.stream(&server, &arguments, script).await;
    let session = live.session().await;
    live.wait_for_output(&session, "first").await;
    let about = live.json(&format!("/v1/sessions/{session}")).await;
    assert_eq!(
        (&about["title"], &about["visibility"], &about["status"]),
        (&json!("Live"), &json!("unlisted"), &json!("live"))
    );

    let browser = browser_with_player(&live.gateway).await;
    let socket = live.gateway.url(&format!("/v1/sessions/{session}/alis"));
    let socket = socket.replace("http://", "ws://");
    let create = format!(
        "AsciinemaPlayer.create({{driver: 'websocket', url: {socket:?}}}, document.body, {{autoPlay: true}}) && true"
    );
    browser.value(&create).await;
    wait_until("the player shows what there is", async || {
        shown(&browser).await.contains("first")
    })
    .await;
    live.go_on();
    wait_until("the player shows what comes", async || {
        shown(&browser).await.contains("second")
    })
    .await;
    live.go_on();

    assert_eq!(streaming.wait().await.expect("it ends").code(), Some(3));
    let events = live.events_with(&session, "session.ended").await;
    assert_eq!(
        kinds(&events),
        [
            "session.started",
            "terminal.resized",
            "terminal.output",
            "terminal.exited",
            "session.ended"
        ]
    );
    assert_eq!(output(&events), "first\r\n\u{1b}[5;5Hsecond");
    let data = |kind: &str| &events.iter().find(|event| event["kind"] == kind).expect("one")["data"];
    assert_eq!(data("terminal.resized"), &json!({"cols": 100, "rows": 30}));
    assert_eq!(data("terminal.exited"), &json!({"code": 3}));
    assert_eq!(data("session.ended"), &json!({"reason": "failed"}));
    live.cluster.wait_for_rows(&session, events.len() as i64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_asciinema_goes_on_after_its_connection_was_lost() {
    let stage = Stage::set().await;
    let proxy = Proxy::to(&stage.gateway.address.to_string()).await;
    let server = format!("http://{}", proxy.address());
    let script = "printf one; read -r line <&3; printf two; read -r line <&3; printf three; touch printed; \
        read -r line <&3; printf four";
    let mut streaming = stage
        .stream(&server, &["session", "-r", "-o", "copy.cast"], script)
        .await;
    let session = stage.session().await;
    stage.wait_for_output(&session, "one").await;
    // Nothing happens while it is away.
    proxy.cut();
    stage.wait_for_producers(0).await;
    proxy.resume();
    stage.wait_for_producers(1).await;
    stage.go_on();
    stage.wait_for_output(&session, "two").await;
    // Something does.
    proxy.cut();
    stage.wait_for_producers(0).await;
    stage.go_on();
    wait_until("it has printed", async || stage.path("printed").exists()).await;
    proxy.resume();
    stage.wait_for_output(&session, "three").await;
    stage.go_on();
    assert!(streaming.wait().await.expect("it ends").success());
    let events = stage.events_with(&session, "session.ended").await;
    let text = output(&events);
    let (before, after) = text.split_once("\u{1b}c").expect("the terminal is drawn anew");
    assert_eq!(before, "onetwo", "and only where something is missing");
    assert!(
        after.contains("onetwothree") && after.ends_with("four"),
        "{text:?}"
    );
    let errors: Vec<&Value> = events.iter().filter(|event| event["kind"] == "error").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["data"]["code"], "stream_interrupted");
    let path = format!("/v1/sessions/{session}/screen?format=text");
    wait_until("the screen is as it was", async || {
        stage.text(&path).await.starts_with("onetwothreefour")
    })
    .await;
    assert_eq!(
        kinds(&events)
            .iter()
            .filter(|kind| **kind == "session.ended")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_asciinema_is_connected_with_a_key_by_the_page_that_auth_prints() {
    let stage = Stage::set().await;
    std::fs::write(stage.path("demo.cast"), RECORDING).expect("written");
    let new = NewKey {
        name: "laptop".to_owned(),
        scopes: vec![Scope::Produce],
        agent: None,
    };
    let key = control::create_key(&stage.cluster.database.pool, &new)
        .await
        .expect("a key");
    let upload =
        |stage: &Stage| stage.command("bin/asciinema", &stage.gateway.url(""), &["upload", "demo.cast"]);
    wait_until("the gateway knows of the key", async || {
        !upload(&stage).output().await.expect("it runs").status.success()
    })
    .await;
    let mut stream = stage.command(
        "bin/asciinema",
        &stage.gateway.url(""),
        &["stream", "-r", "--headless", "-c", "true"],
    );
    let refused = stream.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("asciinema auth"),
        "{said}"
    );

    let said = stage.says("bin/asciinema", &["auth"]).await;
    let page = said
        .lines()
        .find(|line| line.contains("/connect/"))
        .expect("an address");
    let install_id = page.rsplit('/').next().expect("an id");
    assert!(Uuid::try_parse(install_id).is_ok(), "{page}");
    let browser = Browser::open(800, 600).await;
    browser.goto(page).await;
    let field = browser
        .client
        .find(fantoccini::Locator::Id("key"))
        .await
        .expect("a field");
    for (typed, id, answer) in [
        ("kulti_000000000000_0", "trouble", "the key is not known"),
        (&key.secret, "done", "Connected"),
    ] {
        field.clear().await.expect("cleared");
        field.send_keys(typed).await.expect("typed");
        field.send_keys("\u{e007}").await.expect("sent");
        browser.wait_for_text(id, answer).await;
    }
    assert_eq!(browser.text("trouble").await, "");

    let said = stage
        .says(
            "bin/asciinema",
            &["upload", "--visibility", "public", "demo.cast"],
        )
        .await;
    let session = said.trim().rsplit('/').next().expect("a session");
    let owner: String = sqlx::query_scalar("select key_id from control.session_owners where session_id = $1")
        .bind(session)
        .fetch_one(&stage.cluster.database.pool)
        .await
        .expect("an owner");
    assert_eq!(owner, key.record.id);
}
