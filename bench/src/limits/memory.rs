//! What a viewer who only waits costs in resident memory.

use std::time::Duration;

use kulti_schemas::SessionId;

use super::fan_out::Source;
use super::{World, ensure_same};
use crate::Effort;
use crate::child::Child;
use crate::machine::Cores;
use crate::report::{Line, Report, Target, short};
use crate::roles::{Role, ViewersSpec, Watching};
use crate::spread::Spread;

/// They come first, so that what the gateway needs once is not counted.
const FIRST: usize = 200;
/// Until counts of viewers were sent and allocators have given back what they give back.
const SETTLE: Duration = Duration::from_secs(4);

pub(super) async fn measure(world: &World, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let count = effort.choose(9_000, 1_000);
    let session = SessionId::parse("idle")?;
    let source = Source::new(world, &session)?;
    let replay = world.start_replay()?;
    source.start_session(world).await?;
    let mut bytes = Vec::new();
    // Memory does not depend on how busy the machine is: three gateways are enough.
    for _ in 0..effort.rounds.min(3) {
        bytes.push(measure_gateway(world, session.as_str(), count).await?);
    }
    replay.end().await?;
    let figure = Spread::over(&bytes, |bytes| bytes / 1024.0);
    report.add(Line {
        limit: "memory per idle viewer, KB",
        ours: format!("{} KB", short(figure.median)),
        beside: "nchan 10.1, Centrifugo 34.5".to_owned(),
        figure,
        target: Target::AtMost(5.0),
    });
    report.note(format!(
        "memory: {count} viewers by WebSocket, live, beside {FIRST} that were there before"
    ));
    Ok(())
}

async fn measure_gateway(world: &World, session: &str, count: usize) -> anyhow::Result<f64> {
    let cores = Cores::choose();
    let (gateway, listening) = world.start_gateway(None, 2 * (FIRST + count)).await?;
    let watch = async |count: usize| {
        let spec = ViewersSpec {
            address: listening.address,
            core: cores.load,
            count,
            session: Some(session.to_owned()),
        };
        let mut viewers = Child::start(Role::Viewers, &spec)?;
        let watching: Watching = viewers.hear().await?;
        ensure_same("viewers", watching.viewers as u64, count as u64)?;
        tokio::time::sleep(SETTLE).await;
        anyhow::Ok(viewers)
    };
    let first = watch(FIRST).await?;
    let before = gateway.resident_bytes()?;
    let others = watch(count).await?;
    let after = gateway.resident_bytes()?;
    for child in [first, others, gateway] {
        child.end().await?;
    }
    Ok((after - before) / count as f64)
}
