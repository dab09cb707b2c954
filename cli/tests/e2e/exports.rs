//! `kulti export` against a real server: what it writes is what the session's rows say.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;
use uuid::Uuid;

use crate::cluster::{Cluster, Gateway, ReplayConsumer};

struct Stage {
    gateway: Gateway,
    _replay: ReplayConsumer,
    cluster: Cluster,
    session: String,
    home: tempfile::TempDir,
}

impl Stage {
    async fn with_events(count: usize) -> Self {
        let cluster = Cluster::create(2).await;
        let gateway = cluster.gateway().await;
        let replay = cluster.replay();
        gateway.ready().await;
        let session = Uuid::now_v7().to_string();
        let event = |index| {
            let data = json!({"content": format!("thought {index}")});
            json!({"id": Uuid::now_v7(), "session": session, "agent": "nex", "kind": "thought", "data": data})
        };
        gateway.send(&(0..count).map(event).collect::<Vec<_>>()).await;
        cluster.wait_for_rows(&session, count as i64).await;
        Stage {
            gateway,
            _replay: replay,
            cluster,
            session,
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    async fn kulti(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_kulti"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("KULTI_URL", self.gateway.url(""))
            .current_dir(self.home.path())
            .output()
            .await
            .expect("it runs")
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    names.filter(|name| name.contains("out")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn export_writes_what_the_rows_say_to_a_file_and_to_standard_output() {
    let stage = Stage::with_events(500).await;
    let printed = stage.kulti(&["export", &stage.session]).await;
    assert!(printed.status.success(), "{printed:?}");
    let seen: Vec<(i64, String)> = String::from_utf8_lossy(&printed.stdout)
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (
                event["position"].as_i64().expect("a position"),
                event["id"].as_str().expect("an id").to_owned(),
            )
        })
        .collect();
    assert_eq!(seen, stage.cluster.rows(&stage.session).await);

    let written = stage.kulti(&["export", &stage.session, "-o", "out.ndjson"]).await;
    assert!(
        written.status.success() && written.stdout.is_empty(),
        "{written:?}"
    );
    let file = std::fs::read(stage.home.path().join("out.ndjson")).expect("a file");
    assert_eq!(file, printed.stdout);
    assert_eq!(names(stage.home.path()), ["out.ndjson"]);

    let part = stage
        .kulti(&[
            "export",
            &stage.session,
            "--from",
            "10",
            "--to",
            "19",
            "--format",
            "ndjson",
        ])
        .await;
    assert_eq!(String::from_utf8_lossy(&part.stdout).lines().count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_fails_says_why_and_leaves_no_file() {
    let stage = Stage::with_events(3).await;
    for (arguments, reason) in [
        (vec!["export", "nowhere", "-o", "out.md"], "not_found"),
        (
            vec!["export", &stage.session, "-o", "out.md", "--from", "soon"],
            "invalid_parameter, from",
        ),
        (
            vec!["export", &stage.session, "-o", "missing/out.md"],
            "cannot write",
        ),
    ] {
        let output = stage.kulti(&arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{said}");
    }
    sqlx::query("delete from events where session_id = $1 and position = 2")
        .bind(&stage.session)
        .execute(&stage.cluster.database.pool)
        .await
        .expect("a hole");
    let output = stage
        .kulti(&["export", &stage.session, "-o", "out.md", "-f", "markdown"])
        .await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("changed while it was exported"), "{said}");
    assert_eq!(names(stage.home.path()), Vec::<String>::new());
}
