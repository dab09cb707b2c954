//! Replay: seeking deep against seeking near the start, segments against rows, a hot segment against a handler that
//! returns the same bytes.

use kulti_consumers::segments::seal_session;
use kulti_schemas::SessionId;
use sqlx::PgPool;

use super::{World, ensure_same};
use crate::Effort;
use crate::child::Child;
use crate::events::Script;
use crate::machine::Cores;
use crate::report::{Line, Report, Target, short};
use crate::roles::{HttpReadsSpec, Listening, NullSpec, Reads, ReadsResult, Role};
use crate::spread::Spread;

const LONG: i64 = 100_000;
const LONGEST: i64 = 1_000_000;
/// Moments of a round, each asked for once.
const SEEKS: i64 = 200;
const PAGE: i64 = 1_000;
const HOT: usize = 20_000;

/// One run of one contender.
struct Run {
    reads: ReadsResult,
    cpu_seconds: f64,
}

struct Round {
    near: ReadsResult,
    deep: ReadsResult,
    longest: Option<ReadsResult>,
    rows: Run,
    segments: Run,
    hot: Run,
    null: Run,
}

/// A server with the load that it gets.
struct Contender {
    server: Child,
    load: Child,
}

impl Contender {
    async fn start(
        mut server: Child,
        load_core: Option<usize>,
        connections: usize,
    ) -> anyhow::Result<Contender> {
        let Listening { address } = server.hear().await?;
        let spec = HttpReadsSpec {
            address,
            core: load_core,
            connections,
        };
        let load = Child::start(Role::HttpReads, &spec)?;
        Ok(Contender { server, load })
    }

    async fn run(&mut self, paths: Vec<String>, times: usize) -> anyhow::Result<Run> {
        let before = self.server.cpu_seconds()?;
        let wanted = (paths.len() * times) as u64;
        let reads: ReadsResult = self.load.ask(&Reads { paths, times }).await?;
        ensure_same("answers", reads.requests, wanted)?;
        let cpu_seconds = self.server.cpu_seconds()? - before;
        Ok(Run { reads, cpu_seconds })
    }

    async fn end(self) -> anyhow::Result<()> {
        self.load.end().await?;
        self.server.end().await
    }
}

pub(super) async fn measure(world: &World, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let pool = &world.database.pool;
    let long = effort.choose(LONG, LONG / 10);
    let segments = fill(pool, "long", long).await?;
    let longest = effort.choose(LONGEST, 0);
    if longest > 0 {
        fill(pool, "longest", longest).await?;
    }
    let cores = Cores::choose();
    let mut gateway = {
        let (server, Listening { address }) = world.start_gateway(cores.measured, 10_000).await?;
        let spec = HttpReadsSpec {
            address,
            core: cores.load,
            connections: 1,
        };
        let load = Child::start(Role::HttpReads, &spec)?;
        Contender { server, load }
    };
    let hot = &segments[segments.len() / 2];
    let null = NullSpec {
        core: cores.measured,
        answer_bytes: hot.packed_bytes,
    };
    let mut null = Contender::start(Child::start(Role::Null, &null)?, cores.load, 1).await?;
    let in_segments: i64 = segments.iter().map(|segment| segment.events).sum();

    let mut rounds = Vec::new();
    for round in 0..=effort.rounds {
        let turn = round as i64;
        let near = gateway.run(seeks("long", long / 100, turn), 1).await?.reads;
        let deep = gateway.run(seeks("long", long * 9 / 10, turn), 1).await?.reads;
        let longest = match longest {
            0 => None,
            longest => Some(
                gateway
                    .run(seeks("longest", longest * 9 / 10, turn), 1)
                    .await?
                    .reads,
            ),
        };
        let pages = (0..in_segments).step_by(PAGE as usize);
        let pages = pages.map(|after| format!("/v1/sessions/long/events?after={after}&limit={PAGE}"));
        let rows = gateway.run(pages.collect(), 1).await?;
        let all = segments.iter().map(|segment| segment.path.clone()).collect();
        let of_segments = gateway.run(all, 1).await?;
        let of_hot = gateway.run(vec![hot.path.clone()], HOT).await?;
        let of_null = null.run(vec!["/bytes".to_owned()], HOT).await?;
        if round > 0 {
            rounds.push(Round {
                near,
                deep,
                longest,
                rows,
                segments: of_segments,
                hot: of_hot,
                null: of_null,
            });
        }
    }
    gateway.end().await?;
    null.end().await?;
    tell(&rounds, in_segments as f64, report);
    report.note(format!(
        "replay: {} events in {} segments and an open one; a keyframe has {} bytes of JSON (median), a segment {} packed; the hot one {}",
        short(long as f64),
        segments.len(),
        short(Spread::over(&segments, |segment| segment.keyframe_bytes as f64).median),
        short(Spread::over(&segments, |segment| segment.packed_bytes as f64).median),
        short(hot.packed_bytes as f64),
    ));
    Ok(())
}

