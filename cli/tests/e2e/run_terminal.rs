//! `kulti run` on a real pseudo-terminal: what the terminal shows, and what the session holds.

use kulti_test_support::wait_until;
use portable_pty::CommandBuilder;
use serde_json::Value;

use crate::run::{Stage, assert_whole, printed};
use crate::terminal::Terminal;

/// `kulti run` on a terminal.
fn run_on_a_terminal(stage: &Stage, arguments: &[&str]) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kulti"));
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", stage.home.path());
    command.env("KULTI_URL", stage.gateway.url(""));
    command.env("TERM", "xterm-256color");
    command.cwd(stage.home.path());
    command.args(["run", "--agent", "galileo", "--no-qr"]);
    command.args(arguments);
    Terminal::open(command, 100, 30)
}

/// The lines of the session's screen.
async fn screen(stage: &Stage, session: &str) -> Vec<String> {
    let url = stage.gateway.url(&format!("/v1/sessions/{session}/screen"));
    let screen: Value = stage
        .gateway
        .client
        .get(url)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let line = |line: &Value| -> String {
        let runs = line.as_array().expect("runs").iter();
        let text: String = runs.map(|run| run["text"].as_str().expect("text")).collect();
        text.trim_end().to_owned()
    };
    screen["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(line)
        .collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["kind"].as_str().expect("a kind"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_on_a_terminal_behaves_as_without_and_is_recorded() {
    let stage = Stage::set().await;
    let mut terminal = run_on_a_terminal(
        &stage,
        &["--task", "look around", "--", "bash", "--norc", "--noprofile"],
    );
    terminal.is_sent("recording, private: http").await;
    // Its prompt: from here on keys are the command's.
    terminal.is_sent("bash-").await;
    terminal.press("PS1='> '; test -t 0 && test -t 1 && test -t 2 && tty && stty size\r");
    terminal.is_sent("30 100").await;
    terminal.resize(90, 20);
    terminal.press("stty size\r");
    terminal.is_sent("20 90").await;
    // Ctrl-C is the command's.
    terminal.press("sh -c 'echo sleeping; exec sleep 1000'\r");
    terminal.is_sent("\rsleeping\r").await;
    terminal.press("\u{3}");
    terminal.press("echo code $?\r");
    terminal.is_sent("code 130\r").await;
    // A job that is stopped and gone on with.
    terminal.press("sh -c 'echo reading; exec cat'\r");
    terminal.is_sent("\rreading\r").await;
    terminal.press("\u{1a}");
    terminal.is_sent("Stopped").await;
    terminal.press("fg\r");
    wait_until("the job is in the foreground again", async || {
        let text = terminal.sent_text();
        let after = text.rsplit_once("fg\r\n");
        after.is_some_and(|(_, after)| after.contains("exec cat'"))
    })
    .await;
    terminal.press("he\u{7f}ello\r");
    terminal.is_sent("\nhello\r").await;
    terminal.press("\u{4}");
    terminal
        .press("echo $KULTI_SESSION; printf '\\033[2J\\033[5;7Hat a place\\033[1;31m red\\033[0m'; exit 7\r");
    assert_eq!(terminal.ended().await, 7);
    terminal.is_sent("exit 7 ·").await;

    let session = stage.session();
    assert!(
        terminal.sent_text().contains(&format!("{session}\r\n")),
        "the command knows its session"
    );
    let events = stage.events(&session).await;
    assert_whole(&events);
    let kinds = kinds(&events);
    assert_eq!(
        kinds[..4],
        [
            "session.started",
            "terminal.resized",
            "terminal.output",
            "status.changed",
        ]
    );
    assert_eq!(kinds[kinds.len() - 2..], ["terminal.exited", "session.ended"]);
    assert_eq!(events[0]["data"]["visibility"], "private");
    assert_eq!(events[0]["data"]["task"], "look around");
    assert_eq!(events.last().expect("one")["data"]["reason"], "failed");
    let resized = events
        .iter()
        .rfind(|event| event["kind"] == "terminal.resized")
        .expect("resized");
    assert_eq!(
        (&resized["data"]["cols"], &resized["data"]["rows"]),
        (&90.into(), &20.into())
    );

    // The same bytes that the terminal got, between what we said ourselves.
    let printed = printed(&events);
    let seen = terminal.sent();
    let start = seen
        .windows(8)
        .position(|bytes| bytes == b"private:")
        .expect("our own line");
    let start = start
        + seen[start..]
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("its end")
        + 1;
    assert_eq!(seen[start..start + printed.len()], printed);
    assert!(seen[start + printed.len()..].starts_with(b"kulti: "));
    assert_eq!(screen(&stage, &session).await, emulated(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_at_all_are_passed_on_and_the_screen_is_the_emulators() {
    let stage = Stage::set().await;
    let script = "head -c 5M /dev/urandom | tee random; printf '\\033c\\033[1;31mthe end\\033[0m'";
    let mut terminal = run_on_a_terminal(&stage, &["--", "sh", "-c", script]);
    assert_eq!(terminal.ended().await, 0);
    let session = stage.session();
    let events = stage.events(&session).await;
    assert_whole(&events);
    let random = std::fs::read(stage.home.path().join("random")).expect("what was random");
    // As terminals do it: a line feed becomes two bytes.
    let sent: Vec<u8> = random
        .iter()
        .flat_map(|byte| match byte {
            b'\n' => &b"\r\n"[..],
            byte => std::slice::from_ref(byte),
        })
        .copied()
        .collect();
    let printed = printed(&events);
    assert!(printed.starts_with(&sent), "{} of {}", printed.len(), sent.len());
    assert_eq!(screen(&stage, &session).await, emulated(&events));
}

/// What an emulator shows that got all that the session's own terminal got.
fn emulated(events: &[Value]) -> Vec<String> {
    let side = |event: &Value, name: &str| event["data"][name].as_u64().expect("a number") as usize;
    let mut emulator = avt::Terminal::new(80, 24).expect("a terminal");
    let mut text = String::new();
    for event in events {
        match event["kind"].as_str() {
            Some("terminal.resized") => {
                emulator.feed(std::mem::take(&mut text).as_str());
                emulator.resize(side(event, "cols"), side(event, "rows"));
            }
            Some("terminal.output") => {
                text += &String::from_utf8_lossy(&printed(std::slice::from_ref(event)));
            }
            _ => {}
        }
    }
    emulator.feed(text.as_str());
    let lines = emulator.screen().visible_lines();
    lines.map(|line| line.text().trim_end().to_owned()).collect()
}
