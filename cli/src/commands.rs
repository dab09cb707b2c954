//! The commands, a file each.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod gateway;
pub(crate) mod hooks;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod rebuild;
pub(crate) mod redact;
pub(crate) mod replay;
pub(crate) mod resend;
pub(crate) mod run;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod tail;
pub(crate) mod topics;

use crate::args::Command;
use crate::environment::Environment;
use crate::failure::Failure;

/// Runs a command. Ctrl-C ends what only reads or sends; the roles of the server stop in order by themselves.
pub(crate) async fn run(command: Command, environment: Environment) -> anyhow::Result<()> {
    let environment = &environment;
    match command {
        Command::Serve(arguments) => serve::run(arguments, environment).await,
        Command::Gateway(arguments) => gateway::run(arguments, environment).await,
        Command::Consume(arguments) => consume::run(arguments, environment).await,
        Command::Demo(arguments) => demo::run(arguments, environment).await,
        // Ctrl-C is the command's.
        Command::Run(arguments) => run::run(arguments, environment).await,
        other => interruptible(run_short(other, environment)).await,
    }
}

async fn run_short(command: Command, environment: &Environment) -> anyhow::Result<()> {
    match command {
        Command::Migrate(arguments) => migrate::run(arguments, environment).await,
        Command::Doctor(arguments) => doctor::run(arguments, environment).await,
        Command::Topics(arguments) => topics::run(arguments, environment).await,
        Command::Send(arguments) => send::run(arguments, environment).await,
        Command::Sessions(arguments) => sessions::run(arguments, environment).await,
        Command::Tail(arguments) => tail::run(arguments, environment).await,
        Command::Replay(arguments) => replay::run(arguments, environment).await,
        Command::Export(arguments) => export::run(arguments, environment).await,
        Command::Import(arguments) => import::run(arguments, environment).await,
        Command::Hooks(arguments) => hooks::run(arguments, environment).await,
        Command::Resend(arguments) => resend::run(arguments, environment).await,
        Command::Rebuild(arguments) => rebuild::run(arguments, environment).await,
        Command::Redact(arguments) => redact::run(arguments, environment).await,
        Command::Erase(arguments) => erase::run(arguments, environment).await,
        Command::Login(arguments) => login::run(arguments, environment).await,
        Command::Keys(arguments) => keys::run(arguments, environment).await,
        Command::Config(arguments) => config::run(&arguments, environment),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Serve(_)
        | Command::Gateway(_)
        | Command::Consume(_)
        | Command::Demo(_)
        | Command::Run(_) => Ok(()),
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