/// Moments around a place, none of which was asked for in an earlier round.
fn seeks(session: &str, around: i64, turn: i64) -> Vec<String> {
    let first = around - around.min(500) + turn;
    (0..SEEKS)
        .map(|seek| format!("/v1/sessions/{session}/state?at={}", first + seek * 7))
        .collect()
}

struct Segment {
    path: String,
    events: i64,
    packed_bytes: usize,
    keyframe_bytes: usize,
}

/// A session of so many events as rows, sealed.
async fn fill(pool: &PgPool, name: &str, events: i64) -> anyhow::Result<Vec<Segment>> {
    let session = SessionId::parse(name)?;
    let script = Script::new();
    sqlx::query(
        "insert into sessions (id, agent_id, visibility, partition, position, last_event_id, clock, started_at,
             received_at) values ($1, 'bench-agent', 'public', 0, $2, gen_random_uuid(), now(), now(), now())",
    )
    .bind(name)
    .bind(events)
    .execute(pool)
    .await?;
    for first in (1..=events).step_by(PAGE as usize) {
        let positions: Vec<i64> = (first..(first + PAGE).min(events + 1)).collect();
        let (mut ids, mut kinds, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for position in &positions {
            let event = script.event(&session, (position - 1) as usize)?;
            ids.push(event.meta.event_id.uuid());
            kinds.push(event.kind.name().to_owned());
            data.push(event.data.get().to_owned());
        }
        sqlx::query(
            "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
             select $1, n, id, 'bench-agent', kind, 'agent', t, t, t, data::json
             from (select *, timestamptz '2026-01-31T12:00:00Z' + make_interval(secs => n) as t
                   from unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[]) as given (n, id, kind, data)) rows",
        )
        .bind(name)
        .bind(&positions)
        .bind(&ids)
        .bind(&kinds)
        .bind(&data)
        .execute(pool)
        .await?;
    }
    seal_session(pool, name).await?;
    let rows: Vec<(i64, i64, String, Vec<u8>)> = sqlx::query_as(
        "select first_position, last_position, encode(sha256, 'hex'), content from segments
         where session_id = $1 and last_position is not null order by first_position",
    )
    .bind(name)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(first, last, hash, content)| {
            let text = kulti_tables::segments::SegmentText::unpack(&content)?;
            Ok(Segment {
                path: format!("/v1/sessions/{name}/segments/{hash}"),
                events: last - first + 1,
                packed_bytes: content.len(),
                keyframe_bytes: text.keyframe().len(),
            })
        })
        .collect()
}

fn tell(rounds: &[Round], events: f64, report: &mut Report) {
    let median = |value: &dyn Fn(&Round) -> f64| short(Spread::over(rounds, value).median);
    report.add(Line {
        limit: "seek, 90 % of a long session, p99",
        ours: format!("{} ms", median(&|round| round.deep.p99_ms)),
        beside: format!("at 1 % {} ms", median(&|round| round.near.p99_ms)),
        figure: Spread::over(rounds, |round| round.deep.p99_ms / round.near.p99_ms),
        target: Target::AtMost(1.5),
    });
    let longest: Vec<(f64, f64)> = rounds
        .iter()
        .filter_map(|round| Some((round.longest.as_ref()?.p99_ms, round.near.p99_ms)))
        .collect();
    if !longest.is_empty() {
        report.add(Line {
            limit: "seek, ten times the length, p99",
            ours: format!(
                "{} ms",
                short(Spread::over(&longest, |(longest, _)| *longest).median)
            ),
            beside: format!("at 1 % of 100,000 {} ms", median(&|round| round.near.p99_ms)),
            figure: Spread::over(&longest, |(longest, near)| longest / near),
            target: Target::AtMost(2.0),
        });
    }
    report.add(Line {
        limit: "replay, segments",
        ours: format!(
            "{} events/CPU s",
            median(&|round| events / round.segments.cpu_seconds)
        ),
        beside: format!("rows {}", median(&|round| events / round.rows.cpu_seconds)),
        figure: Spread::over(rounds, |round| {
            round.rows.cpu_seconds / round.segments.cpu_seconds
        }),
        target: Target::AtLeast(3.0),
    });
    report.add(Line {
        limit: "the same, bytes on the wire",
        ours: format!(
            "{} B an event",
            median(&|round| round.segments.reads.bytes as f64 / events)
        ),
        beside: format!("rows {}", median(&|round| round.rows.reads.bytes as f64 / events)),
        figure: Spread::over(rounds, |round| {
            round.segments.reads.bytes as f64 / round.rows.reads.bytes as f64
        }),
        target: Target::AtMost(0.45),
    });
    report.add(Line {
        limit: "hot segment",
        ours: format!(
            "{} requests/CPU s",
            median(&|round| HOT as f64 / round.hot.cpu_seconds)
        ),
        beside: format!(
            "null handler {}",
            median(&|round| HOT as f64 / round.null.cpu_seconds)
        ),
        figure: Spread::over(rounds, |round| round.null.cpu_seconds / round.hot.cpu_seconds),
        target: Target::AtLeast(0.8),
    });
}
