//! `kulti demo`: a server whose agents play recorded sessions as if they were at work now.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, connect, is_alive, parse_url};
use crate::commands::serve::{RecordedServer, listen_settings};
use crate::demo::{EXAMPLES, Recording, play_in_a_loop};
use crate::environment::Environment;
use crate::failure::usage;
use crate::output::{Paint, print_line};
use crate::server::{
    Process, Role, bind, bind_next_free, reachable_url, set_up, spawn_consumer, spawn_gateway, spawn_life,
};
use crate::settings::{ConfigArguments, Origin};
use crate::state::{Folders, RunningServer};

/// The agents' last words; the server's own end comes after it, within 10 s altogether.
const AGENTS_END: Duration = Duration::from_millis(2_500);
/// The first events may take so long on a machine that has just started everything.
const FIRST_EVENTS: Duration = Duration::from_secs(60);

/// Flags of `kulti demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti demo\n  kulti replay SESSION --json > mine.ndjson && kulti demo mine.ndjson"
)]
pub(crate) struct DemoArguments {
    /// Recorded sessions to play instead of the examples (NDJSON)
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Serves, plays and prints the page to open, until Ctrl-C.
pub(crate) async fn run(arguments: DemoArguments, environment: &Environment) -> anyhow::Result<()> {
    if let Some(other) = running_demo(environment).await {
        print_line("a demo runs already")?;
        return print_pages(&other, &program_name(environment), environment);
    }
    let recordings = recordings(&arguments.files, environment)?;
    let mut settings = listen_settings(arguments.listen, &arguments.config, environment)?;
    settings.set_default("default_visibility", "public");
    // A demo says what to look at; that its consumers and the broker are still starting is no news.
    settings.set_default("log", "warn,kulti_pipeline::lifecycle=error,librdkafka=error");
    let wanted = settings.listen()?;
    let listener = listen(wanted, settings.get("listen").1).await?;
    let url = reachable_url(listener.local_addr()?);
    let process = Process::start(settings)?;
    set_up(&process.settings.database()?, &process.kafka).await?;
    spawn_gateway(&process, listener)?;
    spawn_consumer(&process, Role::Replay)?;
    spawn_life(&process)?;
    let client = connect(Some(&url), environment).await?;
    let agents = Agents::start(&client, recordings);
    let names = agents.names.clone();
    let server = RunningServer {
        url,
        demo: true,
        agents: names,
        ..RunningServer::here()
    };
    let record = RecordedServer::record(server.clone(), environment);
    let played = agents.play_until_stopped(&process, &server, environment).await;
    process.lifecycle.stop();
    let ended = process.run().await;
    drop(record);
    played.and(ended)
}

/// A demo of this user that answers.
async fn running_demo(environment: &Environment) -> Option<RunningServer> {
    let server = Folders::of(environment)
        .running_server()
        .filter(|server| server.demo)?;
    is_alive(&server.url).await.then_some(server)
}

/// The default port may be another's: then the next free one does as well. An address that somebody asked for may not.
async fn listen(wanted: SocketAddr, origin: &Origin) -> anyhow::Result<TcpListener> {
    if *origin != Origin::Default {
        return bind(wanted).await;
    }
    let (listener, why) = bind_next_free(wanted).await?;
    if let Some(why) = why {
        print_line(why)?;
    }
    Ok(listener)
}

fn recordings(files: &[PathBuf], environment: &Environment) -> anyhow::Result<Vec<Recording>> {
    if files.is_empty() {
        if EXAMPLES.is_empty() {
            return Err(usage("this build has no example sessions: name recorded ones"));
        }
        return EXAMPLES
            .iter()
            .map(|(name, ndjson)| Recording::read(name, ndjson))
            .collect();
    }
    let read = |file: &PathBuf| {
        let path = environment.folder().join(file);
        let ndjson =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Recording::read(&file.display().to_string(), &ndjson)
    };
    files.iter().map(read).collect()
}

/// Those who play.
struct Agents {
    names: Vec<String>,
    sessions: Vec<watch::Receiver<Option<String>>>,
    tasks: JoinSet<anyhow::Result<()>>,
    stopping: CancellationToken,
}

impl Agents {
    fn start(client: &Client, recordings: Vec<Recording>) -> Self {
        let stopping = CancellationToken::new();
        let mut agents = Agents {
            names: Vec::new(),
            sessions: Vec::new(),
            tasks: JoinSet::new(),
            stopping,
        };
        for recording in recordings {
            let (playing, session) = watch::channel(None);
            if !agents.names.contains(&recording.agent) {
                agents.names.push(recording.agent.clone());
            }
            agents.sessions.push(session);
            let client = client.clone();
            let stopping = agents.stopping.clone();
            agents
                .tasks
                .spawn(play_in_a_loop(client, Arc::new(recording), playing, stopping));
        }
        agents
    }

    /// Prints where to look as soon as there is something to see, then plays on.
    async fn play_until_stopped(
        mut self,
        process: &Process,
        server: &RunningServer,
        environment: &Environment,
    ) -> anyhow::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stopping = process.lifecycle.stopping();
        let (mut first, mut announced) = (self.sessions[0].clone(), false);
        let failed = loop {
            tokio::select! {
                _ = interrupt.recv() => break None,
                _ = terminate.recv() => break None,
                // A component failed: the process's end says which.
                () = stopping.cancelled() => break None,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => break Some(error),
                    Err(error) => break Some(error.into()),
                },
                live = tokio::time::timeout(FIRST_EVENTS, first.wait_for(Option::is_some)), if !announced => {
                    let session = live.context("the demo's first events were not taken in time")?;
                    let session = session.ok().and_then(|session| session.clone()).unwrap_or_default();
                    announce(server, &session, environment)?;
                    announced = true;
                }
            }
        };
        self.stopping.cancel();
        let end = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(AGENTS_END, end).await.ok();
        failed.map_or(Ok(()), Err)
    }
}

fn announce(server: &RunningServer, session: &str, environment: &Environment) -> anyhow::Result<()> {
    let program = program_name(environment);
    let agent = server.agents.first().map(String::as_str).unwrap_or_default();
    let paint = Paint::for_stdout(environment);
    print_line(format!(
        "\n{}",
        paint.bold("Agents are live. In another terminal:")
    ))?;
    print_line(format!("  {program} tail --agent {agent}"))?;
    print_line(format!("  {program} sessions"))?;
    print_line(format!("  {program} replay {session} --speed 4"))?;
    print_line(paint.dim("Ctrl-C here stops everything."))?;
    print_pages(server, &program, environment)
}

fn print_pages(server: &RunningServer, program: &str, environment: &Environment) -> anyhow::Result<()> {
    let paint = Paint::for_stdout(environment);
    if server.agents.is_empty() {
        print_line(format!("  {program} sessions"))?;
    }
    print_line(paint.bold("Open in a browser:"))?;
    for agent in &server.agents {
        let page = watch_page(&server.url, agent)?;
        print_line(format!("  {}", paint.cyan(&page)))?;
    }
    Ok(())
}

fn watch_page(url: &str, agent: &str) -> anyhow::Result<String> {
    Ok(Client::new(parse_url(url)?, None)?
        .url(&["watch", agent])
        .to_string())
}

/// The binary as the user would type it here.
fn program_name(environment: &Environment) -> String {
    let typed = std::env::args().next().unwrap_or_else(|| "kulti".to_owned());
    match Path::new(&typed).strip_prefix(environment.folder()) {
        Ok(inside) => inside.display().to_string(),
        Err(_) => typed,
    }
}
