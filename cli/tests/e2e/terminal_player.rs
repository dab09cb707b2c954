//! `kulti replay` on a terminal: a real pseudo-terminal, whose picture is read with an emulator.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use kulti_test_support::wait_until;
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{Cluster, Gateway, ReplayConsumer};

struct Stage {
    gateway: Gateway,
    _replay: ReplayConsumer,
    cluster: Cluster,
    session: String,
    sent: i64,
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
            session: Uuid::now_v7().to_string(),
            sent: 0,
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    async fn send(&mut self, events: &[(&str, Value)]) {
        let events: Vec<Value> = events
            .iter()
            .map(|(kind, data)| {
                json!({"id": Uuid::now_v7(), "session": self.session, "agent": "galileo", "kind": kind, "data": data})
            })
            .collect();
        self.gateway.send(&events).await;
        self.sent += events.len() as i64;
        self.cluster.wait_for_rows(&self.session, self.sent).await;
    }

    fn replay(&self, arguments: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kulti"));
        command.env_clear();
        command.env("HOME", self.home.path());
        command.env("KULTI_URL", self.gateway.url(""));
        command.env("TERM", "xterm-256color");
        command.args(["replay", &self.session]);
        command.args(arguments);
        Terminal::open(command)
    }
}

/// A terminal of 110 x 30 with a program in it.
struct Terminal {
    emulator: Arc<Mutex<avt::Terminal>>,
    keyboard: Box<dyn Write + Send>,
    program: Box<dyn Child + Send + Sync>,
}

impl Terminal {
    fn open(command: CommandBuilder) -> Self {
        let size = PtySize {
            cols: 110,
            rows: 30,
            ..PtySize::default()
        };
        let pty = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let program = pty.slave.spawn_command(command).expect("it starts");
        let mut output = pty.master.try_clone_reader().expect("its output");
        let keyboard = pty.master.take_writer().expect("its keyboard");
        let emulator = avt::Terminal::new(110, 30).expect("a terminal");
        let emulator = Arc::new(Mutex::new(emulator));
        let fed = Arc::clone(&emulator);
        std::thread::spawn(move || {
            let _master = pty.master;
            let mut buffer = [0; 16_384];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                fed.lock().expect("not poisoned").feed(text.as_ref());
            }
        });
        Terminal {
            emulator,
            keyboard,
            program,
        }
    }

    fn text(&self) -> String {
        let emulator = self.emulator.lock().expect("not poisoned");
        emulator
            .screen()
            .visible_lines()
            .map(|line| line.text() + "\n")
            .collect()
    }

    async fn shows(&self, part: &str) {
        wait_until(&format!("the terminal shows {part:?}"), async || {
            self.text().contains(part)
        })
        .await;
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("it listens");
        self.keyboard.flush().expect("it listens");
    }

    /// The exit code, once it has ended.
    async fn ended(&mut self) -> u32 {
        let program = Mutex::new(&mut self.program);
        let state = || {
            let mut program = program.lock().expect("not poisoned");
            program.try_wait().expect("its state")
        };
        wait_until("it ends", async || state().is_some()).await;
        state().expect("it has ended").exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn star(number: usize) -> (&'static str, Value) {
    let text = format!("\u{1b}[3{}mstar {number};\u{1b}[0m\r\n", number % 8);
    ("terminal.output", json!({"text": text, "stream": "pty"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_on_a_terminal_shows_screen_and_thoughts_and_obeys_the_keys() {
    let mut stage = Stage::set().await;
    let mut events = vec![("session.started", json!({"title": "Count the stars"}))];
    events.extend((1..=48).map(star));
    events.push(("thought", json!({"content": "So many \u{1b}[2J of them"})));
    events.extend((49..=98).map(star));
    events.push(("session.ended", json!({"reason": "completed"})));
    let total = events.len();
    stage.send(&events).await;

    let mut terminal = stage.replay(&["--speed", "max"]);
    terminal.shows(&format!("event {total} of {total}")).await;
    terminal.shows("star 98;").await;
    terminal.shows("Count the stars").await;
    terminal.shows("So many").await;
    assert!(
        terminal.text().contains("ended: completed"),
        "{}",
        terminal.text()
    );

    terminal.press(" 0");
    terminal.shows(&format!("event 0 of {total}")).await;
    assert!(!terminal.text().contains("star"), "{}", terminal.text());
    terminal.press("5");
    terminal.shows(&format!("event 50 of {total}")).await;
    terminal.shows("star 48;").await;
    assert!(
        !terminal.text().contains("star 49;"),
        "what comes later is not shown"
    );
    terminal.press(".");
    terminal.shows("star 49;").await;
    terminal.press(",");
    terminal.shows(&format!("event 50 of {total}")).await;
    terminal.press("--");
    terminal.shows("32x").await;
    terminal.press("?");
    terminal.shows("to that tenth").await;
    terminal.press("?q");
    assert_eq!(terminal.ended().await, 0);
    let emulator = terminal.emulator.lock().expect("not poisoned");
    assert!(
        emulator.cursor().position().is_some(),
        "the terminal is given back as it was"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_goes_on_in_the_player_until_it_ends() {
    let mut stage = Stage::set().await;
    stage.send(&[star(1), star(2)]).await;
    let mut terminal = stage.replay(&["--from", "2"]);
    terminal.shows("star 2;").await;
    terminal.shows("live").await;
    stage.send(&[star(3)]).await;
    terminal.shows("star 3;").await;
    stage
        .send(&[("session.ended", json!({"reason": "cancelled"}))])
        .await;
    terminal.shows("ended: cancelled").await;
    terminal.press("\u{3}");
    assert_eq!(terminal.ended().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_the_terminal_is_left_alone() {
    let stage = Stage {
        session: "nowhere".to_owned(),
        ..Stage::set().await
    };
    let mut terminal = stage.replay(&[]);
    assert_eq!(terminal.ended().await, 1);
    terminal.shows("not_found").await;
}
