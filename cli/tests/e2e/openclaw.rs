//! The OpenClaw plugin's own suite: the real OpenClaw with the plugin installed, against a real Kulti. `dev/openclaw`
//! installs what it runs from.

use crate::cluster::Cluster;
use crate::sdks::{installed, run_node_tests, suite};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openclaw_plugin_keeps_its_promises() {
    let cluster = Cluster::create(2).await;
    run_node_tests(&mut suite(
        &cluster,
        installed("openclaw", "node"),
        "integrations/openclaw",
    ))
    .await;
}
