//! The pages in a real Chromium, against a real gateway: what a viewer sees, live and later.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::browser::Browser;
use crate::cluster::{Cluster, Gateway, ReplayConsumer};
use kulti_test_support::Proxy;

struct Stage {
    gateway: Gateway,
    _replay: ReplayConsumer,
    cluster: Cluster,
    session: String,
    agent: String,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::create(2).await;
        let gateway = cluster.gateway().await;
        let replay = cluster.replay();
        gateway.ready().await;
        let agent = format!("agent-{}", Uuid::now_v7().simple());
        Stage {
            gateway,
            _replay: replay,
            cluster,
            session: Uuid::now_v7().to_string(),
            agent,
        }
    }

    fn event(&self, kind: &str, data: Value) -> Value {
        json!({"id": Uuid::now_v7().to_string(), "session": self.session, "agent": self.agent, "kind": kind, "data": data})
    }

    /// Sends events of the session and waits until they can be read.
    async fn send(&self, events: &[(&str, Value)], rows: i64) {
        let events: Vec<Value> = events
            .iter()
            .map(|(kind, data)| self.event(kind, data.clone()))
            .collect();
        self.gateway.send(&events).await;
        self.cluster.wait_for_rows(&self.session, rows).await;
    }

    async fn get_json(&self, path: &str) -> Value {
        let url = self.gateway.url(&format!("/v1/sessions/{}/{path}", self.session));
        let answer = self.gateway.client.get(url).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let url = self.gateway.url(&format!("/v1/sessions/{}/{path}", self.session));
        let answer = self
            .gateway
            .client
            .post(url)
            .json(body)
            .send()
            .await
            .expect("an answer");
        answer.json().await.expect("JSON")
    }

    fn page(&self) -> String {
        self.gateway.url(&format!("/s/{}", self.session))
    }
}

fn started() -> (&'static str, Value) {
    (
        "session.started",
        json!({"task": "Count the stars", "agent_name": "Galileo"}),
    )
}

