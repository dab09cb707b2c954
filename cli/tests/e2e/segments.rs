//! Whoever takes whole segments has every event just like everybody else.

use kulti_consumers::segments::{SealerContext, SealerMetrics};
use kulti_test_support::wait_until;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::playback::{Recorded, recorded};
use crate::producer::{ids, thought};
use crate::viewer::{assert_part_of, positions};

/// Everything up to the last event, with segments fetched as they are told of: (position, id), and how many segments.
async fn take_all(recorded: &Recorded, fields: Value) -> (Vec<(i64, String)>, usize) {
    let mut viewer = recorded.viewer(fields).await;
    let (mut seen, mut segments) = (Vec::new(), 0);
    let last = recorded.transcript.last().expect("events");
    while seen.last().is_none_or(|(_, id)| id != last) {
        let frame = viewer.frame().await;
        match frame["type"].as_str() {
            Some("events") => seen.extend(positions(&frame)),
            Some("segment") => {
                let url = recorded.gateway.url(frame["url"].as_str().expect("a url"));
                let answer = recorded.gateway.client.get(url).send().await.expect("an answer");
                let text = answer.text().await.expect("a segment");
                assert_eq!(text.len() as i64, frame["bytes"]);
                let mut lines = text
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
                let keyframe = lines.next().expect("a keyframe");
                assert_eq!(
                    keyframe["position"].as_i64().map(|position| position + 1),
                    frame["from"].as_i64()
                );
                seen.extend(positions(&json!({"events": lines.collect::<Vec<_>>()})));
                assert_eq!(seen.last().map(|(position, _)| *position), frame["to"].as_i64());
                segments += 1;
            }
            Some("caught_up" | "viewers" | "state") => {}
            _ => panic!("{frame}"),
        }
    }
    (seen, segments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_segments_has_every_event_and_goes_on_live() {
    let mut recorded = recorded(2000).await;
    let stopping = CancellationToken::new();
    let sealer = tokio::spawn(kulti_consumers::segments::run(SealerContext {
        pool: recorded.cluster.database.pool.clone(),
        metrics: SealerMetrics::register(&prometheus::Registry::new()).expect("metrics"),
        stopping: stopping.clone(),
    }));
    wait_until("the session is sealed", async || {
        let closed = "select count(*) from segments where last_position is not null";
        let segments: i64 = sqlx::query_scalar(closed)
            .fetch_one(&recorded.cluster.database.pool)
            .await
            .expect("a count");
        segments >= 3
    })
    .await;
    let (seen, segments) = take_all(&recorded, json!({"segments": true})).await;
    assert!(segments >= 3, "{segments}");
    assert_part_of(&recorded.transcript, &seen, "from the start");
    let fields = json!({"segments": true, "state": true, "from": {"position": 100}});
    let (seen, segments) = take_all(&recorded, fields).await;
    assert!(segments >= 2 && seen[0].0 == 101, "{segments}");
    assert_part_of(&recorded.transcript, &seen, "from the middle");
    for plain in [json!({}), json!({"segments": true, "speed": {"deadline_s": 1}})] {
        let (seen, segments) = take_all(&recorded, plain).await;
        assert_eq!(segments, 0);
        assert_part_of(&recorded.transcript, &seen, "without segments");
    }
    let later: Vec<Value> = (0..20).map(|_| thought(&recorded.session, "live")).collect();
    recorded.gateway.send(&later).await;
    recorded.transcript.extend(ids(&later));
    let (seen, _) = take_all(&recorded, json!({"segments": true})).await;
    assert_part_of(&recorded.transcript, &seen, "up to live");
    stopping.cancel();
    sealer.await.expect("it ends").expect("it ends well");
}
