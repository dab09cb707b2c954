//! A session's terminal in asciinema's formats: the live stream, decoded by the format's rules, shows what the fold
//! shows, and asciinema's own player plays both the stream and an exported file.

use chrono::{SecondsFormat, TimeDelta, Utc};
use futures_util::StreamExt;
use kulti_session::{FoldEvent, Workspace};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use crate::browser::Browser;
use crate::cluster::{Cluster, Gateway, ReplayConsumer};
use kulti_test_support::wait_until;

struct Stage {
    gateway: Gateway,
    _replay: ReplayConsumer,
    cluster: Cluster,
    session: String,
    sent: Vec<Value>,
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
            sent: Vec::new(),
        }
    }

    async fn send(&mut self, events: &[(&str, Value)]) {
        let events: Vec<Value> = events
            .iter()
            .map(|(kind, data)| {
                json!({"id": Uuid::now_v7(), "session": self.session, "agent": "nex", "kind": kind, "data": data})
            })
            .collect();
        self.gateway.send(&events).await;
        self.sent.extend(events);
        self.cluster
            .wait_for_rows(&self.session, self.sent.len() as i64)
            .await;
    }

    fn path(&self, query: &str) -> String {
        format!("/v1/sessions/{}/alis{query}", self.session)
    }

    /// What the fold shows after all that was sent.
    fn folded(&self) -> String {
        let mut workspace = Workspace::new();
        for (index, event) in self.sent.iter().enumerate() {
            let mut event = event.clone();
            event["position"] = json!(index + 1);
            for (name, value) in [
                ("time", "2026-01-01T00:00:00Z"),
                ("received", "2026-01-01T00:00:00Z"),
                ("source", "agent"),
            ] {
                event[name] = json!(value);
            }
            let text = event.to_string();
            workspace.apply(&FoldEvent::parse(&text).expect("an event"));
        }
        lines(&workspace)
    }
}

fn lines(workspace: &Workspace) -> String {
    let screen = workspace.screen(None).expect("a terminal");
    screen
        .lines
        .iter()
        .map(|line| line.text().trim_end().to_owned() + "\n")
        .collect()
}

/// A player that follows the format.
#[derive(Default)]
struct Player {
    magic: bool,
    terminal: Option<avt::Terminal>,
    time: u64,
    markers: Vec<String>,
    ended: bool,
}

/// Reads numbers and texts off a frame.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("a byte");
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    fn text(&mut self) -> String {
        let length = self.number() as usize;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).expect("UTF-8").to_owned()
    }
}

impl Player {
    fn take(&mut self, frame: &[u8]) {
        if !std::mem::replace(&mut self.magic, true) {
            assert_eq!(frame, b"ALiS\x01");
            return;
        }
        let mut reader = Reader(frame);
        let kind = reader.byte();
        assert_eq!(
            self.terminal.is_none(),
            kind == 1,
            "first a terminal, then what happens to it"
        );
        match kind {
            1 => {
                let (_id, time) = (reader.number(), reader.number());
                let (cols, rows, theme) = (reader.number(), reader.number(), reader.byte());
                assert_eq!(theme, 0);
                let mut terminal = avt::Terminal::new(cols as usize, rows as usize).expect("a terminal");
                terminal.feed(reader.text().as_str());
                (self.terminal, self.time) = (Some(terminal), time);
            }
            4 => {
                self.ended = true;
                reader.number();
            }
            kind => {
                let (_id, since) = (reader.number(), reader.number());
                self.time += since;
                let terminal = self.terminal.as_mut().expect("a terminal");
                match kind {
                    b'o' => terminal.feed(reader.text().as_str()),
                    b'r' => terminal.resize(reader.number() as usize, reader.number() as usize),
                    b'm' => self.markers.push(reader.text()),
                    other => panic!("no such frame: {other}"),
                }
            }
        }
        assert!(reader.0.is_empty(), "nothing is left over");
    }

