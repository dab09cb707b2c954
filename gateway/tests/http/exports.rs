//! Sessions taken away as files: each is compared with the rows that it is made of.

use chrono::{DateTime, Utc};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, body, gateway, problem, send};

async fn export(gateway: &Gateway, query: &str) -> String {
    let answer = send(gateway.get(&format!("/v1/sessions/s/export?{query}"))).await;
    assert_eq!(answer.status(), 200, "{query}");
    answer.text().await.expect("a whole file")
}

fn positions(ndjson: &str) -> Vec<i64> {
    let events = ndjson
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter_map(|event| event["position"].as_i64()).collect()
}

/// A session whose events are a second apart.
async fn with_events(count: i64) -> Gateway {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    sqlx::query(
        "with written as (
             insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
             select 's', n, id, 'nex', 'thought', 'agent', c, c, c, json_build_object('content', n::text)
             from (select n, id, '2026-01-31T12:00:00Z'::timestamptz + make_interval(secs => n - 1)
                   from unnest($1::uuid[]) with ordinality as given (id, n)) as events (n, id, c))
         update sessions set position = $2, started_at = '2026-01-31T12:00:00Z' where id = 's'",
    )
    .bind((0..count).map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(count)
    .execute(&gateway.database.pool)
    .await
    .expect("events");
    gateway
}

#[tokio::test]
async fn ndjson_is_the_events_as_every_route_gives_them() {
    let gateway = with_events(2500).await;
    let exported = export(&gateway, "format=ndjson").await;
    let mut lines = exported.lines();
    let mut after = 0;
    loop {
        let path = format!("/v1/sessions/s/events?limit=1000&after={after}");
        let page = body(send(gateway.get(&path)).await).await;
        let items = page["items"].as_array().expect("items").clone();
        for item in &items {
            let line: Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
            assert_eq!(&line, item);
        }
        after += items.len();
        if items.is_empty() {
            break;
        }
    }
    assert_eq!((after, lines.next()), (2500, None));
}

#[tokio::test]
async fn an_export_says_what_it_is_and_how_it_may_be_called() {
    let gateway = with_events(3).await;
    for (format, content_type, name) in [
        ("", "application/x-ndjson", "s.ndjson"),
        ("format=ndjson", "application/x-ndjson", "s.ndjson"),
        ("format=asciicast", "application/x-asciicast", "s.cast"),
        ("format=markdown", "text/markdown; charset=utf-8", "s.md"),
        ("format=parquet", "application/vnd.apache.parquet", "s.parquet"),
    ] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/export?{format}"))).await;
        assert_eq!(answer.headers()[CONTENT_TYPE], content_type);
        assert_eq!(
            answer.headers()[CONTENT_DISPOSITION],
            format!("attachment; filename=\"{name}\"")
        );
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    let answer = send(gateway.get("/v1/sessions/s/export?format=docx")).await;
    assert_eq!(problem(answer).await, (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn a_part_begins_and_ends_where_it_is_told() {
    let gateway = with_events(60).await;
    let id = |position: i64| {
        let pool = gateway.database.pool.clone();
        async move {
            let id =
                sqlx::query_scalar("select event_id from events where session_id = 's' and position = $1");
            id.bind(position)
                .fetch_one(&pool)
                .await
                .map(|id: Uuid| id.to_string())
                .expect("an id")
        }
    };
    let (tenth, twentieth) = (id(10).await, id(20).await);
    let clip = Uuid::now_v7();
    gateway
        .insert_event("s", 61, "clip", json!({"from": tenth, "to": twentieth}))
        .await;
    sqlx::query("update events set event_id = $1 where session_id = 's' and position = 61")
        .bind(clip)
        .execute(&gateway.database.pool)
        .await
        .expect("the clip's id");
    for (query, first, last) in [
        ("from=10&to=20".to_owned(), 10, 20),
        (format!("from={tenth}&to={twentieth}"), 10, 20),
        (format!("from={clip}"), 10, 20),
        ("from=9s&to=19s".to_owned(), 10, 20),
        ("from=8.5s&to=19.5s".to_owned(), 10, 20),
        (
            "from=2026-01-31T12:00:09Z&to=2026-01-31T12:00:19Z".to_owned(),
            10,
            20,
        ),
        ("from=0s&to=0s".to_owned(), 1, 1),
        ("from=0&to=2".to_owned(), 1, 2),
        ("from=60&to=live".to_owned(), 60, 61),
        ("to=1".to_owned(), 1, 1),
        ("from=20&to=10".to_owned(), 1, 0),
        ("from=1h".to_owned(), 61, 61),
        ("from=99999h".to_owned(), 1, 0),
    ] {
        let expected: Vec<i64> = (first..=last).collect();
        assert_eq!(positions(&export(&gateway, &query).await), expected, "{query}");
    }
    for (query, field) in [("from=soon", "from"), ("to=x", "to")] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/export?{query}"))).await;
        assert_eq!(body(answer).await["field"], field);
    }
    let nowhere = format!("/v1/sessions/s/export?to={}", Uuid::now_v7());
    assert_eq!(body(send(gateway.get(&nowhere)).await).await["field"], "to");
}

#[tokio::test]
async fn an_export_that_cannot_go_on_is_cut_off_and_never_looks_complete() {
    let gateway = with_events(5000).await;
    sqlx::query("delete from events where session_id = 's' and position = 4000")
        .execute(&gateway.database.pool)
        .await
        .expect("a hole");
    for format in ["ndjson", "asciicast", "markdown", "html", "parquet"] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/export?format={format}"))).await;
        if answer.status() == 200 {
            assert!(answer.bytes().await.is_err(), "{format}");
        } else {
            // Of Parquet nothing is sent before a group is complete.
            assert_eq!(problem(answer).await, (503, "busy".to_owned()));
        }
    }
}

#[derive(sqlx::FromRow)]
struct TableRow {
    position: i64,
    event_id: Uuid,
    clock: DateTime<Utc>,
    data: String,
    seq: Option<i64>,
    cause: Option<Uuid>,
    raw: Option<String>,
}

#[tokio::test]
async fn parquet_has_a_row_for_each_event_as_the_table_has_it() {
    let gateway = with_events(2500).await;
    let cause = Uuid::now_v7();
    sqlx::query(
        "update events set cause = $1, producer = 'p', generation = 1, seq = position, raw = 'a line',
            attributes = '{\"a\": \"b\"}', data = json_build_object('content', repeat('é', 20000))
         where session_id = 's' and position % 2 = 0",
    )
    .bind(cause)
    .execute(&gateway.database.pool)
    .await
    .expect("changed rows");
    let answer = send(gateway.get("/v1/sessions/s/export?format=parquet")).await;
    let file = SerializedFileReader::new(answer.bytes().await.expect("a whole file")).expect("Parquet");
    assert!(
        file.num_row_groups() > 2,
        "written in groups: {}",
        file.num_row_groups()
    );
    let rows: Vec<Value> = file
        .get_row_iter(None)
        .expect("rows")
        .map(|row| {
            let row = row.expect("a row");
            let value = |field: &Field| match field {
                Field::Null => Value::Null,
                Field::Str(text) => json!(text),
                Field::Long(number) | Field::TimestampMicros(number) => json!(number),
                other => panic!("no such field: {other:?}"),
            };
            row.get_column_iter()
                .map(|(name, field)| (name.clone(), value(field)))
                .collect()
        })
        .collect();
    let expected: Vec<TableRow> = sqlx::query_as(
        "select position, event_id, clock, data::text as data, seq, cause, raw from events where session_id = 's'
             order by position",
    )
    .fetch_all(&gateway.database.pool)
    .await
    .expect("rows");
    assert_eq!(rows.len(), expected.len());
    for (row, table) in rows.iter().zip(expected) {
        assert_eq!(
            (&row["session_id"], &row["position"], &row["event_id"]),
            (&json!("s"), &json!(table.position), &json!(table.event_id))
        );
        assert_eq!(
            (&row["agent_id"], &row["kind"]),
            (&json!("nex"), &json!("thought"))
        );
        assert_eq!(row["clock"], table.clock.timestamp_micros());
        let same = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap_or_default()).ok();
        assert_eq!(same(&row["data"]), serde_json::from_str(&table.data).ok());
        assert_eq!(
            (&row["seq"], &row["cause"], &row["raw"]),
            (&json!(table.seq), &json!(table.cause), &json!(table.raw))
        );
        let attributes = if table.seq.is_some() {
            json!("{\"a\":\"b\"}")
        } else {
            Value::Null
        };
        assert_eq!(row["attributes"], attributes);
    }
    let empty = send(gateway.get("/v1/sessions/s/export?format=parquet&from=9&to=8")).await;
    let empty = SerializedFileReader::new(empty.bytes().await.expect("a file")).expect("Parquet");
    assert_eq!(empty.metadata().file_metadata().num_rows(), 0);
}

