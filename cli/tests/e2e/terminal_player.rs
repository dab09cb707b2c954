//! `kulti replay` on a terminal: a real pseudo-terminal, whose picture is read with an emulator.

use portable_pty::CommandBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{Cluster, Gateway, ReplayConsumer};
use crate::terminal::Terminal;

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
        Terminal::open(command, 110, 30)
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
        terminal.screen().contains("ended: completed"),
        "{}",
        terminal.screen()
    );

    terminal.press(" 0");
    terminal.shows(&format!("event 0 of {total}")).await;
    assert!(!terminal.screen().contains("star"), "{}", terminal.screen());
    terminal.press("5");
    terminal.shows(&format!("event 50 of {total}")).await;
    terminal.shows("star 48;").await;
    assert!(
        !terminal.screen().contains("star 49;"),
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
    assert!(terminal.has_cursor(), "the terminal is given back as it was");
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
