//! `kulti consume`: consumers alone, as in a cluster.

use clap::Args;

use crate::environment::Environment;
use crate::server::{Process, Role, check, spawn_consumer, spawn_life};
use crate::settings::{ConfigArguments, Settings};

/// Flags of `kulti consume`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kulti consume replay")]
pub(crate) struct ConsumeArguments {
    /// Which
    #[arg(required = true, value_name = "NAME")]
    roles: Vec<Role>,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Consumes until Ctrl-C; schema and topics must be there.
pub(crate) async fn run(mut arguments: ConsumeArguments, environment: &Environment) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config, &[], environment)?;
    let process = Process::start(settings)?;
    check(&process.settings.database()?, &process.kafka).await?;
    arguments.roles.sort_by_key(|role| *role as u8);
    arguments.roles.dedup();
    for role in arguments.roles {
        spawn_consumer(&process, role)?;
    }
    spawn_life(&process)?;
    process.run().await
}
