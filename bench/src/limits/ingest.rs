//! Ingest against a handler that does nothing, and batches against single events.

use kulti_gateway::control::{NewKey, Scope, create_key};
use uuid::Uuid;

use super::{World, ensure_same};
use crate::Effort;
use crate::child::Child;
use crate::machine::Cores;
use crate::report::{Line, Report, Target, short};
use crate::roles::{HttpLoadSpec, Listening, LoadResult, NullSpec, Role};
use crate::spread::Spread;

/// Offered to both, below what either takes.
const RATE: f64 = 6_000.0;
const CONNECTIONS: usize = 128;
const BATCH: usize = 50;
const BATCH_CONNECTIONS: usize = 32;

/// One run of one contender.
struct Run {
    load: LoadResult,
    cpu_seconds: f64,
}

impl Run {
    fn requests_per_cpu_second(&self) -> f64 {
        self.load.requests as f64 / self.cpu_seconds
    }
    fn events_per_cpu_second(&self) -> f64 {
        self.load.events as f64 / self.cpu_seconds
    }
    fn events_per_second(&self) -> f64 {
        self.load.events as f64 / self.load.seconds
    }
}

struct Round {
    null: Run,
    single: Run,
    single_at_most: Run,
    batch_at_most: Run,
}

pub(super) async fn measure(world: &World, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let cores = Cores::choose();
    let key = NewKey {
        name: "bench".to_owned(),
        scopes: vec![Scope::Produce],
        agent: None,
    };
    let key = create_key(&world.database.pool, &key).await?.secret;
    let mut null = Child::start(
        Role::Null,
        &NullSpec {
            core: cores.measured,
            answer_bytes: 0,
        },
    )?;
    let Listening {
        address: null_address,
    } = null.hear().await?;
    let (gateway, listening) = world.start_gateway(cores.measured, 10_000).await?;
    let spec = |address, rate, batch, connections| HttpLoadSpec {
        address,
        core: cores.load,
        key: key.clone(),
        connections,
        rate,
        seconds: effort.choose(5.0, 1.5),
        batch,
        sessions: Uuid::now_v7().to_string(),
    };
    let mut rounds = Vec::new();
    for round in 0..=effort.rounds {
        let round_of = Round {
            null: run(&null, spec(null_address, Some(RATE), 1, CONNECTIONS)).await?,
            single: run_verified(
                world,
                &gateway,
                spec(listening.address, Some(RATE), 1, CONNECTIONS),
            )
            .await?,
            single_at_most: run_verified(world, &gateway, spec(listening.address, None, 1, CONNECTIONS))
                .await?,
            batch_at_most: run_verified(
                world,
                &gateway,
                spec(listening.address, None, BATCH, BATCH_CONNECTIONS),
            )
            .await?,
        };
        if round > 0 {
            rounds.push(round_of);
        }
    }
    null.end().await?;
    gateway.end().await?;
    tell(&rounds, report);
    Ok(())
}

async fn run(server: &Child, spec: HttpLoadSpec) -> anyhow::Result<Run> {
    let mut load = Child::start(Role::HttpLoad, &spec)?;
    load.hear::<usize>().await?;
    let before = server.cpu_seconds()?;
    let result: LoadResult = load.ask(&true).await?;
    let cpu_seconds = server.cpu_seconds()? - before;
    load.end().await?;
    Ok(Run {
        load: result,
        cpu_seconds,
    })
}

async fn run_verified(world: &World, gateway: &Child, spec: HttpLoadSpec) -> anyhow::Result<Run> {
    let before = world.records_in_log().await?;
    let run = run(gateway, spec).await?;
    let written = world.records_in_log().await? - before;
    ensure_same("events in the log", written, run.load.events)?;
    Ok(run)
}

fn tell(rounds: &[Round], report: &mut Report) {
    let median = |value: fn(&Round) -> f64| short(Spread::over(rounds, value).median);
    report.add(Line {
        limit: "ingest, single event",
        ours: format!(
            "{} requests/CPU s",
            median(|round| round.single.requests_per_cpu_second())
        ),
        beside: format!(
            "null handler {}",
            median(|round| round.null.requests_per_cpu_second())
        ),
        figure: Spread::over(rounds, |round| {
            round.single.requests_per_cpu_second() / round.null.requests_per_cpu_second()
        }),
        target: Target::AtLeast(0.6),
    });
    report.add(Line {
        limit: "ingest, NDJSON of 50",
        ours: format!(
            "{} events/CPU s",
            median(|round| round.batch_at_most.events_per_cpu_second())
        ),
        beside: format!(
            "single {}",
            median(|round| round.single_at_most.events_per_cpu_second())
        ),
        figure: Spread::over(rounds, |round| {
            round.batch_at_most.events_per_cpu_second() / round.single_at_most.events_per_cpu_second()
        }),
        target: Target::AtLeast(5.0),
    });
    report.add(Line {
        limit: "the same by the clock",
        ours: format!(
            "{} events/s",
            median(|round| round.batch_at_most.events_per_second())
        ),
        beside: format!(
            "single {}",
            median(|round| round.single_at_most.events_per_second())
        ),
        figure: Spread::over(rounds, |round| {
            round.batch_at_most.events_per_second() / round.single_at_most.events_per_second()
        }),
        target: Target::AtLeast(5.0),
    });
    report.note(format!(
        "ingest: {} bytes a request; at {} requests/s over {CONNECTIONS} connections answered after {} ms p50, {} ms p99 \
         (null handler {} and {}); every event found in the log",
        median(|round| round.single.load.request_bytes as f64 / round.single.load.requests as f64),
        short(RATE),
        median(|round| round.single.load.p50_ms),
        median(|round| round.single.load.p99_ms),
        median(|round| round.null.load.p50_ms),
        median(|round| round.null.load.p99_ms),
    ));
}
