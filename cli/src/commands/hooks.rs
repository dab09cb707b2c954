//! `kulti hooks`: every session of Claude Code on this machine, without `kulti run`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::args::ServerArguments;
use crate::client::{connect, key_for, parse_url};
use crate::environment::Environment;
use crate::hook_settings::{KEY_VARIABLE, http_hook, installed, uninstalled};
use crate::output::{confirm, note, print_line};

/// What `kulti hooks` does.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti hooks install\n  kulti hooks install --project --agent shop\n  kulti hooks uninstall\n\n\
    Sessions that begin afterwards are followed: calls and results, questions, prompts and answers. `kulti run -- claude` follows \
    one session and tells more, its screen and thoughts too; use one or the other."
)]
pub(crate) struct HooksArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let Claude Code tell the server what it does; shows what changes in its settings first
    Install {
        /// The agent [default: the folder that Claude Code works in]
        #[arg(long, short)]
        agent: Option<String>,
        #[command(flatten)]
        server: ServerArguments,
        #[command(flatten)]
        target: Target,
    },
    /// Take that out of its settings again
    Uninstall(Target),
    /// What `kulti run` lets hooks call
    #[command(hide = true)]
    Relay { socket: PathBuf },
}

/// Whose settings.
#[derive(Debug, Args)]
struct Target {
    /// This project's own settings, which are not committed, instead of the user's
    #[arg(long, conflicts_with = "settings")]
    project: bool,
    /// This file
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Changes the settings, once its owner has seen how.
pub(crate) async fn run(arguments: HooksArguments, environment: &Environment) -> anyhow::Result<()> {
    match arguments.action {
        Action::Install {
            agent,
            server,
            target,
        } => {
            let client = connect(server.url.as_deref(), environment).await?;
            let has_key = key_for(&parse_url(client.base())?, environment)?.is_some();
            let hook = http_hook(client.base(), agent.as_deref(), has_key);
            let change = |settings: &str| installed(settings, &hook);
            if target.change(environment, change).await? && has_key && environment.get(KEY_VARIABLE).is_none()
            {
                note(&format!(
                    "The key is read from {KEY_VARIABLE} when Claude Code runs: export it in your shell's profile."
                ));
            }
            Ok(())
        }
        Action::Uninstall(target) => target.change(environment, uninstalled).await.map(drop),
        Action::Relay { socket } => {
            let relaying = tokio::task::spawn_blocking(move || {
                kulti_runner::tool::relay_hook(&socket, std::io::stdin().lock())
            });
            Ok(relaying.await??)
        }
    }
}

impl Target {
    fn path(&self, environment: &Environment) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.settings {
            return Ok(environment.folder().join(path));
        }
        if self.project {
            return Ok(environment.folder().join(".claude/settings.local.json"));
        }
        let folder = environment
            .claude_folder()
            .context("neither CLAUDE_CONFIG_DIR nor HOME is set; name the file with --settings")?;
        Ok(folder.join("settings.json"))
    }

    /// True if the file was changed.
    async fn change<E: std::error::Error + Send + Sync + 'static>(
        &self,
        environment: &Environment,
        change: impl Fn(&str) -> Result<String, E>,
    ) -> anyhow::Result<bool> {
        let path = self.path(environment)?;
        let before = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let after = change(&before).with_context(|| format!("{} is left as it is", path.display()))?;
        if after == before || (before.is_empty() && after.trim() == "{}") {
            print_line(format!("{}: nothing to change", path.display()))?;
            return Ok(false);
        }
        print_line(path.display())?;
        print_line(diffy::create_patch(&before, &after).to_string().trim_end())?;
        if !self.yes && !confirm("Write this? [y/N]").await? {
            note("nothing was changed");
            return Ok(false);
        }
        write(&path, &after).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(true)
    }
}

/// Beside the file and renamed, so that Claude Code never reads half of it; with the rights that it had.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // A link to the file stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(about) = fs::metadata(&path) {
        file.as_file().set_permissions(about.permissions())?;
    }
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
