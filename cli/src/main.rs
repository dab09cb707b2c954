//! `kulti`, the one executable: every role of the server, and the client for the terminal.
//!
//! Owns the command line, exit codes and what a terminal sees. What the roles do lives in their crates.
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C. A reader that closes our
//! standard output early (`| head`) is no failure.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod agent_follower;
mod args;
mod client;
mod commands;
mod demo;
mod environment;
mod event_line;
mod event_text;
mod failure;
mod hook_settings;
mod import;
mod output;
mod pacing;
mod player;
mod redaction;
mod rendering;
mod server;
mod session_events;
mod session_list;
mod settings;
mod state;
mod terminal_text;
mod watch_client;
mod watch_socket;

use std::process::ExitCode;

use clap::Parser;

use crate::environment::Environment;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    // Once per process: reqwest is built without a provider of its own.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        output::note("another TLS provider is in place already");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(commands::run(arguments.command, Environment::of_process()));
    // A thread that still waits for standard input must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, text) = failure::exit_code(&error);
            if let Some(text) = text {
                output::note(&text);
            }
            ExitCode::from(code)
        }
    }
}
