//! Secrets are nowhere: not in the log, not in a table, not in what the server logs and answers; and what only a later
//! request makes a secret is redacted.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kulti_pipeline::config::KafkaConfig;
use kulti_test_support::wait_until;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::producer::session_id;
use crate::viewer::Viewer;

/// `masking/vectors.json`: an example of every rule.
#[derive(Deserialize)]
struct Vectors {
    texts: Vec<Vector>,
    json: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(alias = "json")]
    text: Vec<String>,
    #[serde(default)]
    secret: Vec<String>,
}

impl Vector {
    fn text(&self) -> String {
        self.text.concat()
    }
    fn secret(&self) -> String {
        self.secret.concat()
    }
    /// Cut in the middle of the secret.
    fn halves(&self) -> (String, String) {
        let text = self.text();
        let secret = self.secret();
        let start = text.find(&secret).unwrap_or_default();
        let middle = (start + secret.len() / 2..=text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(text.len());
        (text[..middle].to_owned(), text[middle..].to_owned())
    }
}

fn vectors() -> (Vec<Vector>, Vec<Vector>) {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../masking/vectors.json")).expect("vectors");
    let planted = |vectors: Vec<Vector>| {
        let planted = vectors.into_iter().filter(|vector| !vector.secret.is_empty());
        planted.collect::<Vec<_>>()
    };
    (planted(vectors.texts), planted(vectors.json))
}

/// `kulti serve` as a process of its own, which logs all that it can; killed on drop.
struct Server {
    child: Child,
    url: String,
    log: tempfile::TempDir,
}

impl Server {
    fn start(cluster: &Cluster) -> Self {
        let kafka = &cluster.topics.config;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let log = tempfile::tempdir().expect("a folder");
        let output = File::create(log.path().join("log")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_kulti"))
            .args(["serve", "--listen", &address.to_string()])
            .env("HOME", log.path())
            .env("XDG_STATE_HOME", log.path())
            .env("KULTI_KAFKA_BROKERS", &kafka.brokers)
            .env("KULTI_TOPIC_PREFIX", &kafka.topic_prefix)
            .env("KULTI_TOPIC_PARTITIONS", kafka.partitions.to_string())
            .env("KULTI_DATABASE_URL", &cluster.database.url)
            .env(
                "KULTI_LOG",
                "info,kulti_gateway=trace,kulti_consumers=trace,kulti_pipeline=debug",
            )
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file"))
            .stderr(output)
            .spawn()
            .expect("kulti starts");
        Server {
            child,
            url: format!("http://{address}"),
            log,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log.path().join("log")).expect("the log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().expect("gone");
        }
    }
}

fn event(session: &str, kind: &str, data: Value) -> Value {
    json!({"id": uuid::Uuid::now_v7(), "session": session, "agent": "nex", "kind": kind, "data": data})
}

/// The secret whole, in every place where an event can say something.
fn whole(session: &str, vector: &Vector) -> Vec<Value> {
    let text = vector.text();
    let in_json = json!({"out": text}).to_string();
    let mut with_raw = event(session, "thought", json!({"content": "see raw"}));
    with_raw["raw"] = json!(in_json);
    if text.len() <= 256 && !text.contains(char::is_control) {
        with_raw["producer"] = json!(text);
    }
    vec![
        event(
            session,
            "thought",
            json!({"content": text, "metadata": {"deep": [text]}}),
        ),
        event(session, "terminal.command", json!({"command": text})),
        event(
            session,
            "terminal.output",
            json!({"terminal": uuid::Uuid::now_v7(), "text": text}),
        ),
        event(
            session,
            "tool.finished",
            json!({"call": "c", "status": "ok", "output": {"stdout": in_json}}),
        ),
        event(
            session,
            "code.changed",
            json!({"path": "a", "action": "create", "content": text}),
        ),
        event(session, "a.kind.of.tomorrow", json!({"said": text})),
        with_raw,
    ]
}

/// The secret over two events of one request, as a terminal and as a message have it.
fn split(session: &str, vector: &Vector) -> Vec<Value> {
    let (one, two) = vector.halves();
    let message = uuid::Uuid::now_v7();
    let terminal = uuid::Uuid::now_v7();
    let output = |text: &str| {
        event(
            session,
            "terminal.output",
            json!({"terminal": terminal, "text": text}),
        )
    };
    let delta = |index: u32, text: &str| {
        event(
            session,
            "message.delta",
            json!({"message": message, "index": index, "text": text}),
        )
    };
    vec![output(&one), delta(0, &one), delta(1, &two), output(&two)]
}

/// What the server refuses, each with a secret in it.
fn refused(session: &str, text: &str) -> Vec<Value> {
    vec![
        json!({"id": text, "session": session, "agent": "nex", "kind": "thought", "data": {"content": "a"}}),
        json!({"session": session, "agent": "nex", "kind": "thought", "data": {"content": {text: 1}}}),
        json!({"session": session, "agent": "nex", "kind": "thought", "data": {text: "no content"}}),
        json!({"session": session, "agent": "nex", "kind": "terminal.exited", "data": {"code": text}}),
        json!({"session": session, "agent": "nex", "kind": format!("chat.{text}"), "data": {}}),
        json!({"session": session, "agent": "nex", "kind": "thought", "data": {"content": "a"}, text: 1, "time": text}),
    ]
}

/// Every record's bytes.
async fn log_of(cluster: &Cluster) -> Vec<u8> {
    let topics = &cluster.topics;
    let mut bytes = Vec::new();
    for topic in [topics.session_events(), topics.dead_letters()] {
        bytes.extend(records_of(&topics.config, &topic).await);
    }
    bytes
}

/// Everything that Postgres has, as text.
async fn tables_of(cluster: &Cluster) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('public', 'control') and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    )
    .fetch_all(&cluster.database.pool)
    .await
    .expect("tables");
    let mut text = String::new();
    for table in tables {
        let statement = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(statement)
            .fetch_all(&cluster.database.pool)
            .await
            .expect("rows");
        text.extend(rows);
    }
    text
}

