//! `kulti gateway`: ingest, live tail, reads and pages alone, as in a cluster.

use clap::Args;

use crate::commands::serve::listen_settings;
use crate::environment::Environment;
use crate::server::{Process, bind, check, spawn_gateway};
use crate::settings::ConfigArguments;

/// Flags of `kulti gateway`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kulti migrate && kulti topics ensure && kulti gateway --listen 0.0.0.0:8080"
)]
pub(crate) struct GatewayArguments {
    /// Where to listen [env: KULTI_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Serves until Ctrl-C; schema and topics must be there.
pub(crate) async fn run(arguments: GatewayArguments, environment: &Environment) -> anyhow::Result<()> {
    let settings = listen_settings(arguments.listen, &arguments.config, environment)?;
    let listener = bind(settings.listen()?).await?;
    let process = Process::start(settings)?;
    check(&process.settings.database()?, &process.kafka).await?;
    spawn_gateway(&process, listener)?;
    process.run().await
}
