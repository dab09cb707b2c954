//! `kulti completions`: the completion script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Arguments;
use crate::output::print_bytes;

/// Flags of `kulti completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kulti completions bash > ~/.local/share/bash-completion/completions/kulti"
)]
pub(crate) struct CompletionsArguments {
    /// For which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(arguments: &CompletionsArguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "kulti", &mut script);
    Ok(print_bytes(&script)?)
}
