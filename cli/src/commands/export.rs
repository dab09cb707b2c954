//! `kulti export`: takes a session away as a file.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use reqwest::{Method, Response};

use crate::args::ServerArguments;
use crate::client::{Client, connect};
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::note;

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Flags of `kulti export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti export SESSION --format markdown -o session.md\n  kulti export SESSION --from 12m30s --to live > part.ndjson\n  kulti export SESSION --from CLIP"
)]
pub(crate) struct ExportArguments {
    /// The session
    session: String,
    /// As what
    #[arg(long, short, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// From this event or time on: 1234, 90s, 12m30s, 1:02:03, 2026-01-31T12:00:00Z, the id of an event, marker or clip
    #[arg(long, value_name = "AT")]
    from: Option<String>,
    /// Up to this event or time
    #[arg(long, value_name = "AT")]
    to: Option<String>,
    /// Of asciicast: which terminal, if not the main one
    #[arg(long, value_name = "NAME")]
    terminal: Option<String>,
    /// Into this file; it is there only once it is complete
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The events, a line each
    Ndjson,
    /// A terminal, for asciinema's player
    Asciicast,
    /// A transcript for people
    Markdown,
    /// A page that plays it by itself, without a network
    Html,
    /// A table for analysts: one row per event
    Parquet,
}

/// Downloads it.
pub(crate) async fn run(arguments: ExportArguments, environment: &Environment) -> anyhow::Result<()> {
    let is_binary = arguments.format == Format::Parquet;
    if is_binary && arguments.output.is_none() && io::stdout().is_terminal() {
        return Err(usage("Parquet is not for terminals: name a file with -o"));
    }
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    let name = arguments.format.to_possible_value();
    let mut query = vec![(
        "format",
        name.map(|name| name.get_name().to_owned()).unwrap_or_default(),
    )];
    query.extend(arguments.from.map(|from| ("from", from)));
    query.extend(arguments.to.map(|to| ("to", to)));
    query.extend(arguments.terminal.map(|terminal| ("terminal", terminal)));
    let url = client.url(&["v1", "sessions", &arguments.session, "export"]);
    let request = client.request(Method::GET, url).query(&query);
    // No limit for the whole: what is large takes its time, and shows that it comes.
    let response = request.send().await.map_err(|error| client.unreachable(&error))?;
    let response = client.success(response).await?;
    match arguments.output {
        None => download(&client, response, &mut io::stdout().lock(), None)
            .await
            .map(drop),
        Some(path) => into_file(&client, response, &path).await,
    }
}

/// Writes beside the file and takes its place at the end: a part never looks like the whole.
async fn into_file(client: &Client, response: Response, path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path
        .file_name()
        .ok_or_else(|| usage(format!("{} is no file", path.display())))?;
    let mut part_name = name.to_owned();
    part_name.push(".part");
    let part = folder.unwrap_or(Path::new(".")).join(part_name);
    let mut file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
    let _unfinished = RemoveOnDrop(&part);
    let bytes = download(client, response, &mut file, Some(path)).await?;
    file.sync_all()
        .with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))?;
    note(&format!("{}: {}", path.display(), size(bytes)));
    Ok(())
}

/// Once the part has its name there is nothing left to remove.
struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        fs::remove_file(self.0).ok();
    }
}

async fn download(
    client: &Client,
    mut response: Response,
    out: &mut impl Write,
    path: Option<&Path>,
) -> anyhow::Result<u64> {
    let shows_progress = path.is_some() && io::stderr().is_terminal();
    let (mut bytes, mut shown_at) = (0, Instant::now());
    loop {
        let chunk = response.chunk().await.map_err(|error| {
            let cut = client.unreachable(&error);
            anyhow::anyhow!("the export was cut off after {}: {cut}", size(bytes))
        })?;
        let Some(chunk) = chunk else { break };
        out.write_all(&chunk)?;
        bytes += chunk.len() as u64;
        if shows_progress && shown_at.elapsed() >= PROGRESS_EVERY {
            write!(io::stderr().lock(), "\r{} ", size(bytes)).ok();
            shown_at = Instant::now();
        }
    }
    out.flush()?;
    if shows_progress {
        write!(io::stderr().lock(), "\r").ok();
    }
    Ok(bytes)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
