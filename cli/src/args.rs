//! The command line: one variant per command; each command's own flags are in its file.

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// The live stage and flight recorder for AI agents.
///
/// Configuration: flags win over KULTI_* environment variables, and these over the file kulti.toml (`kulti config`
/// prints what is in force). Clients find their server by --url, KULTI_URL, the server that `kulti serve` recorded
/// here, or http://127.0.0.1:8080, and their key in KULTI_API_KEY or where `kulti login` stored it.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; of `run`, the command's own.
#[derive(Debug, Parser)]
#[command(
    name = "kulti",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true
)]
#[command(arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  kulti demo                     the example sessions, live\n  kulti tail --agent nex         what nex does now\n  kulti replay SESSION --speed 4 and what it did"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role of the server in this process
    Serve(commands::serve::ServeArguments),
    /// Run the gateway alone, as in a cluster
    Gateway(commands::gateway::GatewayArguments),
    /// Run consumers alone, as in a cluster
    Consume(commands::consume::ConsumeArguments),
    /// Bring the database's schema up to date
    Migrate(commands::migrate::MigrateArguments),
    /// Make, check and list the topics; take up a log that was cut
    Topics(commands::topics::TopicsArguments),
    /// Serve, and stream the example sessions as live agents
    Demo(commands::demo::DemoArguments),
    /// Run any command, live and recorded
    Run(commands::run::RunArguments),
    /// Send events: one, or NDJSON from standard input
    Send(commands::send::SendArguments),
    /// Take in what Claude Code, Codex and asciinema recorded
    Import(commands::import::ImportArguments),
    /// Follow every session of Claude Code on this machine
    Hooks(commands::hooks::HooksArguments),
    /// List sessions, live ones first
    Sessions(commands::sessions::SessionsArguments),
    /// Watch a session, or whatever an agent does, as it happens
    Tail(commands::tail::TailArguments),
    /// Watch a recorded session again
    Replay(commands::replay::ReplayArguments),
    /// Take a session away as a file
    Export(commands::export::ExportArguments),
    /// Send a recorded session again, to this or another server, as a new one
    Resend(commands::resend::ResendArguments),
    /// Fold the rows anew from the log, and mend those that differ
    Rebuild(commands::rebuild::RebuildArguments),
    /// Hide parts of a session, for everybody and for good
    Redact(commands::redact::RedactArguments),
    /// Erase a session
    Erase(commands::erase::EraseArguments),
    /// Store the key for a server
    Login(commands::login::LoginArguments),
    /// Make, list and revoke API keys
    Keys(commands::keys::KeysArguments),
    /// Check everything a server needs, and say how to mend it
    Doctor(commands::doctor::DoctorArguments),
    /// Print the settings in force, and where each comes from
    Config(commands::config::ConfigCommandArguments),
    /// Print the completion script for a shell
    Completions(commands::completions::CompletionsArguments),
}

/// Which server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArguments {
    /// The server [env: KULTI_URL] [default: the one that runs here]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}
