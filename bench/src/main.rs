//! `kulti-bench`: what Kulti costs beside what the bare thing costs on the same machine, in one run.
//!
//! Never asserts a speed: it exits with 0 whatever the ratios are, and with 1 if the work itself was not done (an
//! event that is missing, a position out of order). docs/performance.md says what is measured and how.

mod child;
mod events;
mod limits;
mod machine;
mod process;
mod report;
mod roles;
mod spread;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::limits::Limits;
use crate::report::Report;
use crate::roles::Role;

/// Kulti beside the physical limits of this machine
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  make bench\n  make bench B=--quick\n  make bench B='fan-out --rounds 9'\n\n\
    Limits: ingest, projection, replay, catch-up, fan-out, memory"
)]
struct Arguments {
    /// Only the limits whose name contains this
    filter: Option<String>,
    /// Few and short rounds: to see whether it works, not for figures
    #[arg(long)]
    quick: bool,
    /// Rounds after the warm-up
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    #[command(subcommand)]
    role: Option<RoleCommand>,
}

/// One contender or load in a process of its own, so that its processor time can be told apart.
#[derive(Debug, Subcommand)]
enum RoleCommand {
    #[command(hide = true)]
    Role {
        role: Role,
        /// What it is told, as JSON.
        spec: String,
    },
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    quick: bool,
}

impl Effort {
    /// `usual`, or `quick` for a look.
    fn choose<T>(self, usual: T, quick: T) -> T {
        if self.quick { quick } else { usual }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.role {
        Some(RoleCommand::Role { role, spec }) => roles::run(role, &spec),
        None => measure(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let effort = Effort {
        rounds: arguments
            .rounds
            .unwrap_or(if arguments.quick { 2 } else { 5 })
            .max(1),
        quick: arguments.quick,
    };
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let limits = Limits::matching(filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut report = Report::begin(effort.rounds);
        tokio::select! {
            measured = limits.run(effort, &mut report) => measured?,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
        report.print();
        Ok(())
    })
}
