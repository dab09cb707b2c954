use kulti_schemas::{AgentId, SessionId, Source};

use super::*;

fn meta(id: EventId) -> Meta {
    Meta {
        event_id: id,
        session_id: SessionId::parse("s").unwrap(),
        agent_id: AgentId::parse("a").unwrap(),
        time: Timestamp(5),
        received: Timestamp(7),
        source: Source::Agent,
        producer: None,
        generation: None,
        seq: None,
        cause: None,
        attributes: Default::default(),
    }
}

#[test]
fn copies_are_known_within_the_window_and_older_ids_ask() {
    let ids: Vec<EventId> = (0..SEQUENCER_IDS + 10).map(|_| EventId::generate()).collect();
    let mut sequencer = Sequencer::default();
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(sequencer.decide(*id), Decision::New);
        assert_eq!(sequencer.accept(&meta(*id)).0, index as i64 + 1);
    }
    assert_eq!(
        sequencer.decide(ids[0]),
        Decision::LookUp,
        "fell out of the window"
    );
    assert_eq!(sequencer.decide(ids[10]), Decision::Copy);
    assert_eq!(sequencer.decide(ids[ids.len() - 1]), Decision::Copy);
}

#[test]
fn a_short_session_never_asks() {
    let mut ids: Vec<EventId> = (0..100).map(|_| EventId::generate()).collect();
    ids.reverse();
    let mut sequencer = Sequencer::default();
    for id in &ids {
        assert_eq!(sequencer.decide(*id), Decision::New);
        sequencer.accept(&meta(*id));
        assert_eq!(sequencer.decide(*id), Decision::Copy);
    }
}

#[test]
fn a_resumed_sequencer_decides_as_the_one_it_continues() {
    let ids: Vec<EventId> = (0..SEQUENCER_IDS * 2).map(|_| EventId::generate()).collect();
    let mut original = Sequencer::default();
    for id in &ids {
        original.accept(&meta(*id));
    }
    let resumed = Sequencer::resume(
        original.position(),
        original.clock(),
        ids[ids.len() - SEQUENCER_IDS..].iter().copied(),
    );
    for id in ids.iter().chain([&EventId::generate()]) {
        assert_eq!(original.decide(*id), resumed.decide(*id));
    }
}
