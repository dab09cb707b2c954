//! The commands, a file each.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod database;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod replay;
pub(crate) mod send;
pub(crate) mod sessions;
pub(crate) mod tail;

use crate::args::Command;
use crate::environment::Environment;
use crate::failure::Failure;

/// Runs a command. Ctrl-C ends what only reads or sends; the roles of the server stop in order by themselves.
pub(crate) async fn run(command: Command, environment: Environment) -> anyhow::Result<()> {
    interruptible(run_client(command, &environment)).await
}

async fn run_client(command: Command, environment: &Environment) -> anyhow::Result<()> {
    match command {
        Command::Send(arguments) => send::run(arguments, environment).await,
        Command::Sessions(arguments) => sessions::run(arguments, environment).await,
        Command::Tail(arguments) => tail::run(arguments, environment).await,
        Command::Replay(arguments) => replay::run(arguments, environment).await,
        Command::Login(arguments) => login::run(arguments, environment).await,
        Command::Keys(arguments) => keys::run(arguments, environment).await,
        Command::Config(arguments) => config::run(&arguments, environment),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

async fn interruptible(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::select! {
        result = command => result,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            Err(Failure::Interrupted.into())
        }
    }
}
