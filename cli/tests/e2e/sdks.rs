//! The SDKs' own suites and the example agents, against a real Kulti. `dev/sdk` makes the folder that they run from.

use std::path::{Path, PathBuf};
use std::process::Output;

use kulti_test_support::wait_until_some;
use serde_json::Value;
use tokio::process::Command;

use crate::cluster::{Cluster, Gateway, ReplayConsumer};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program that `dev/sdk` installed.
fn tool(name: &str) -> PathBuf {
    installed("sdk", name)
}

/// A program that `dev/<by>` installed.
pub(crate) fn installed(by: &str, name: &str) -> PathBuf {
    let path = repository().join(format!(".stack/{by}/bin")).join(name);
    assert!(
        path.exists(),
        "{} is not there: run dev/{by} first, as `make test` does",
        path.display()
    );
    path
}

/// What a suite in another language needs to run a Kulti of its own, which it may kill.
pub(crate) fn suite(cluster: &Cluster, program: PathBuf, folder: &str) -> Command {
    let kafka = &cluster.topics.config;
    let mut command = Command::new(program);
    command
        .current_dir(repository().join(folder))
        .env("KULTI_TEST_BINARY", env!("CARGO_BIN_EXE_kulti"))
        .env("KULTI_KAFKA_BROKERS", &kafka.brokers)
        .env("KULTI_TOPIC_PREFIX", &kafka.topic_prefix)
        .env("KULTI_TOPIC_PARTITIONS", kafka.partitions.to_string())
        .env("KULTI_DATABASE_URL", &cluster.database.url)
        .kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Output {
    let output = command.output().await.expect("it runs");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_keeps_its_promises() {
    let cluster = Cluster::create(2).await;
    let output = run(suite(&cluster, tool("python"), "sdk/python").args(["-m", "pytest"])).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains(" passed") && !told.contains("skipped"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_sdk_keeps_its_promises() {
    let cluster = Cluster::create(2).await;
    run_node_tests(&mut suite(&cluster, tool("node"), "sdk/typescript")).await;
}

/// Node's own test runner: all pass, none is skipped, and there are some.
pub(crate) async fn run_node_tests(node: &mut Command) {
    let output = run(node.args(["--test", "--test-reporter=tap"])).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("# fail 0") && told.contains("# skipped 0") && !told.contains("# pass 0"),
        "{told}"
    );
}

/// A gateway for the examples, which only know its address.
struct Stage {
    gateway: Gateway,
    _replay: ReplayConsumer,
    _cluster: Cluster,
    /// A folder with two files of three lines together.
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Stage {
        let cluster = Cluster::create(1).await;
        let gateway = cluster.gateway().await;
        let replay = cluster.replay();
        gateway.ready().await;
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [("one.txt", "a\nb\n"), ("two.txt", "c\n")] {
            std::fs::write(folder.path().join(name), content).expect("a file");
        }
        Stage {
            gateway,
            _replay: replay,
            _cluster: cluster,
            folder,
        }
    }

    /// Runs an agent on the folder; its session's events once it has ended.
    async fn session_of(&self, agent: &str, command: &mut Command) -> Vec<Value> {
        let url = self.gateway.url("");
        run(command.arg(self.folder.path()).env("KULTI_URL", url)).await;
        wait_until_some(&format!("the session of {agent}"), async || {
            let sessions = self.get(&format!("/v1/sessions?agent={agent}")).await;
            let id = sessions["items"].get(0)?["id"].as_str()?.to_owned();
            let events = self.get(&format!("/v1/sessions/{id}/events?limit=1000")).await;
            let events = events["items"].as_array()?.clone();
            (events.last()?["kind"] == "session.ended").then_some(events)
        })
        .await
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.gateway.client.get(self.gateway.url(path)).send();
        request.await.expect("an answer").json().await.expect("JSON")
    }
}

/// Whether what the agents count is in the session, and that it has a beginning.
fn assert_counted(events: &[Value], count: &str) {
    assert_eq!(events[0]["kind"], "session.started");
    let told: Vec<String> = events.iter().map(|event| event["data"].to_string()).collect();
    assert!(told.iter().any(|data| data.contains(count)), "{told:#?}");
}

fn example(name: &str) -> PathBuf {
    let path = repository().join("examples").join(name);
    let text = std::fs::read_to_string(&path).expect("an example");
    assert!(text.lines().count() < 40, "{name} has 40 lines or more");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_and_the_curl_example_stream_a_session() {
    let stage = Stage::set().await;
    let mut python = Command::new(tool("python"));
    let events = stage
        .session_of("counter-py", python.arg(example("agent.py")))
        .await;
    assert_counted(&events, "2 files have 3 lines.");
    let mut shell = Command::new("sh");
    let events = stage.session_of("nex", shell.arg(example("curl.sh"))).await;
    assert_counted(&events, "Plain HTML is enough here.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_example_passes_the_compiler_and_streams_a_session() {
    let stage = Stage::set().await;
    // As an agent's project has it: the package under node_modules, and the compiler's strictest settings.
    let project = tempfile::tempdir().expect("a folder");
    let sdk = repository().join("sdk/typescript");
    let modules = project.path().join("node_modules");
    std::fs::create_dir_all(modules.join("@types")).expect("a folder");
    let link = |from: PathBuf, to: PathBuf| {
        std::os::unix::fs::symlink(from.canonicalize().expect("it is there"), to).expect("a link");
    };
    link(sdk.clone(), modules.join("kulti"));
    link(sdk.join("node_modules/@types/node"), modules.join("@types/node"));
    link(
        sdk.join("node_modules/undici-types"),
        modules.join("undici-types"),
    );
    std::fs::write(project.path().join("package.json"), r#"{"type": "module"}"#).expect("a file");
    std::fs::copy(example("agent.ts"), project.path().join("agent.ts")).expect("a copy");
    let mut compiler = Command::new(tool("node"));
    compiler
        .current_dir(project.path())
        .arg(sdk.join("node_modules/typescript/bin/tsc"))
        .args(["--strict", "--target", "es2022", "--module", "nodenext"])
        .args(["--types", "node", "agent.ts"]);
    run(&mut compiler).await;
    let mut node = Command::new(tool("node"));
    let events = stage
        .session_of("counter-ts", node.arg(project.path().join("agent.js")))
        .await;
    assert_counted(&events, "2 files have 3 lines.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_and_the_go_example_stream_a_session() {
    let stage = Stage::set().await;
    example("agent.rs");
    let built = Path::new(env!("CARGO_BIN_EXE_kulti")).with_file_name("examples/agent");
    assert!(
        built.exists(),
        "first `cargo build -p kulti --example agent`, as `make test` does"
    );
    let events = stage.session_of("counter-rs", &mut Command::new(built)).await;
    assert_counted(&events, "3 lines");
    let mut go = Command::new("go");
    let events = stage
        .session_of(
            "counter-go",
            go.env("CGO_ENABLED", "0").arg("run").arg(example("agent.go")),
        )
        .await;
    assert_counted(&events, "3 lines in 2 files.");
}
