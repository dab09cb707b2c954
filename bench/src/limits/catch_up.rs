//! Catching up on 5,000 missed events against a bare socket that sends as many bytes at once.
//!
//! Both are watched by the same client, which connects anew each time: a connection that has sent before has larger TCP
//! windows.

use kulti_schemas::SessionId;

use super::fan_out::Source;
use super::{World, ensure_same};
use crate::Effort;
use crate::child::Child;
use crate::machine::Cores;
use crate::report::{Line, Report, Target, short};
use crate::roles::{
    BareCatchUpSpec, CatchUpSpec, CaughtUp, ComeBack, Listening, Role, ViewersSpec, Watching,
};
use crate::spread::Spread;

const EVENTS: u32 = 5_000;
const TIMES: usize = 50;

pub(super) async fn measure(world: &World, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let cores = Cores::choose();
    let session = SessionId::parse("catch-up")?;
    let source = Source::new(world, &session)?;
    let replay = world.start_replay()?;
    source.start_session(world).await?;
    let (gateway, Listening { address }) = world.start_gateway(cores.measured, 1_000).await?;
    // Somebody watches, as with every session that has something to be missed.
    let watching = ViewersSpec {
        address,
        core: cores.load,
        count: 1,
        session: Some(session.as_str().to_owned()),
    };
    let mut watching = Child::start(Role::Viewers, &watching)?;
    let _: Watching = watching.hear().await?;
    source.write_at_once(EVENTS).await?;
    source.wait_for_rows(world, i64::from(EVENTS) + 1).await?;

    let viewer_of = |address| CatchUpSpec {
        address,
        core: cores.load,
        session: session.as_str().to_owned(),
        after: 1,
    };
    let mut viewer = Child::start(Role::CatchUp, &viewer_of(address))?;
    let times = effort.choose(TIMES, 10);
    let first: CaughtUp = viewer.ask(&ComeBack { times: 1 }).await?;
    let bytes: usize = first.frames.iter().sum();
    let bare = BareCatchUpSpec {
        core: cores.measured,
        frames: first.frames,
    };
    let mut bare = Child::start(Role::BareCatchUp, &bare)?;
    let Listening { address } = bare.hear().await?;
    let mut bare_viewer = Child::start(Role::CatchUp, &viewer_of(address))?;
    let mut rounds: Vec<(CaughtUp, CaughtUp)> = Vec::new();
    for round in 0..=effort.rounds {
        let ours: CaughtUp = viewer.ask(&ComeBack { times }).await?;
        ensure_same("events of a catch-up", ours.events as u64, u64::from(EVENTS))?;
        let theirs: CaughtUp = bare_viewer.ask(&ComeBack { times }).await?;
        let their_bytes: usize = theirs.frames.iter().sum();
        ensure_same("bytes of a bare one", their_bytes as u64, bytes as u64)?;
        if round > 0 {
            rounds.push((ours, theirs));
        }
    }
    for child in [viewer, bare_viewer, watching, gateway, bare, replay] {
        child.end().await?;
    }
    let median = |value: fn(&(CaughtUp, CaughtUp)) -> f64| short(Spread::over(&rounds, value).median);
    report.add(Line {
        limit: "catch-up of 5,000 events",
        ours: format!("{} ms", median(|(ours, _)| ours.p50_ms)),
        beside: format!(
            "a bare socket, the same bytes {} ms",
            median(|(_, bare)| bare.p50_ms)
        ),
        figure: Spread::over(&rounds, |(ours, bare)| ours.p50_ms / bare.p50_ms),
        target: Target::AtMost(2.0),
    });
    report.note(format!(
        "catch-up: {} bytes, median of {times} a round; every event came",
        short(bytes as f64)
    ));
    Ok(())
}