fn line(text: &str) -> (&'static str, Value) {
    (
        "terminal.output",
        json!({"text": format!("{text}\r\n"), "stream": "pty"}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_is_shown_from_its_start_and_followed_to_its_end() {
    let stage = Stage::set().await;
    let browser = Browser::open(1280, 800).await;
    browser.goto(&stage.gateway.url("/")).await;
    browser.wait_for_text("empty", "curl -X POST").await;

    stage
        .send(
            &[
                started(),
                line("\u{1b}[31mred giant\u{1b}[0m"),
                ("thought", json!({"content": "So many"})),
            ],
            3,
        )
        .await;
    browser.wait_for_text("live-list", "Count the stars").await;
    browser
        .goto(&stage.gateway.url(&format!("/watch/{}", stage.agent)))
        .await;
    browser.wait_for_text("screen", "red giant").await;
    assert_eq!(
        browser
            .value("document.querySelector('#screen .f-1').textContent")
            .await,
        "red giant"
    );
    browser.wait_for_text("badge", "Live").await;
    browser.wait_for_text("title", "Count the stars").await;
    browser.wait_for_text("stream", "So many").await;
    browser.wait_for_text("viewers", "1 viewer").await;

    stage
        .send(
            &[
                line("white dwarf"),
                (
                    "code.changed",
                    json!({"path": "sky.txt", "action": "create", "content": "star\n"}),
                ),
            ],
            5,
        )
        .await;
    browser.wait_for_text("screen", "white dwarf").await;
    browser.wait_for_text("file-view", "+star").await;
    browser.press(" ").await;
    browser.wait_for_text("badge", "Rewound").await;
    browser.click("go-live").await;
    browser.wait_for_text("badge", "Live").await;
    stage
        .send(&[("session.ended", json!({"reason": "completed"}))], 6)
        .await;
    browser.wait_for_text("badge", "Not live").await;
    browser.wait_for_text("place", "event 6 of 6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_session_is_replayed_sought_and_shown_as_it_was() {
    let stage = Stage::set().await;
    let mut events = vec![started()];
    let lines: Vec<String> = (1..=98).map(|number| format!("star {number};")).collect();
    events.extend(lines.iter().map(|text| line(text)));
    events.push(("session.ended", json!({"reason": "completed"})));
    stage.send(&events, 100).await;

    let browser = Browser::open(1280, 800).await;
    browser.goto(&stage.page()).await;
    browser.wait_for_text("place", "event 100 of 100").await;
    browser.wait_for_text("badge", "Not live").await;
    browser.press("5").await;
    browser.wait_for_text("place", "event 50 of 100").await;
    browser
        .wait_for("document.getElementById('screen').textContent.includes('star 49;')")
        .await;
    assert!(
        !browser.text("screen").await.contains("star 50;"),
        "what comes later is not shown yet"
    );
    browser.press(".").await;
    browser.wait_for_text("screen", "star 50;").await;
    browser.press("0").await;
    browser.wait_for_text("place", "event 0 of 100").await;
    assert!(!browser.text("screen").await.contains("star"));
    browser.press(" ").await;
    browser.wait_for_text("place", "event 100 of 100").await;
    browser
        .wait_for("document.getElementById('toggle').getAttribute('aria-label') === 'Play again'")
        .await;
    browser.press("?").await;
    browser.wait_for("document.getElementById('help').open").await;

    browser.goto(&format!("{}?at=10", stage.page())).await;
    browser.wait_for_text("place", "event 10 of 100").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_a_clip_plays_just_that() {
    let stage = Stage::set().await;
    let mut events = vec![started()];
    let lines: Vec<String> = (1..=98).map(|number| format!("star {number};")).collect();
    events.extend(lines.iter().map(|text| line(text)));
    events.push(("session.ended", json!({"reason": "completed"})));
    stage.send(&events, 100).await;
    let list = stage.get_json("events?limit=1000").await;
    let id = |position: usize| list["items"][position - 1]["id"].clone();
    let clip = stage
        .post(
            "clips",
            &json!({"from": id(40), "to": id(60), "title": "The best"}),
        )
        .await;
    stage.cluster.wait_for_rows(&stage.session, 101).await;

    let browser = Browser::open(1280, 800).await;
    let clip = clip["event"].as_str().expect("the clip's event");
    browser.goto(&format!("{}?at={clip}", stage.page())).await;
    browser.wait_for_text("notices", "Clip: The best").await;
    browser.wait_for_text("place", "event 60 of 101").await;
    browser
        .wait_for("document.getElementById('toggle').getAttribute('aria-label') === 'Play'")
        .await;
    browser.press(" ").await;
    browser.wait_for_text("place", "event 101 of 101").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_said_and_nothing_is_missed_or_repeated() {
    let stage = Stage::set().await;
    let proxy = Proxy::to(&stage.gateway.address.to_string()).await;
    stage.send(&[started(), line("first light")], 2).await;
    let browser = Browser::open(1280, 800).await;
    browser
        .goto(&format!("http://{}/s/{}", proxy.address(), stage.session))
        .await;
    browser.wait_for_text("screen", "first light").await;

    proxy.cut();
    browser.wait_for_text("notices", "Connection lost").await;
    stage.send(&[line("in the dark"), line("still dark")], 4).await;
    proxy.resume();
    browser.wait_for_text("screen", "still dark").await;
    browser.wait_for_text("notices", "Connected again").await;
    let shown = browser.text("screen").await;
    assert_eq!(shown, "first lightin the darkstill dark");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_sends_never_becomes_part_of_the_page() {
    let stage = Stage::set().await;
    let evil = "<img src=x onerror=\"window.taken=1\"><script>window.taken=1</script>";
    let events = [
        (
            "session.started",
            json!({"task": evil, "title": evil, "agent_name": evil, "agent_avatar": evil}),
        ),
        ("thought", json!({"content": evil})),
        (
            "message.completed",
            json!({"message": "m", "role": "assistant", "content": evil}),
        ),
        (
            "tool.started",
            json!({"call": "__proto__", "name": evil, "input": {"a": evil}}),
        ),
        ("terminal.command", json!({"command": evil})),
        (
            "terminal.output",
            json!({"text": "\u{1b}]52;c;aGk=\u{7}\u{1b}]8;;javascript:taken=1\u{7}link\u{1b}]8;;\u{7}\u{1b}P1 hidden \u{1b}\\after\r\n"}),
        ),
        (
            "code.changed",
            json!({"path": evil, "action": "create", "content": evil}),
        ),
        ("status.changed", json!({"status": evil})),
        (
            "progress",
            json!({"title": evil, "done": 1, "total": 2, "plan": [{"text": evil, "state": "done"}]}),
        ),
        ("error", json!({"message": evil, "stack": evil})),
        ("marker", json!({"label": evil})),
        ("preview.opened", json!({"url": "javascript:window.taken=1"})),
        ("preview.opened", json!({"url": "https://example.org/"})),
    ];
    stage.send(&events, 13).await;
    let browser = Browser::open(1280, 800).await;
    browser.goto(&stage.page()).await;
    browser.wait_for_text("place", "event 13 of 13").await;
    browser.wait_for_text("screen", "linkafter").await;
    browser.wait_for_text("stream", "<script>").await;
    assert_eq!(browser.value("window.taken ?? null").await, Value::Null);
    assert_eq!(
        browser
            .value("document.querySelectorAll('main img, main script').length")
            .await,
        0
    );
    let links = "[...document.querySelectorAll('#stream a')].map((link) => link.href + ' ' + link.rel)";
    assert_eq!(
        browser.value(links).await,
        json!(["https://example.org/ noopener noreferrer nofollow"])
    );
    assert!(!browser.text("screen").await.contains("hidden"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_agent_page_shows_the_first_session_and_then_the_next() {
    let mut stage = Stage::set().await;
    let browser = Browser::open(390, 800).await;
    browser
        .goto(&stage.gateway.url(&format!("/watch/{}", stage.agent)))
        .await;
    browser.wait_for_text("message", "has not streamed yet").await;
    browser.wait_for_text("message", "/api/agent/stream").await;

    stage.send(&[started(), line("one")], 2).await;
    browser.wait_for_text("screen", "one").await;
    browser
        .wait_for("document.documentElement.scrollWidth <= window.innerWidth")
        .await;
    stage
        .send(&[("session.ended", json!({"reason": "completed"}))], 3)
        .await;
    browser.wait_for_text("badge", "Not live").await;

    stage.session = Uuid::now_v7().to_string();
    stage
        .send(
            &[started(), line("two"), ("thought", json!({"content": "again"}))],
            3,
        )
        .await;
    browser.wait_for_text("screen", "two").await;
    browser.wait_for_text("badge", "Live").await;
    let activity = browser
        .client
        .find(fantoccini::Locator::Css("#tabs [data-tab=activity]"))
        .await
        .expect("a tab");
    activity.click().await.expect("a click");
    browser.wait_for_text("stream", "again").await;
    assert_eq!(browser.text("screen").await, "", "one pane at a time on a phone");

    browser.goto(&stage.gateway.url("/s/no-such-session")).await;
    browser.wait_for_text("message", "No such session").await;
}
