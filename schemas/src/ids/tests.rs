use super::*;

#[test]
fn session_ids_need_no_escaping_in_a_url() {
    for good in ["a", "2026-01-01T10:00:00Z", "nex.1_b~c-d", &"x".repeat(128)] {
        assert_eq!(SessionId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", ".", "..", "a b", "a/b", "é", "a\0b", "a%20", &"x".repeat(129)] {
        assert!(SessionId::parse(bad).is_err(), "{bad:?}");
    }
    assert!(SessionId::parse(SessionId::generate().as_str()).is_ok());
}

#[test]
fn agent_ids_may_be_words_of_any_script() {
    for good in ["nex", "Nex the 2nd", "агент-7", &"é".repeat(128)] {
        assert_eq!(AgentId::parse(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        ".",
        "..",
        " a",
        "a ",
        "a/b",
        "a\nb",
        "a\0b",
        "\u{a0}a",
        &"é".repeat(129),
    ] {
        assert!(AgentId::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn event_ids_are_uuids_of_version_7_or_8_in_one_spelling() {
    let seven = "01936b2e-8d3c-7cc0-b1a2-0123456789ab";
    assert_eq!(EventId::parse(seven).unwrap().to_string(), seven);
    assert_eq!(EventId::parse(&seven.to_uppercase()).unwrap().to_string(), seven);
    assert!(EventId::parse("01936b2e-8d3c-8cc0-b1a2-0123456789ab").is_ok());
    for bad in [
        "",
        "01936b2e8d3c7cc0b1a20123456789ab",
        "{01936b2e-8d3c-7cc0-b1a2-0123456789ab}",
        "urn:uuid:01936b2e-8d3c-7cc0-b1a2-0123456789ab",
        "01936b2e-8d3c-4cc0-b1a2-0123456789ab",
        "01936b2e-8d3c-7cc0-01a2-0123456789ab",
        "00000000-0000-0000-0000-000000000000",
        "01936b2e-8d3c-7cc0-b1a2-0123456789ag",
    ] {
        assert!(EventId::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn derived_ids_depend_on_every_part_and_stay_the_same() {
    let id = EventId::derive(&[b"session", b"event"]);
    assert_eq!(id, EventId::derive(&[b"session", b"event"]));
    assert_ne!(id, EventId::derive(&[b"sessione", b"vent"]));
    assert_ne!(id, EventId::derive(&[b"session", b"event", b""]));
    assert_eq!(EventId::from_uuid(id.uuid()), Ok(id));
    // Written down in logs: must never change.
    assert_eq!(id.to_string(), "00000000-6731-83ff-895a-e0af83bab922");
}

#[test]
fn fresh_ids_rise() {
    let ids: Vec<EventId> = (0..1000).map(|_| EventId::generate()).collect();
    assert!(ids.is_sorted());
}