#[tokio::test]
async fn a_transcript_folds_deltas_and_output_and_keeps_what_is_said_in_its_place() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    sqlx::query("update sessions set title = 'Count *stars*', agent_name = 'Galileo' where id = 's'")
        .execute(&gateway.database.pool)
        .await
        .expect("a title");
    let events = [
        ("session.started", json!({"title": "Count *stars*"})),
        (
            "message.delta",
            json!({"message": "m", "index": 0, "text": "I will "}),
        ),
        (
            "message.delta",
            json!({"message": "m", "index": 1, "text": "count"}),
        ),
        ("terminal.command", json!({"command": "count --all"})),
        ("terminal.output", json!({"text": "\u{1b}[32mone\u{1b}[0m\r\ntw"})),
        ("terminal.output", json!({"base64": "b1wKYGBgCg=="})),
        (
            "message.completed",
            json!({"message": "m", "role": "assistant", "content": "I will count.\n\n```\nfor star"}),
        ),
        (
            "message.delta",
            json!({"message": "n", "index": 0, "text": "never ended"}),
        ),
        (
            "code.changed",
            json!({"path": "a`b.rs", "action": "edit", "patch": "@@ -1 +1 @@\n-```\n+````\n"}),
        ),
        (
            "thought",
            json!({"content": "<script>alert(1)</script>", "type": "decision"}),
        ),
        ("marker", json!({"label": "# half *way*"})),
    ];
    for (index, (kind, data)) in events.into_iter().enumerate() {
        gateway.insert_event("s", index as i64 + 1, kind, data).await;
    }
    let text = export(&gateway, "format=markdown").await;
    assert!(
        text.starts_with("# Count \\*stars\\*\n\n- Agent: Galileo\n"),
        "{text}"
    );
    for part in [
        "· command\n\n```console\n$ count --all\n```\n",
        "· output\n\n````text\none\ntwo\\\n```\n````\n",
        "· assistant\n\n> I will count.\n>\n> ```\n> for star\n",
        "· edit ``a`b.rs``\n\n`````diff\n@@ -1 +1 @@\n-```\n+````\n`````\n",
        "· thought: decision\n\n> &lt;script>alert(1)&lt;/script>\n",
        "· ⚑ \\# half \\*way\\*\n",
        "· assistant \\(unfinished\\)\n\n> never ended\n",
    ] {
        assert!(
            text.contains(&part.replace("\\(", "(").replace("\\)", ")")),
            "{part}\n--- is not in\n{text}"
        );
    }
    assert_eq!(text.matches("I will count").count(), 1, "{text}");
}
