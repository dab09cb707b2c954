//! `kulti migrate`: the database's schema.

use clap::Args;

use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::print_line;
use crate::server::{migrate, pending_migrations};
use crate::settings::{ConfigArguments, Settings};

/// Flags of `kulti migrate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kulti migrate\n  kulti migrate --check")]
pub(crate) struct MigrateArguments {
    /// Change nothing; fail if something is missing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Applies what is missing and prints it.
pub(crate) async fn run(arguments: MigrateArguments, environment: &Environment) -> anyhow::Result<()> {
    let database = Settings::load(&arguments.config, &[], environment)?.database()?;
    if arguments.check {
        let pending = pending_migrations(&database).await?;
        for migration in &pending {
            print_line(format!("missing {migration}"))?;
        }
        return if pending.is_empty() {
            Ok(())
        } else {
            Err(Failure::Reported.into())
        };
    }
    let applied = migrate(&database).await?;
    for migration in &applied {
        print_line(format!("applied {migration}"))?;
    }
    if applied.is_empty() {
        print_line(format!("the schema at {database} is as it should be"))?;
    }
    Ok(())
}
