use chrono::TimeDelta;

use super::*;
use crate::reads::at::At;

const ID: &str = "0190b2f0-6f00-7000-8000-000000000001";

fn subscription(text: &str) -> SubscriptionRequest {
    match parse(text) {
        Ok(ClientMessage::Subscribe(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn change(text: &str) -> Change {
    match parse(text) {
        Ok(ClientMessage::Change { change, .. }) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscription_has_sensible_defaults() {
    let request = subscription(r#"{"op":"subscribe","session":"s1"}"#);
    assert_eq!((request.from, request.state), (From::Start, false));
    let settings = request.settings;
    assert_eq!(
        (settings.pace, settings.filter, settings.paused),
        (Pace::Max, Filter::All, false)
    );
    let request = subscription(
        r#"{"op":"subscribe","sub":"a","session":"s1","from":{"position":7},"speed":1,"idle_cap_ms":2000,"kinds":["thought"]}"#,
    );
    let settings = request.settings;
    assert_eq!(
        (request.from, settings.pace),
        (From::Position(7, None), Pace::Speed(1.0))
    );
    assert!(settings.filter.matches("thought") && settings.filter.matches("session.ended"));
    assert!(!settings.filter.matches("usage"));
}

#[test]
fn an_agent_is_followed_live_unless_told() {
    match parse(r#"{"op":"subscribe","agent":"nex"}"#) {
        Ok(ClientMessage::Follow(request)) => {
            assert_eq!((request.agent.as_str(), request.from), ("nex", From::Live));
        }
        other => panic!("{other:?}"),
    }
    assert!(parse(r#"{"op":"subscribe","agent":"nex","session":"s"}"#).is_err());
}

#[test]
fn a_place_has_many_names() {
    let id = EventId::parse(ID).expect("an id");
    let since = |seconds| From::Moment(At::Since(TimeDelta::seconds(seconds)));
    let cases = [
        (r#""live""#.to_owned(), From::Live),
        (r#""start""#.to_owned(), From::Start),
        (r#"{"position":7}"#.to_owned(), From::Position(7, None)),
        (
            format!(r#"{{"position":7,"id":"{ID}"}}"#),
            From::Position(7, Some(id)),
        ),
        (r#"{"time":90}"#.to_owned(), since(90)),
        (r#"{"time":"90"}"#.to_owned(), since(90)),
        (r#"{"time":"1:02:03"}"#.to_owned(), since(3723)),
        (format!(r#"{{"marker":"{ID}"}}"#), From::Moment(At::Event(id))),
        (format!(r#"{{"event":"{ID}"}}"#), From::Moment(At::Event(id))),
    ];
    for (to, place) in cases {
        let seek = change(&format!(r#"{{"op":"seek","to":{to}}}"#));
        let state = true;
        assert_eq!(seek, Change::Seek { to: place, state }, "{to}");
    }
    let time = subscription(r#"{"op":"subscribe","session":"s","from":{"time":"2026-01-31T12:00:00Z"}}"#);
    assert!(matches!(time.from, From::Moment(At::Time(_))));
}

#[test]
fn what_may_be_changed_on_the_way() {
    assert_eq!(change(r#"{"op":"pause","sub":"a"}"#), Change::Pause);
    assert_eq!(change(r#"{"op":"play"}"#), Change::Play);
    let pace = |pace, idle_cap| Change::Pace { pace, idle_cap };
    assert_eq!(
        change(r#"{"op":"speed","speed":0.1}"#),
        pace(Pace::Speed(0.1), None)
    );
    assert_eq!(
        change(r#"{"op":"speed","speed":{"deadline_s":90},"idle_cap_ms":5}"#),
        pace(
            Pace::Deadline(Duration::from_secs(90)),
            Some(Duration::from_millis(5))
        )
    );
    assert_eq!(
        change(r#"{"op":"filter","kinds":null}"#),
        Change::Filter(Filter::All)
    );
    assert!(matches!(
        change(r#"{"op":"filter","kinds":["chat"]}"#),
        Change::Filter(Filter::Kinds(_))
    ));
}

#[test]
fn what_cannot_be_followed_says_for_which_subscription() {
    let cases = [
        r#"{"op":"dance"}"#,
        r#"{"op":"subscribe"}"#,
        r#"{"op":"subscribe","session":"a/b"}"#,
        r#"{"op":"subscribe","session":"s","from":{"position":-1}}"#,
        r#"{"op":"subscribe","session":"s","from":{"time":"soon"}}"#,
        r#"{"op":"subscribe","session":"s","from":{"event":"1"}}"#,
        r#"{"op":"subscribe","session":"s","speed":0}"#,
        r#"{"op":"subscribe","session":"s","speed":65}"#,
        r#"{"op":"subscribe","session":"s","speed":{"deadline_s":0}}"#,
        r#"{"op":"seek"}"#,
        r#"{"op":"speed"}"#,
        r#"{"op":"chat"}"#,
        r#"{"op":"chat","text":"hi","id":"mine"}"#,
        r#"{"op":"chat","text":"hi","at":"1"}"#,
        r#"{"op":"mark"}"#,
    ];
    for text in cases {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse("{").is_err());
    let problem = parse(r#"{"op":"seek","sub":"a","id":7}"#).expect_err("no `to`");
    assert_eq!(
        (problem.sub.as_deref(), problem.id),
        (Some("a"), Some(Value::from(7)))
    );
    let problem = parse(r#"{"op":"dance","sub":"a"}"#).expect_err("no such op");
    assert_eq!(problem.sub.as_deref(), Some("a"));
    assert!(problem.detail.contains("subscribe"), "{problem}");
}
