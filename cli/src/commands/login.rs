//! `kulti login`: stores the key for a server, for its owner's eyes only.

use std::io::IsTerminal;

use clap::Args;
use reqwest::{Method, StatusCode};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::client::{Client, origin, parse_url};
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{note, print_line};
use crate::state::Folders;

/// Flags of `kulti login`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti login https://kulti.example\n  pass show kulti | kulti login https://kulti.example"
)]
pub(crate) struct LoginArguments {
    /// The server
    url: String,
    /// Forget the stored key
    #[arg(long)]
    forget: bool,
}

/// Asks for the key, tries it and stores it.
pub(crate) async fn run(arguments: LoginArguments, environment: &Environment) -> anyhow::Result<()> {
    let url = parse_url(&arguments.url)?;
    let (folders, origin) = (Folders::of(environment), origin(&url));
    if arguments.forget {
        let text = if folders.forget_key(&origin)? {
            "forgot the key for"
        } else {
            "there is no key for"
        };
        return Ok(print_line(format!("{text} {origin}"))?);
    }
    let key = read_key(&origin).await?;
    check_key(&Client::new(url, Some(key.clone()))?).await?;
    let file = folders.store_key(&origin, &key)?;
    Ok(print_line(format!(
        "stored the key for {origin} in {}",
        file.display()
    ))?)
}

/// Any read with the key: a server refuses a key that it does not know, whatever is asked.
async fn check_key(client: &Client) -> anyhow::Result<()> {
    let request = client
        .request(Method::GET, client.url(&["v1", "sessions"]))
        .query(&[("limit", "1")]);
    match client.answer(request).await {
        Ok(_) => Ok(()),
        Err(error) => match error.problem() {
            Some(problem) if problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
                anyhow::bail!("{} does not know this key", client.base())
            }
            _ => Err(error.into()),
        },
    }
}

async fn read_key(origin: &str) -> anyhow::Result<String> {
    let _hidden = if std::io::stdin().is_terminal() {
        note(&format!("Key for {origin} (it is not shown): "));
        HiddenInput::start()
    } else {
        None
    };
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
    let key = line.trim();
    if key.is_empty() || key.contains(|character: char| !character.is_ascii_graphic()) {
        return Err(usage("that is not a key"));
    }
    Ok(key.to_owned())
}

/// Keeps the terminal from showing what is typed; also after Ctrl-C it shows it again.
struct HiddenInput {
    before: Termios,
}

impl HiddenInput {
    fn start() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(HiddenInput { before })
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}
