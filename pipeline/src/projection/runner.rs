//! Wires a driver, a witness and one worker per assigned partition.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use kulti_schemas::Topic;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::status::{Problem, Status};
use super::witness::Witness;
use super::worker::{FETCH_ERROR_BACKOFF, Shared, Worker};
use super::{Projection, RunnerContext};
use crate::DeadLetters;
use crate::driver::{Driver, DriverEvent, DriverOptions};

const AFTER_PANIC: Duration = Duration::from_secs(2);

/// Runs one projection over all partitions that the group gives it.
pub struct ProjectionRunner<P> {
    _projection: PhantomData<P>,
}

struct RunningWorker {
    given_up: CancellationToken,
    task: JoinHandle<()>,
}

impl<P: Projection> ProjectionRunner<P> {
    /// Runs until `stopping`; finishes the transactions that were begun, then leaves the group.
    ///
    /// # Errors
    /// If the client's configuration is refused, or it fails for good.
    pub async fn run(projection: P, context: RunnerContext) -> anyhow::Result<()> {
        let name = projection.name();
        let topic = context.kafka.topics().name(Topic::SessionEvents);
        let options = DriverOptions {
            group: format!("{}{name}", context.kafka.topic_prefix),
            topic: topic.clone(),
            queue_bytes: context.options.queue_bytes,
            drain: context.options.drain,
            fetch_error_backoff: FETCH_ERROR_BACKOFF,
        };
        let status = Status::new(name, context.lifecycle.clone());
        let (driver, mut events) = Driver::start(&context.kafka, options)?;
        let stopping = context.stopping.clone();
        let shared = Arc::new(Shared {
            projection: Arc::new(projection),
            witness: Witness::start(&context.kafka, &topic)?,
            dead_letters: DeadLetters::new(&context.kafka, context.producer.clone()),
            status,
            driver,
            context,
        });
        let mut workers: BTreeMap<i32, RunningWorker> = BTreeMap::new();
        let mut draining = JoinSet::new();
        let outcome = loop {
            let event = tokio::select! {
                () = stopping.cancelled() => break Ok(()),
                Some(_) = draining.join_next() => continue,
                event = events.recv() => event,
            };
            match event {
                Some(DriverEvent::Assigned(partitions)) => {
                    shared.status.joined();
                    for partition in partitions {
                        if let Some(old) = workers.insert(partition, start_worker(&shared, partition)) {
                            old.given_up.cancel();
                        }
                    }
                }
                Some(DriverEvent::Revoked { partitions, guard }) => {
                    let revoked = partitions
                        .iter()
                        .filter_map(|partition| workers.remove(partition))
                        .collect();
                    let drain = shared.context.options.drain;
                    draining.spawn(async move {
                        give_up(revoked, drain).await;
                        drop(guard);
                    });
                }
                Some(DriverEvent::Failed(detail)) => {
                    break Err(anyhow::anyhow!("the consumer failed for good: {detail}"));
                }
                None => break Err(anyhow::anyhow!("the consumer's thread ended")),
            }
            let held = i64::try_from(workers.len()).unwrap_or(i64::MAX);
            shared
                .context
                .metrics
                .projection
                .partitions
                .with_label_values(&[name])
                .set(held);
        };
        drop(events);
        give_up(workers.into_values().collect(), shared.context.options.drain).await;
        while draining.join_next().await.is_some() {}
        if let Some(shared) = Arc::into_inner(shared) {
            shared.driver.stop().await;
        }
        outcome
    }
}

fn start_worker<P: Projection>(shared: &Arc<Shared<P>>, partition: i32) -> RunningWorker {
    let given_up = CancellationToken::new();
    let worker = Worker {
        shared: shared.clone(),
        partition,
        given_up: given_up.clone(),
    };
    RunningWorker {
        given_up,
        task: tokio::spawn(keep_running(worker)),
    }
}

/// A panic is a defect of one partition's data or code path; the other partitions go on, and this one tries again.
async fn keep_running<P: Projection>(worker: Worker<P>) {
    while AssertUnwindSafe(worker.run()).catch_unwind().await.is_err() {
        tracing::error!(kafka.partition = worker.partition, "a partition's task panicked");
        worker.status.set_problem(
            worker.partition,
            Problem::Passing("a partition's task panicked".to_owned()),
        );
        tokio::select! {
            () = tokio::time::sleep(AFTER_PANIC) => {}
            () = worker.given_up.cancelled() => {}
        }
    }
}

/// Lets all finish what they have begun; what is not finished in time is broken off, and rolls back.
async fn give_up(workers: Vec<RunningWorker>, drain: Duration) {
    for worker in &workers {
        worker.given_up.cancel();
    }
    let deadline = tokio::time::Instant::now() + drain;
    for worker in workers {
        let mut task = worker.task;
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            task.abort();
            drop(task.await);
        }
    }
}