/// Keys and values of all records, as the broker has them.
async fn records_of(kafka: &KafkaConfig, topic: &str) -> Vec<u8> {
    let (brokers, partitions, topic) = (kafka.brokers.clone(), kafka.partitions, topic.to_owned());
    let read = move || {
        let limit = Duration::from_secs(20);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("group.id", "none")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let mut left = 0;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            let Ok((_, end)) = consumer.fetch_watermarks(&topic, partition, limit) else {
                continue;
            };
            left += end;
            assignment
                .add_partition_offset(&topic, partition, Offset::Beginning)
                .expect("a partition");
        }
        consumer.assign(&assignment).expect("an assignment");
        let mut bytes = Vec::new();
        while left > 0 {
            let record = consumer.poll(limit).expect("a record in time").expect("a record");
            bytes.extend_from_slice(record.key().unwrap_or_default());
            bytes.extend_from_slice(record.payload().unwrap_or_default());
            left -= 1;
        }
        bytes
    };
    tokio::task::spawn_blocking(read).await.expect("the log")
}

/// As bytes, and as JSON has them in a string.
fn spellings(secret: &str) -> [String; 2] {
    let quoted = Value::from(secret).to_string();
    [secret.to_owned(), quoted[1..quoted.len() - 1].to_owned()]
}

