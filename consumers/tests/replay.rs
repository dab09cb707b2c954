//! The replay projection on real servers: what is an event, where, and once.

mod support;

use kulti_test_support::event;
use support::World;

#[tokio::test(flavor = "multi_thread")]
async fn events_get_positions_without_holes_in_log_order() {
    let world = World::with_partitions(4).await;
    let mut events = Vec::new();
    for number in 0..300 {
        for session in ["one", "two", "three"] {
            events.push(event(session).thought(&format!("{session} {number}")));
        }
    }
    world.topics.write(&events).await;
    let runner = world.start();
    world.wait_for_events(900).await;
    for session in ["one", "two", "three"] {
        let expected: Vec<_> = events
            .iter()
            .filter(|event| event.meta.session_id.as_str() == session)
            .enumerate()
            .map(|(index, event)| (index as i64 + 1, event.meta.event_id.uuid()))
            .collect();
        assert_eq!(world.transcript(session).await, expected);
    }
    runner.stop().await;
}
