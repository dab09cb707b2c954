//! `kulti serve`: every role in one process.

use clap::Args;

use crate::environment::Environment;
use crate::server::{Process, Role, bind, reachable_url, set_up, spawn_consumer, spawn_gateway, spawn_life};
use crate::settings::{ConfigArguments, Settings};
use crate::state::{Folders, RunningServer};

/// Flags of `kulti serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti serve\n  kulti serve --listen 0.0.0.0:8080 --set kafka.brokers=kafka:9092"
)]
pub(crate) struct ServeArguments {
    /// Where to listen [env: KULTI_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
}

/// The settings with `--listen`.
pub(crate) fn listen_settings(
    listen: Option<String>,
    config: &ConfigArguments,
    environment: &Environment,
) -> anyhow::Result<Settings> {
    Settings::load(config, &[("listen", "--listen", listen)], environment)
}

/// Migrates, makes the topics and serves until Ctrl-C.
pub(crate) async fn run(arguments: ServeArguments, environment: &Environment) -> anyhow::Result<()> {
    let settings = listen_settings(arguments.listen, &arguments.config, environment)?;
    let listener = bind(settings.listen()?).await?;
    let url = reachable_url(listener.local_addr()?);
    let process = Process::start(settings)?;
    set_up(&process.settings.database()?, &process.kafka).await?;
    spawn_gateway(&process, listener)?;
    spawn_consumer(&process, Role::Replay)?;
    spawn_life(&process)?;
    let record = RecordedServer::record(
        RunningServer {
            url,
            ..RunningServer::here()
        },
        environment,
    );
    let result = process.run().await;
    drop(record);
    result
}

/// Tells the clients of this user where the server is, for as long as it runs.
pub(crate) struct RecordedServer {
    folders: Folders,
}

impl RecordedServer {
    /// Clients can be told by KULTI_URL as well: a state folder that cannot be written stops nothing.
    pub(crate) fn record(server: RunningServer, environment: &Environment) -> Self {
        let folders = Folders::of(environment);
        if let Err(error) = folders.record_server(&server) {
            tracing::warn!(
                "{error:#}: clients here find this server only by KULTI_URL={}",
                server.url
            );
        }
        RecordedServer { folders }
    }
}

impl Drop for RecordedServer {
    fn drop(&mut self) {
        self.folders.forget_server(std::process::id());
    }
}
