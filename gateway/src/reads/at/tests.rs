use super::*;

fn since(seconds: f64) -> Option<At> {
    Some(At::Since(TimeDelta::microseconds((seconds * 1e6) as i64)))
}

#[test]
fn every_form_of_a_moment_is_understood() {
    let time = |text: &str| Timestamp::parse(text).map(At::Time);
    let id = "01a1fb99-70d8-7778-bc66-4c9df322dc39";
    for (text, expected) in [
        ("live", Some(At::Live)),
        ("0", Some(At::Position(0))),
        ("1234", Some(At::Position(1234))),
        ("99999999999999999999", Some(At::Position(i64::MAX))),
        ("90s", since(90.0)),
        ("0s", since(0.0)),
        ("1.25s", since(1.25)),
        ("12m30s", since(750.0)),
        ("12m", since(720.0)),
        ("1h", since(3600.0)),
        ("1h2m3s", since(3723.0)),
        ("1:02:03", since(3723.0)),
        ("02:03", since(123.0)),
        ("2:03.5", since(123.5)),
        ("90:00", since(5400.0)),
        ("2026-01-31T12:00:00Z", time("2026-01-31T12:00:00Z")),
        ("2026-01-31T12:00:00.5+02:00", time("2026-01-31T10:00:00.5Z")),
        ("2026-01-31T12:00:00 02:00", time("2026-01-31T10:00:00Z")),
        (id, EventId::parse(id).ok().map(At::Event)),
    ] {
        assert_eq!(At::parse(text), expected, "{text}");
        assert!(expected.is_some(), "{text}");
    }
}

#[test]
fn what_is_no_moment_is_refused() {
    for text in [
        "",
        "now",
        "-1",
        "1.5",
        "s",
        "m",
        "90 s",
        "30s12m",
        "1m2m",
        "1s1",
        "1:2:3:4",
        ":30",
        "1:",
        "1:234",
        "1.5:00",
        "1e3s",
        "infs",
        "NaNs",
        "..s",
        "2026-01-31",
        "2026-01-31T12:00:00",
        // A UUID of another version is nobody's event.
        "936da01f-9abd-4d9d-80c7-02af85c822a8",
    ] {
        assert_eq!(At::parse(text), None, "{text}");
    }
}

#[test]
fn times_beyond_all_sessions_do_not_overflow() {
    for text in ["99999999999999999999s", "99999999999h", "99999999999999:00:00"] {
        assert!(matches!(At::parse(text), Some(At::Since(_))), "{text}");
    }
}

#[test]
fn t_is_another_name_and_its_bare_digits_are_seconds() {
    let of = |query: &str| {
        At::of(&Parameters::of(&format!("/?{query}").parse().expect("a URI")).expect("a query"))
    };
    assert_eq!(of(""), Ok(At::Live));
    assert_eq!(of("at="), Ok(At::Live));
    assert_eq!(of("at=90"), Ok(At::Position(90)));
    assert_eq!(of("t=90").ok(), since(90.0));
    assert_eq!(of("t=1:30").ok(), since(90.0));
    assert_eq!(of("t=live"), Ok(At::Live));
    assert_eq!(of("at=7&t=90"), Ok(At::Position(7)));
    assert_eq!(of("at=soon").expect_err("no moment").field.as_deref(), Some("at"));
    assert_eq!(of("t=soon").expect_err("no moment").field.as_deref(), Some("t"));
}
