//! `kulti run` against real servers: what the command and its caller see, what the session holds.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kulti_test_support::{Proxy, wait_until, wait_until_some};
use serde_json::Value;

use crate::cluster::{Cluster, Gateway, ReplayConsumer};

/// Servers, and a person's home.
pub struct Stage {
    pub gateway: Gateway,
    _replay: ReplayConsumer,
    cluster: Cluster,
    pub home: tempfile::TempDir,
}

impl Stage {
    pub async fn set() -> Self {
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

    pub fn run(&self, arguments: &[&str], url: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kulti"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KULTI_URL", url)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .args(["run", "--agent", "galileo"])
            .args(arguments);
        command
    }

    /// The one session of the home's only run.
    pub fn session(&self) -> String {
        let runs = self.home.path().join(".local/state/kulti/runs");
        let mut sessions = std::fs::read_dir(runs)
            .expect("runs")
            .map(|entry| entry.expect("a folder").file_name());
        let session = sessions.next().expect("a run").into_string().expect("text");
        assert!(sessions.next().is_none(), "one run");
        session
    }

    /// All events of a session that has ended, once it has.
    pub async fn events(&self, session: &str) -> Vec<Value> {
        wait_until_some("the session has ended", async || {
            let events = self.events_now(session).await;
            let ended = events
                .last()
                .is_some_and(|event| event["kind"] == "session.ended");
            ended.then_some(events)
        })
        .await
    }

    async fn events_now(&self, session: &str) -> Vec<Value> {
        events_at(&self.gateway.url(""), session).await
    }
}

/// All events of a session that the server has by now.
pub async fn events_at(server: &str, session: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let after = events
            .last()
            .map_or(0, |event: &Value| event["position"].as_i64().expect("a position"));
        let url = format!("{server}/v1/sessions/{session}/events?limit=1000&after={after}");
        let answer = reqwest::get(url).await.expect("an answer");
        let page: Value = answer.json().await.expect("JSON");
        let items = page["items"].as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            return events;
        }
        events.extend(items);
    }
}

/// The bytes that the session's outputs hold.
pub fn printed(events: &[Value]) -> Vec<u8> {
    let outputs = events.iter().filter(|event| event["kind"] == "terminal.output");
    outputs
        .flat_map(|event| match event["data"]["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD
                .decode(event["data"]["base64"].as_str().expect("base64"))
                .expect("base64"),
        })
        .collect()
}

