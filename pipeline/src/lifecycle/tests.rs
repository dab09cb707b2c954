use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Lifecycle, PROCESS, SHUTDOWN_BUDGET};

/// Signals that the test sends.
fn signals() -> (mpsc::Sender<&'static str>, mpsc::Receiver<&'static str>) {
    mpsc::channel(2)
}

#[tokio::test]
async fn a_signal_stops_every_component_and_waits_for_it() {
    let lifecycle = Lifecycle::new();
    let (ended, was_ended) = oneshot::channel();
    let stopping = lifecycle.stopping();
    lifecycle.spawn("worker", Duration::from_secs(5), async move {
        stopping.cancelled().await;
        ended.send(()).ok();
        Ok(())
    });
    let (sender, receiver) = signals();
    sender.send("SIGTERM").await.unwrap();
    lifecycle.run_until(receiver).await.unwrap();
    was_ended.await.expect("the component ended before run returned");
}

#[tokio::test]
async fn a_component_that_fails_stops_the_others_and_is_named() {
    let lifecycle = Lifecycle::new();
    let stopping = lifecycle.stopping();
    lifecycle.spawn("neighbour", Duration::from_secs(5), async move {
        stopping.cancelled().await;
        Ok(())
    });
    lifecycle.spawn("worker", Duration::from_secs(5), async {
        anyhow::bail!("no luck")
    });
    let (_sender, receiver) = signals();
    let failure = lifecycle.run_until(receiver).await.unwrap_err();
    assert_eq!(format!("{failure:#}"), "worker failed: no luck");
}

#[tokio::test]
async fn a_component_that_panics_stops_the_process() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("worker", Duration::from_secs(5), async { panic!("impossible") });
    let (_sender, receiver) = signals();
    let failure = lifecycle.run_until(receiver).await.unwrap_err();
    assert!(failure.to_string().starts_with("worker panicked"), "{failure}");
}

#[tokio::test]
async fn a_component_that_ends_well_stops_nothing() {
    let lifecycle = Lifecycle::new();
    let (ended, was_ended) = oneshot::channel();
    lifecycle.spawn("once", Duration::from_secs(5), async move {
        ended.send(()).ok();
        Ok(())
    });
    was_ended.await.unwrap();
    tokio::task::yield_now().await;
    assert!(!lifecycle.stopping().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn late_components_are_named_and_given_up_at_their_budget() {
    let lifecycle = Lifecycle::new();
    let begun = Instant::now();
    for (name, budget) in [
        ("slow", Duration::from_secs(3)),
        ("endless", Duration::from_secs(3_600)),
    ] {
        lifecycle.spawn(name, budget, std::future::pending());
    }
    lifecycle.stop();
    let (_sender, receiver) = signals();
    let failure = lifecycle.run_until(receiver).await.unwrap_err();
    assert_eq!(failure.to_string(), "did not end in time: slow, endless");
    assert_eq!(begun.elapsed(), SHUTDOWN_BUDGET);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_at_once() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("endless", Duration::from_secs(8), std::future::pending());
    let (sender, receiver) = signals();
    let begun = Instant::now();
    sender.send("SIGINT").await.unwrap();
    sender.send("SIGINT").await.unwrap();
    let failure = lifecycle.run_until(receiver).await.unwrap_err();
    assert_eq!(failure.to_string(), "SIGINT again: ended at once");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn it_is_not_ready_from_the_first_moment_of_shutdown() {
    let lifecycle = Lifecycle::new();
    lifecycle.set_ready("database", Ok(()));
    lifecycle.set_ready("log", Err("no broker answers".to_owned()));
    assert_eq!(
        lifecycle.readiness(),
        [("database", Ok(())), ("log", Err("no broker answers".to_owned()))]
    );
    lifecycle.stop();
    assert!(
        lifecycle
            .readiness()
            .contains(&(PROCESS, Err("shutting down".to_owned())))
    );
}
