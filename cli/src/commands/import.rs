//! `kulti import`: what other tools recorded, as sessions of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use kulti_schemas::AgentId;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::args::ServerArguments;
use crate::client::{Client, connect};
use crate::environment::Environment;
use crate::failure::{Failure, usage};
use crate::import::{
    Batch, Batches, Follower, Found, LOOK, SourceOptions, Upload, find_sources, groups, read_group, upload,
};
use crate::output::{Paint, confirm, note, print_line, table};
use crate::settings::masking_policy;
use crate::terminal_text::clean_line;

const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Batches between the thread that reads and the sender.
const BATCHES: usize = 2;

/// Flags of `kulti import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti import --dry-run ~/.claude/projects\n  kulti import ~/.claude/projects ~/.codex/sessions\n  kulti import --follow --yes ~/.claude/projects\n  kulti import --dry-run --json demo.cast\n\nA file is recognised by its content: Claude Code's transcripts and stream-json, Codex' rollouts and exec --json,\nasciicast 2 and 3. Importing again adds what is new, and nothing else; what was stopped goes on in the same way.\nSecrets are masked before anything leaves this machine."
)]
pub(crate) struct ImportArguments {
    /// Files, and folders with files below them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Read and count, send nothing; needs no server
    #[arg(long, conflicts_with = "follow")]
    dry_run: bool,
    /// Go on: files that grow, and new ones; Ctrl-C ends it
    #[arg(long)]
    follow: bool,
    /// Do not ask before sending
    #[arg(long, short)]
    yes: bool,
    /// Who may see the sessions: public, unlisted or private
    #[arg(long, default_value = "private", value_parser = ["public", "unlisted", "private"])]
    visibility: String,
    /// The agent of all of them [default: the folder that each worked in]
    #[arg(long, short)]
    agent: Option<String>,
    /// Give up when the server takes nothing for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// What was in each file, as JSON, a line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Reads, asks, sends.
pub(crate) async fn run(arguments: ImportArguments, environment: &Environment) -> anyhow::Result<()> {
    let agent = match &arguments.agent {
        Some(name) => {
            Some(AgentId::parse(name).map_err(|error| usage(format!("`{name}` is no agent: {error}")))?)
        }
        None => None,
    };
    let policy = masking_policy(environment)?;
    let masker = policy.masker_for(agent.as_ref().map_or("", AgentId::as_str));
    let options = SourceOptions {
        agent,
        visibility: arguments.visibility.clone(),
        masker,
    };
    let mut unreadable = 0;
    let found = find_sources(&arguments.paths, |path, error| {
        unreadable += 1;
        note(&format!("cannot read {}: {error}", path.display()));
    });
    let printer = Printer {
        json: arguments.json,
        paint: Paint::for_stdout(environment),
    };
    printer.unrecognised(&found)?;
    let (sender, mut batches) = mpsc::channel(BATCHES);
    if arguments.dry_run {
        let reading = read_all(found, options, Batches::new(sender, false));
        while let Some(batch) = batches.recv().await {
            for failure in &batch.failures {
                unreadable += 1;
                note(&format!("cannot read {failure}"));
            }
            printer.reports(&batch)?;
        }
        reading.await??;
        return if unreadable > 0 {
            Err(Failure::Reported.into())
        } else {
            Ok(())
        };
    }
    let client = connect(arguments.server.url.as_deref(), environment).await?;
    if !confirmed(&found, &arguments, &client).await? {
        note("nothing was sent");
        return Ok(());
    }
    let total: u64 = readable(&found).map(|file| file.bytes).sum();
    let reading = match arguments.follow {
        true => follow(arguments.paths.clone(), options, Batches::new(sender, true)),
        false => read_all(found, options, Batches::new(sender, true)),
    };
    let mut progress = Progress::new(total);
    let patience = Duration::from_secs(arguments.patience);
    let upload = upload(&client, patience, &mut batches, |batch, upload| {
        progress.tell(batch, upload);
        printer.reports(batch)
    })
    .await?;
    // Whoever reads ends once nobody takes more.
    drop(batches);
    reading.await??;
    note(&format!(
        "{} events sent, {} rejected; those that the server had already count once",
        upload.sent, upload.rejected
    ));
    if upload.rejected + upload.failures + unreadable > 0 {
        return Err(Failure::Reported.into());
    }
    Ok(())
}

fn readable(found: &[Found]) -> impl Iterator<Item = &Found> {
    found.iter().filter(|file| file.format.is_some())
}

/// Reads on a thread of its own: it is work, and waits for the disk.
fn read_all(
    found: Vec<Found>,
    options: SourceOptions,
    mut batches: Batches,
) -> tokio::task::JoinHandle<anyhow::Result<()>> {
    tokio::task::spawn_blocking(move || {
        for group in groups(&found) {
            if !read_group(&group, &options, &mut batches) {
                return Ok(());
            }
        }
        batches.flush();
        Ok(())
    })
}

/// Reads what is there, then what comes. Ends when nobody takes more.
fn follow(
    paths: Vec<PathBuf>,
    options: SourceOptions,
    mut batches: Batches,
) -> tokio::task::JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move {
        let mut follower = Follower::new(paths, options);
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                let goes_on = follower.look(&mut batches) && batches.flush();
                (follower, batches, goes_on)
            });
            let goes_on;
            (follower, batches, goes_on) = looked.await?;
            if !goes_on {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// Asks, once, before anything leaves the machine.
async fn confirmed(found: &[Found], arguments: &ImportArguments, client: &Client) -> anyhow::Result<bool> {
    let mut formats: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for file in readable(found) {
        let (files, bytes) = formats
            .entry(file.format.map_or("", |format| format.name()))
            .or_default();
        *files += 1;
        *bytes += file.bytes;
    }
    for (format, (files, bytes)) in &formats {
        note(&format!("{files} {format}, {}", megabytes(*bytes)));
    }
    if formats.is_empty() && !arguments.follow {
        note("there is nothing that can be imported");
        return Ok(false);
    }
    if arguments.yes {
        return Ok(true);
    }
    confirm(&format!(
        "Send them to {} as {} sessions, secrets masked? [y/N]",
        client.base(),
        arguments.visibility
    ))
    .await
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// How far it is, on standard error.
struct Progress {
    total: u64,
    read: u64,
    started: Instant,
    told: Instant,
}

impl Progress {
    fn new(total: u64) -> Self {
        Progress {
            total,
            read: 0,
            started: Instant::now(),
            told: Instant::now(),
        }
    }

    fn tell(&mut self, batch: &Batch, upload: &Upload) {
        self.read += batch.bytes_read;
        if self.told.elapsed() < PROGRESS_EVERY || self.total == 0 {
            return;
        }
        self.told = Instant::now();
        let per_second = upload.sent as f64 / self.started.elapsed().as_secs_f64();
        note(&format!(
            "{:.0} %: {} of {}, {} events, {per_second:.0}/s",
            100.0 * self.read as f64 / self.total as f64,
            megabytes(self.read),
            megabytes(self.total),
            upload.sent
        ));
    }
}

/// What was in the files, on standard output.
struct Printer {
    json: bool,
    paint: Paint,
}

impl Printer {
    fn unrecognised(&self, found: &[Found]) -> anyhow::Result<()> {
        for file in found.iter().filter(|file| file.format.is_none()) {
            let path = file.path.to_string_lossy();
            match self.json {
                true => print_line(json!({"path": path, "format": null}))?,
                false => note(&format!("not recognised: {}", clean_line(&path, 400))),
            }
        }
        Ok(())
    }

    fn reports(&self, batch: &Batch) -> anyhow::Result<()> {
        for report in &batch.reports {
            match self.json {
                true => print_line(report)?,
                false => print_line(self.text(report))?,
            }
        }
        Ok(())
    }

    fn text(&self, report: &Value) -> String {
        let text = |name: &str| clean_line(report[name].as_str().unwrap_or_default(), 400);
        let number = |name: &str| report[name].as_u64().unwrap_or_default();
        let mut shown = format!(
            "{}  {}\n",
            self.paint.bold(&text("path")),
            self.paint.dim(&text("format"))
        );
        let events = report["events"].as_object().into_iter().flatten();
        let events: u64 = events.filter_map(|(_, count)| count.as_u64()).sum();
        shown.push_str(&format!(
            "  {} lines, {events} events, {} messages, {} thoughts, {} tool calls ({} results, {} errors, {} without a result)",
            number("lines"),
            number("messages"),
            number("thoughts"),
            number("tool_calls"),
            number("results"),
            number("errors"),
            number("unpaired_calls"),
        ));
        for (name, what) in [
            ("unknown_lines", "of unknown types"),
            ("unreadable_lines", "unreadable"),
        ] {
            if number(name) > 0 {
                shown.push_str(&self.paint.yellow(&format!(", {} lines {what}", number(name))));
            }
        }
        let masked: u64 = report["masked"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, count)| count.as_u64())
            .sum();
        if masked > 0 {
            shown.push_str(&self.paint.yellow(&format!(", {masked} secrets masked")));
        }
        let rows: Vec<Vec<String>> = report["tokens"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(model, tokens)| {
                let amount = |name: &str| {
                    tokens[name]
                        .as_i64()
                        .map_or("unknown".to_owned(), |amount| amount.to_string())
                };
                let mut row = vec![format!("  {}", clean_line(model, 60))];
                row.extend(["input", "output", "cache_read", "cache_creation"].map(amount));
                row
            })
            .collect();
        if !rows.is_empty() {
            shown.push('\n');
            let header = ["  MODEL", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITTEN"];
            shown.push_str(&table(&header, &rows, self.paint));
        }
        if let Some(cost) = report["cost_usd"].as_f64() {
            shown.push_str(&format!("\n  ${cost:.4}"));
        }
        shown
    }
}