async fn post(client: &reqwest::Client, url: &str, events: &[Value]) -> String {
    let body: String = events.iter().map(|event| format!("{event}\n")).collect();
    let answer = client
        .post(format!("{url}/v1/events"))
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await
        .expect("an answer");
    answer.text().await.expect("a body")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_secrets_of_every_rule_are_nowhere() {
    let cluster = Cluster::create(2).await;
    let server = Server::start(&cluster);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    wait_until("the server is ready", async || {
        let ready = client.get(format!("{}/readyz", server.url)).send().await;
        ready.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let (texts, jsons) = vectors();
    let (session, mut answers, mut sent) = (session_id(), String::new(), 0);
    for vectors in texts.chunks(10) {
        let mut events: Vec<Value> = vectors
            .iter()
            .flat_map(|vector| whole(&session, vector))
            .collect();
        events.extend(vectors.iter().flat_map(|vector| split(&session, vector)));
        sent += events.len() as i64;
        let answer = post(&client, &server.url, &events).await;
        assert!(
            answer.contains(&format!("\"accepted\":{}", events.len())),
            "{answer}"
        );
        answers.push_str(&answer);
    }
    for vector in &jsons {
        let value: Value = serde_json::from_str(&vector.text()).expect("JSON");
        let data = match value.get("base64") {
            Some(_) => event(&session, "terminal.output", value),
            None => event(&session, "custom", json!({"name": "n", "value": value})),
        };
        sent += 1;
        answers.push_str(&post(&client, &server.url, &[data]).await);
    }
    for vector in &texts {
        let text = vector.text();
        answers.push_str(&post(&client, &server.url, &refused(&session, &text)).await);
        let (one, two) = vector.halves();
        let simple = json!({"agentId": "nex", "thinking": vector.text(), "error": vector.text(), text: 1,
            "terminal": [{"type": "output", "content": one}, {"type": "output", "content": two}]});
        let answer = client
            .patch(format!("{}/api/agent/stream", server.url))
            .json(&simple)
            .send();
        answers.push_str(&answer.await.expect("an answer").text().await.expect("a body"));
    }
    cluster.wait_for_rows(&session, sent).await;

    let places = [
        ("the answers", answers.into_bytes()),
        ("the log", log_of(&cluster).await),
        ("Postgres", tables_of(&cluster).await.into_bytes()),
        ("what the server logged", server.log().into_bytes()),
    ];
    let mut found = Vec::new();
    for (place, bytes) in &places {
        assert!(!bytes.is_empty(), "{place} is empty");
        let said = String::from_utf8_lossy(bytes);
        for vector in texts.iter().chain(&jsons) {
            for spelling in spellings(&vector.secret()) {
                if said.contains(&spelling) {
                    found.push(format!("{spelling} is in {place}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let metrics = client.get(format!("{}/metrics", server.url)).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("a body");
    for rule in kulti_masking::rule_names() {
        let counted = format!("kulti_gateway_secrets_masked_total{{rule=\"{rule}\"}}");
        assert!(metrics.contains(&counted), "{rule} is not counted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_a_later_request_completes_is_redacted_once() {
    let cluster = Cluster::create(2).await;
    let server = Server::start(&cluster);
    let gateway = cluster.gateway().await;
    gateway.ready().await;
    let (session, secret) = (session_id(), ["ghp_aB3dE5gH7jK9", "mN1pQ3sT5vW7yZ9bC1dE3fG5"]);
    gateway
        .send(&[event(
            &session,
            "terminal.output",
            json!({"text": format!("{}\r\n", secret[0])}),
        )])
        .await;
    cluster.wait_for_rows(&session, 1).await;
    let mut live = Viewer::watch(gateway.address, &session, json!("live")).await;
    live.frame_of("caught_up").await;
    gateway
        .send(&[
            event(&session, "thought", json!({"content": "between"})),
            event(&session, "terminal.output", json!({"text": secret[1]})),
        ])
        .await;
    cluster.wait_for_rows(&session, 4).await;
    loop {
        let frame = live.frame_of("events").await;
        let events = frame["events"].as_array().expect("events");
        if events.iter().any(|event| event["kind"] == "redaction") {
            break;
        }
    }
    let tables = tables_of(&cluster).await;
    let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
    let mut frames = String::new();
    while !frames.contains("caught_up") {
        frames.push_str(&viewer.frame().await.to_string());
    }
    for part in secret {
        assert!(!tables.contains(part), "{part} is in Postgres");
        assert!(!frames.contains(part), "{part} is in {frames}");
    }
    assert!(!server.log().contains(secret[0]));
    assert_eq!(frames.matches("masked: github-token").count(), 1);
}
