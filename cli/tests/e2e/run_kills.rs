//! `kulti run` while its own process, the gateway and the network are killed at any moment: what was recorded is in
//! the session once, in order.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kulti_test_support::{Proxy, wait_until, wait_until_some};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::run::{assert_whole, events_at, printed, spooled};

/// A process; killed on drop.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Process(command.spawn().expect("kulti starts"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().expect("gone");
        }
    }
}

struct Place {
    cluster: Cluster,
    home: tempfile::TempDir,
    /// Where the gateway listens, each time anew.
    listen: String,
}

impl Place {
    fn gateway(&self) -> Process {
        let kafka = &self.cluster.topics.config;
        let mut command = Command::new(env!("CARGO_BIN_EXE_kulti"));
        command
            .args(["gateway", "--listen", &self.listen])
            .env("KULTI_KAFKA_BROKERS", &kafka.brokers)
            .env("KULTI_TOPIC_PREFIX", &kafka.topic_prefix)
            .env("KULTI_TOPIC_PARTITIONS", kafka.partitions.to_string())
            .env("KULTI_DATABASE_URL", &self.cluster.database.url)
            .env("KULTI_LOG", "error")
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        Process::start(&mut command)
    }

    async fn gateway_is_ready(&self) {
        let url = format!("http://{}/readyz", self.listen);
        wait_until("the gateway is ready", async || {
            let answer = reqwest::get(&url).await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    fn kulti_run(&self, server: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kulti"));
        command
            .args(["run", "--agent", "galileo"])
            .args(arguments)
            .env("HOME", self.home.path())
            .env("KULTI_URL", server)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// How many runs have said what they are.
fn begun(runs: &Path) -> usize {
    let folders = std::fs::read_dir(runs).into_iter().flatten().flatten();
    folders
        .filter(|folder| folder.path().join("run.json").exists())
        .count()
}

async fn runs_survive(moments: usize) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let listen = {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        port.local_addr().expect("an address").to_string()
    };
    let place = Place {
        cluster: Cluster::create(2).await,
        home: tempfile::tempdir().expect("a folder"),
        listen,
    };
    let _replay = place.cluster.replay();
    let proxy = Proxy::to(&place.listen).await;
    let server = format!("http://{}", proxy.address());
    let runs = place.home.path().join(".local/state/kulti/runs");
    let mut random = StdRng::seed_from_u64(20_261_121);
    let mut gateway = place.gateway();
    place.gateway_is_ready().await;
    let script = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.002; done";
    let start = || Process::start(&mut place.kulti_run(&server, &["--", "sh", "-c", script]));
    let mut run = start();
    let mut killed_runs = 0;
    for moment in 0..moments {
        // Killed before, it would leave no session; what earlier runs left is being sent meanwhile.
        wait_until("the run has begun", async || begun(&runs) == killed_runs + 1).await;
        let before = spooled(&runs);
        wait_until("the run records something", async || spooled(&runs) != before).await;
        sleep(Duration::from_millis(random.random_range(0..300))).await;
        match moment % 3 {
            0 => {
                run.kill();
                run = start();
                killed_runs += 1;
            }
            1 => {
                gateway.kill();
                gateway = place.gateway();
            }
            _ => {
                proxy.cut();
                sleep(Duration::from_millis(random.random_range(0..300))).await;
                proxy.resume();
            }
        }
    }
    wait_until("the run has begun", async || begun(&runs) == killed_runs + 1).await;
    run.kill();
    place.gateway_is_ready().await;
    let drained = place.kulti_run(&server, &["--drain"]).status().expect("it ends");
    assert!(drained.success());

    let sessions: Vec<String> = std::fs::read_dir(&runs)
        .expect("runs")
        .map(|entry| entry.expect("a folder").file_name().into_string().expect("text"))
        .collect();
    assert_eq!(sessions.len(), killed_runs + 1);
    for session in sessions {
        let direct = format!("http://{}", place.listen);
        let events = wait_until_some("the session has ended", async || {
            let events = events_at(&direct, &session).await;
            let ended = events
                .last()
                .is_some_and(|event| event["kind"] == "session.ended");
            ended.then_some(events)
        })
        .await;
        assert_whole(&events);
        assert_eq!(events.last().expect("one")["data"]["reason"], "runner_lost");
        let text = String::from_utf8(printed(&events)).expect("text");
        for (index, line) in text
            .split_inclusive("\r\n")
            .filter(|line| line.ends_with('\n'))
            .enumerate()
        {
            assert_eq!(line, format!("line {}\r\n", index + 1), "{session}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_survive_kills_of_runner_gateway_and_network() {
    runs_survive(6).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: `make soak`"]
async fn soak_runs_survive_a_hundred_kills_of_runner_gateway_and_network() {
    runs_survive(100).await;
}