    fn text(&self) -> String {
        let terminal = self.terminal.as_ref().expect("a terminal");
        let lines = terminal.screen().visible_lines();
        lines
            .map(|line| line.text().trim_end().to_owned() + "\n")
            .collect()
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(stage: &Stage, query: &str) -> Socket {
    let url = stage.gateway.url(&stage.path(query)).replace("http://", "ws://");
    let mut request = url.into_client_request().expect("a request");
    let offered = "v1.alis, v2.asciicast, v3.asciicast, raw"
        .parse()
        .expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", offered);
    let (socket, response) = tokio_tungstenite::connect_async(request).await.expect("a socket");
    assert_eq!(response.headers()["sec-websocket-protocol"], "v1.alis");
    socket
}

/// Plays until the screen shows this, or to the end.
async fn play(socket: &mut Socket, player: &mut Player, until: Option<&str>) -> Option<u16> {
    loop {
        if until.is_some_and(|part| player.terminal.is_some() && player.text().contains(part)) {
            return None;
        }
        let limit = std::time::Duration::from_secs(60);
        let message = tokio::time::timeout(limit, socket.next())
            .await
            .expect("a frame in time");
        match message.expect("the stream goes on").expect("a frame") {
            Message::Binary(frame) => player.take(&frame),
            Message::Close(close) => return Some(close.map_or(1005, |close| close.code.into())),
            _ => {}
        }
    }
}

fn output(text: &str) -> (&'static str, Value) {
    ("terminal.output", json!({"text": text, "stream": "pty"}))
}

fn recorded() -> Vec<(&'static str, Value)> {
    vec![
        ("session.started", json!({"title": "Count"})),
        output("\u{1b}[31mone\u{1b}[0m\r\n"),
        ("thought", json!({"content": "hm"})),
        ("terminal.resized", json!({"cols": 100, "rows": 30})),
        output("\u{1b}[5;5Hgrüße 🌌\r\n"),
        ("marker", json!({"label": "half"})),
        output("\u{1b}[2;1Htwo"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_terminal_is_streamed_to_its_end_and_shows_what_the_fold_shows() {
    let mut stage = Stage::set().await;
    stage.send(&recorded()).await;
    stage
        .send(&[("session.ended", json!({"reason": "completed"}))])
        .await;
    let mut player = Player::default();
    let mut socket = connect(&stage, "?speed=64&idle_cap_ms=100").await;
    assert_eq!(play(&mut socket, &mut player, None).await, Some(1000));
    assert!(player.ended);
    assert_eq!(player.markers, ["half"]);
    assert_eq!(player.text(), stage.folded());

    let mut late = Player::default();
    let mut socket = connect(&stage, "?at=7&speed=64").await;
    play(&mut socket, &mut late, None).await;
    assert_eq!(
        (late.text(), late.markers.len()),
        (stage.folded(), 0),
        "one that begins late gets the screen as it was"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_terminal_is_streamed_as_it_goes_on_until_the_session_ends() {
    let mut stage = Stage::set().await;
    stage.send(&recorded()).await;
    let mut player = Player::default();
    let mut socket = connect(&stage, "").await;
    play(&mut socket, &mut player, Some("two")).await;
    assert_eq!(player.text(), stage.folded());
    stage.send(&[output("\r\nthree")]).await;
    play(&mut socket, &mut player, Some("three")).await;
    assert_eq!(player.text(), stage.folded());
    stage
        .send(&[("session.ended", json!({"reason": "completed"}))])
        .await;
    assert_eq!(play(&mut socket, &mut player, None).await, Some(1000));
    assert!(player.ended);
}

/// The text that the player in the page shows.
pub async fn shown(browser: &Browser) -> String {
    let text = browser
        .value("document.querySelector('.ap-player')?.innerText ?? ''")
        .await;
    text.as_str().unwrap_or_default().to_owned()
}

/// A Chromium that has loaded asciinema's player.
pub async fn browser_with_player(gateway: &Gateway) -> Browser {
    let browser = Browser::open(1280, 800).await;
    // A page of the gateway without a content policy: the player compiles WebAssembly.
    browser.goto(&gateway.url("/openapi.json")).await;
    let library = include_str!("../vendor/asciinema-player.min.js");
    browser
        .client
        .execute(
            &format!("{library}\nwindow.AsciinemaPlayer = AsciinemaPlayer;"),
            vec![],
        )
        .await
        .expect("the player loads");
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn asciinemas_own_player_plays_a_session_live() {
    let mut stage = Stage::set().await;
    stage.send(&recorded()).await;
    let browser = browser_with_player(&stage.gateway).await;
    let url = stage.gateway.url(&stage.path("")).replace("http://", "ws://");
    let create = format!(
        "AsciinemaPlayer.create({{driver: 'websocket', url: {url:?}}}, document.body, {{autoPlay: true}}) && true"
    );
    browser.value(&create).await;
    wait_until("the player shows the screen", async || {
        let text = shown(&browser).await;
        text.contains("one") || text.contains("two")
    })
    .await;
    stage.send(&[output("\r\nthree")]).await;
    wait_until("the player shows what comes", async || {
        shown(&browser).await.contains("three")
    })
    .await;
}

/// Text of a program that draws: lines that scroll by, places that are written over, colours, an alternate screen.
fn drawn(random: &mut SmallRng, number: usize) -> String {
    let row = random.random_range(1..25);
    match random.random_range(0..8) {
        0 => format!("\u{1b}[{row};{}Hhere {number}", random.random_range(1..70)),
        1 => "\u{1b}[?1049h\u{1b}[2J\u{1b}[3;3Hfull screen".to_owned(),
        2 => "\u{1b}[?1049l".to_owned(),
        3 => "\u{1b}[2K\rover".to_owned(),
        _ => format!("\u{1b}[1;3{}mline {number}\u{1b}[0m\r\n", number % 8),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asciinemas_own_player_shows_an_export_as_the_fold_shows_it_at_a_hundred_moments() {
    const EVERY: i64 = 200;
    let stage = Stage::set().await;
    let seed = rand::random();
    let mut random = SmallRng::seed_from_u64(seed);
    let start = Utc::now() - TimeDelta::hours(1);
    let events: Vec<Value> = (0..400)
        .map(|index| {
            let time = start + TimeDelta::milliseconds(index as i64 * EVERY);
            json!({
                "id": Uuid::now_v7(), "session": stage.session, "agent": "nex", "kind": "terminal.output",
                "time": time.to_rfc3339_opts(SecondsFormat::Micros, true),
                "data": {"text": drawn(&mut random, index), "stream": "pty"},
            })
        })
        .collect();
    stage.gateway.send(&events).await;
    stage
        .cluster
        .wait_for_rows(&stage.session, events.len() as i64)
        .await;
    let path = format!("/v1/sessions/{}/export?format=asciicast", stage.session);
    let file = text_of(&stage.gateway, &path).await;

    let browser = browser_with_player(&stage.gateway).await;
    let file = Value::from(file);
    browser
        .value(&format!(
            "(window.player = AsciinemaPlayer.create({{data: {file}}}, document.body, {{preload: true}})) && true"
        ))
        .await;
    for _ in 0..100 {
        // Half-way between two events, since the file's times are rounded to milliseconds.
        let last = random.random_range(0..events.len());
        let seconds = (last as f64 + 0.5) * EVERY as f64 / 1000.0;
        browser
            .value(&format!("player.seek({seconds}).then(() => true)"))
            .await;
        let path = format!(
            "/v1/sessions/{}/screen?format=text&at={}",
            stage.session,
            last + 1
        );
        let folded = text_of(&stage.gateway, &path).await;
        let folded = trimmed(&folded);
        let what = format!("{seconds} s, seed {seed}: the player shows {folded}");
        wait_until(&what, async || {
            let shown = browser
                .value(
                    "[...document.querySelectorAll('.ap-line')].map((line) => line.textContent).join('\\n')",
                )
                .await;
            trimmed(shown.as_str().unwrap_or_default()) == folded
        })
        .await;
    }
}

async fn text_of(gateway: &Gateway, path: &str) -> String {
    let answer = gateway
        .client
        .get(gateway.url(path))
        .send()
        .await
        .expect("an answer");
    answer
        .error_for_status()
        .expect("200")
        .text()
        .await
        .expect("text")
}

fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}