/// Each event once, in order: nothing that the producer counted is missing or doubled.
pub fn assert_whole(events: &[Value]) {
    let mut places: Vec<(i64, i64)> = Vec::new();
    for event in events {
        places.push((
            event["generation"].as_i64().expect("a generation"),
            event["seq"].as_i64().expect("a number"),
        ));
    }
    let mut expected = Vec::new();
    for (generation, seq) in &places {
        let before = expected.last().filter(|(earlier, _)| earlier == generation);
        expected.push((*generation, before.map_or(1, |(_, seq)| seq + 1)));
        assert!(*seq > 0);
    }
    assert_eq!(places, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_input_output_and_exit_code_are_as_without() {
    let stage = Stage::set().await;
    let url = stage.gateway.url("");
    let script = r#"cat; printf 'a\nb\r\nc'; test -t 1 && echo; exit 3"#;
    let mut run = stage.run(&["--", "sh", "-c", script], &url);
    let mut run = run
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let given = b"\x03binary\x04\x00 \xff\n".repeat(1_000);
    run.stdin
        .take()
        .expect("its input")
        .write_all(&given)
        .expect("it reads");
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3));
    let expected = [given.as_slice(), b"a\nb\r\nc\n"].concat();
    assert_eq!(output.stdout, expected);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(
        said.starts_with("kulti: ") && said.contains("· exit 3 ·"),
        "{said}"
    );
    let events = stage.events(&stage.session()).await;
    assert_whole(&events);
    assert!(
        printed(&events).ends_with(b"a\r\nb\r\r\nc\r\n"),
        "as a terminal has it"
    );

    let runs = stage.home.path().join(".local/state/kulti/runs");
    let missing = stage
        .run(&["--", "no-such-command"], &url)
        .output()
        .expect("it ends");
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such-command"));
    assert_eq!(
        std::fs::read_dir(runs).expect("runs").count(),
        1,
        "what did not run left nothing"
    );
    let killed = stage
        .run(&["--", "sh", "-c", "kill -9 $$"], &url)
        .output()
        .expect("it ends");
    assert_eq!(killed.status.code(), Some(137));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_the_command_as_without() {
    let stage = Stage::set().await;
    let mut run = stage.run(&["--", "yes"], &stage.gateway.url(""));
    let mut run = run
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut first = [0; 10];
    let mut stdout = run.stdout.take().expect("its output");
    stdout.read_exact(&mut first).expect("output");
    drop(stdout);
    assert_eq!(run.wait().expect("it ends").code(), Some(128 + 13));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_the_command_goes_on_and_all_arrives_later_once() {
    let stage = Stage::set().await;
    let proxy = Proxy::to(&stage.gateway.address.to_string()).await;
    let url = format!("http://{}", proxy.address());
    proxy.cut();
    let output = stage
        .run(&["--", "seq", "20000"], &url)
        .output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("wait on disk"));
    let session = stage.session();
    assert!(stage.events_now(&session).await.is_empty());
    let status = stage
        .run(&["--status", "--json"], &url)
        .output()
        .expect("a status");
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert!(status["unsent"].as_u64().expect("a number") > 3, "{status}");
    // The process in the background has been trying all along.
    proxy.resume();
    let events = stage.events(&session).await;
    assert_whole(&events);
    let expected: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
    assert_eq!(String::from_utf8(printed(&events)).expect("text"), expected);
    assert_eq!(events.last().expect("one")["data"]["reason"], "completed");
    wait_until("the run is finished", async || {
        let status = stage
            .run(&["--status", "--json"], &url)
            .output()
            .expect("a status");
        serde_json::from_slice::<Value>(&status.stdout).expect("JSON")["state"] == "finished"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runner_loses_nothing_that_it_recorded_and_its_session_is_ended() {
    let stage = Stage::set().await;
    let url = stage.gateway.url("");
    let script = "i=0; while true; do i=$((i+1)); echo line $i; done";
    let mut run = stage.run(&["--", "sh", "-c", script], &url);
    let mut run = run
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let runs = stage.home.path().join(".local/state/kulti/runs");
    wait_until("something is recorded", async || spooled(&runs) > 100_000).await;
    run.kill().expect("SIGKILL");
    run.wait().expect("gone");
    let drained = stage.run(&["--drain"], &url).output().expect("drained");
    assert!(
        drained.status.success(),
        "{}",
        String::from_utf8_lossy(&drained.stderr)
    );
    let session = stage.session();
    let events = stage.events(&session).await;
    assert_whole(&events);
    let last = events.last().expect("one");
    assert_eq!(
        (&last["data"]["reason"], &last["generation"]),
        (&"runner_lost".into(), &2.into())
    );
    let text = String::from_utf8(printed(&events)).expect("text");
    for (index, line) in text
        .split_inclusive("\r\n")
        .filter(|line| line.ends_with('\n'))
        .enumerate()
    {
        assert_eq!(line, format!("line {}\r\n", index + 1));
    }
    let again = stage.run(&["--drain"], &url).output().expect("drained");
    assert!(String::from_utf8_lossy(&again.stdout).contains("0 events"));
    stage.cluster.wait_for_rows(&session, events.len() as i64).await;
}

/// Bytes of all files below the runs' folder.
pub fn spooled(runs: &Path) -> u64 {
    let Ok(folders) = std::fs::read_dir(runs) else {
        return 0;
    };
    let files = folders
        .flatten()
        .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    files
        .flatten()
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_background_it_answers_at_once_and_goes_on() {
    let stage = Stage::set().await;
    let url = stage.gateway.url("");
    let started = stage.run(
        &[
            "--background",
            "--json",
            "--",
            "sh",
            "-c",
            "tty; read line; echo $line",
        ],
        &url,
    );
    let started = { started }.output().expect("it answers");
    let about: Value = serde_json::from_slice(&started.stdout).expect("JSON");
    let session = about["session"].as_str().expect("a session").to_owned();
    assert_eq!(about["url"], stage.gateway.url(&format!("/s/{session}")));
    wait_until("it is live", async || {
        !stage.events_now(&session).await.is_empty()
    })
    .await;
    let pid = about["pid"].as_i64().expect("a process").to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    assert!(told.success());
    let events = stage.events(&session).await;
    assert_whole(&events);
    assert!(String::from_utf8_lossy(&printed(&events)).starts_with("/dev/pts/"));
    assert_eq!(events.last().expect("one")["data"]["reason"], "cancelled");

    let failed = stage
        .run(&["--background", "--", "no-such-command"], &url)
        .output()
        .expect("it answers");
    assert_eq!(failed.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("no-such-command"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_is_ended_and_so_is_its_session() {
    let stage = Stage::set().await;
    let run = stage.run(
        &["--silence-limit", "1", "--", "sleep", "1000"],
        &stage.gateway.url(""),
    );
    let ended = { run }.output().expect("it ends");
    assert_eq!(ended.status.code(), Some(143));
    let events = stage.events(&stage.session()).await;
    assert_eq!(events.last().expect("one")["data"]["reason"], "timeout");
    assert!(events.iter().any(|event| event["data"]["code"] == "command_hung"));
}
