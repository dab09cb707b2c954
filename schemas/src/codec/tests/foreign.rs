//! Records that this build did not write: newer builds', other producers', and plain rubbish.

use proptest::prelude::*;

use super::*;
use crate::json_text::MAX_DEPTH;

fn sample() -> Bytes {
    encode(&event(
        "thought",
        r#"{"content":"hello","type":"decision","x":[1,2]}"#,
    ))
}

fn with_id(record: &Bytes, id: [u8; 4]) -> Bytes {
    let mut record = record.to_vec();
    record[1..5].copy_from_slice(&id);
    record.into()
}

/// Any meta and body with our frame, in ways that `encode_record` would not allow.
fn written(meta: &Meta, kind: &str, body: &[(bool, Slot<'_>)]) -> Bytes {
    let plan = plan::newest(Kind::known(kind).unwrap().entry().unwrap()).unwrap();
    let mut out = vec![0];
    out.extend_from_slice(&plan.id.0.to_be_bytes());
    plan::META
        .writer
        .write_ser(
            &mut out,
            &meta::MetaToWrite {
                meta,
                newer_kind: None,
            },
        )
        .unwrap();
    plan.body.writer.write_ser(&mut out, &BodyToWrite(body)).unwrap();
    out.into()
}

fn text(text: &str) -> Slot<'_> {
    Slot::Text(Cow::Borrowed(text))
}

fn extra<'a>(members: &[(&'a str, &'a str)]) -> Slot<'a> {
    Slot::Map(
        members
            .iter()
            .map(|(name, text)| (Cow::Borrowed(*name), Cow::Borrowed(*text)))
            .collect(),
    )
}

fn thought_with(members: &[(&str, &str)]) -> Bytes {
    let body = [
        (false, text("hello")),
        (true, Slot::Absent),
        (true, Slot::Absent),
        (false, extra(members)),
        (true, Slot::Absent),
    ];
    written(&meta(), "thought", &body)
}

fn code(record: &Bytes) -> String {
    let event = decode(record);
    assert_eq!(event.kind, Kind::Unreadable);
    assert_eq!(event.record.as_ref(), Some(record));
    assert_eq!(event.meta, meta());
    let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
    assert_eq!(data["base64"], STANDARD.encode(record));
    data["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_newer_kind_or_version_is_kept_whole() {
    for (id, name) in [
        ([0x4B, 0, 5, 2], "unknown.4b000502"),
        ([0x4B, 0x12, 0, 1], "unknown.4b120001"),
        ([0x4B, 0, 5, 0], "unknown.4b000500"),
    ] {
        let record = with_id(&sample(), id);
        let event = decode(&record);
        assert_eq!(event.kind, Kind::Unknown(name.into()));
        assert_eq!(event.meta, meta());
        assert_eq!(event.record.as_ref(), Some(&record));
        let id = u32::from_be_bytes(id);
        assert_eq!(
            event.data.get(),
            format!(r#"{{"base64":"{}","schema":{id}}}"#, STANDARD.encode(&record))
        );
    }
}

#[test]
fn a_newer_kind_says_its_name_but_cannot_pass_for_a_known_one() {
    for (attribute, name) in [
        ("handoff.requested", "handoff.requested"),
        ("thought", "unknown.4b00ff01"),
        ("unreadable", "unknown.4b00ff01"),
        ("", "unknown.4b00ff01"),
        ("Bad Name", "unknown.4b00ff01"),
    ] {
        let mut named = event("thought", r#"{"content":"hello"}"#);
        named.meta.attributes.insert("kind".into(), attribute.into());
        let record = with_id(&encode(&named), [0x4B, 0, 0xFF, 1]);
        assert_eq!(decode(&record).kind, Kind::Unknown(name.into()));
    }
}

#[test]
fn a_newer_kinds_name_is_written_once() {
    let mut meta = meta();
    meta.attributes = BTreeMap::from([("a".into(), "b".into()), ("kind".into(), "forged".into())]);
    let mut out = Vec::new();
    let to_write = meta::MetaToWrite {
        meta: &meta,
        newer_kind: Some("handoff.requested"),
    };
    plan::META.writer.write_ser(&mut out, &to_write).unwrap();
    let read: meta::MetaRead = plan::META.reader.read_deser(&mut &out[..]).unwrap();
    let attributes = read.checked().unwrap().attributes;
    assert_eq!(
        attributes,
        BTreeMap::from([
            ("a".into(), "b".into()),
            ("kind".into(), "handoff.requested".into())
        ])
    );
}

#[test]
fn what_is_not_ours_has_a_reason() {
    let reason = |key: Option<&[u8]>, value: Option<&Bytes>| decode_record(key, value).unwrap_err().reason();
    let key = Some(&b"s-1"[..]);
    assert_eq!(reason(key, None), "framing");
    assert_eq!(reason(key, Some(&Bytes::new())), "framing");
    assert_eq!(
        reason(key, Some(&Bytes::from_static(&[0, 0x4B, 0, 5]))),
        "framing"
    );
    assert_eq!(
        reason(key, Some(&Bytes::from_static(b"{\"kind\":\"thought\"}"))),
        "framing"
    );
    assert_eq!(reason(key, Some(&with_id(&sample(), [0, 0, 0, 7]))), "framing");
    assert_eq!(
        reason(key, Some(&Bytes::from_static(&[0, 0x4B, 0, 5, 1]))),
        "meta"
    );
    assert_eq!(reason(key, Some(&sample().slice(..40))), "meta");
    assert_eq!(reason(Some(b"s-2"), Some(&sample())), "key");
    assert_eq!(reason(None, Some(&sample())), "key");
}

#[test]
fn ids_and_times_of_foreign_records_are_checked_again() {
    #[derive(Serialize)]
    struct Loose<'a>(
        &'a str,
        &'a str,
        &'a str,
        i64,
        i64,
        &'a str,
        Option<&'a str>,
        Option<i64>,
        Option<i64>,
        Option<&'a str>,
        BTreeMap<&'a str, &'a str>,
    );
    const ID: &str = "01936b2e-8d3c-7cc0-b1a2-0123456789ab";
    fn good() -> Loose<'static> {
        Loose(
            ID,
            "s-1",
            "nex",
            0,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        )
    }
    let outcome = |meta: Loose<'_>| {
        // A tuple struct wants the record's name; a tuple does not.
        let tuple = (
            meta.0, meta.1, meta.2, meta.3, meta.4, meta.5, meta.6, meta.7, meta.8, meta.9, meta.10,
        );
        let mut out = vec![0, 0x4B, 0, 5, 1];
        plan::META.writer.write_ser(&mut out, &tuple).unwrap();
        decode_record(Some(b"s-1"), Some(&out.into())).map_err(|e| e.reason())
    };
    // The body is missing, the meta is fine.
    assert_eq!(outcome(good()).unwrap().kind, Kind::Unreadable);
    for bad in [
        Loose(
            "not-a-uuid",
            "s-1",
            "nex",
            0,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            "01936b2e-8d3c-4cc0-b1a2-0123456789ab",
            "s-1",
            "nex",
            0,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s 1",
            "nex",
            0,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "a/b",
            0,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "nex",
            i64::MAX,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "nex",
            0,
            i64::MIN,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "nex",
            0,
            0,
            "robot",
            None,
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "nex",
            0,
            0,
            "agent",
            Some("a\0"),
            None,
            None,
            None,
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "nex",
            0,
            0,
            "agent",
            None,
            None,
            None,
            Some("x"),
            BTreeMap::new(),
        ),
        Loose(
            ID,
            "s-1",
            "nex",
            0,
            0,
            "agent",
            None,
            None,
            None,
            None,
            BTreeMap::from([("a", "\0")]),
        ),
    ] {
        assert_eq!(outcome(bad).unwrap_err(), "meta");
    }
}

#[test]
fn a_body_that_cannot_be_read_keeps_its_bytes_and_says_why() {
    let record = sample();
    assert_eq!(code(&record.slice(..record.len() - 1)), "avro");
    assert_eq!(code(&[&record[..], b"x"].concat().into()), "trailing_bytes");
    assert_eq!(code(&thought_with(&[("x", "{")])), "data");
    assert_eq!(code(&thought_with(&[("x", "1 2")])), "data");
    assert_eq!(code(&thought_with(&[("x", r#""\ud800""#)])), "data");
    assert_eq!(code(&thought_with(&[("x", "1"), ("x", "1")])), "data");
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(code(&thought_with(&[("x", &deep)])), "data");
    let body = [
        (false, text("")),
        (true, Slot::Absent),
        (true, text("{,}")),
        (false, extra(&[])),
        (true, Slot::Absent),
    ];
    assert_eq!(code(&written(&meta(), "thought", &body)), "data");
    let body = [
        (false, text("")),
        (true, Slot::Absent),
        (true, Slot::Absent),
        (false, extra(&[])),
        (true, text("\0")),
    ];
    assert_eq!(code(&written(&meta(), "thought", &body)), "raw");
}

#[test]
fn a_foreign_producers_own_ways_are_read_all_the_same() {
    // Extra wins over the typed field; white space and closed sets are not held against it.
    let body = [
        (false, text("typed")),
        (true, text("musing")),
        (true, text(" { \"a\": 1 } ")),
        (false, extra(&[("content", " \"extra\"\n")])),
        (true, Slot::Absent),
    ];
    let event = decode(&written(&meta(), "thought", &body));
    assert_eq!(
        event.data.get(),
        r#"{"type":"musing","metadata":{"a":1},"content":"extra"}"#
    );

    let output = |of_text: &'static [u8], of_base64: Slot<'static>| {
        let mut body = vec![(true, Slot::Bytes(Cow::Borrowed(of_text))), (true, of_base64)];
        body.extend((0..4).map(|_| (true, Slot::Absent)));
        body.extend([(false, extra(&[])), (true, Slot::Absent)]);
        written(&meta(), "terminal.output", &body)
    };
    assert_eq!(
        decode(&output(b"ok", Slot::Absent)).data.get(),
        r#"{"text":"ok"}"#
    );
    // Bytes that are not UTF-8 come out as base64.
    assert_eq!(
        decode(&output(b"\xff\x00", Slot::Absent)).data.get(),
        r#"{"base64":"/wA="}"#
    );
    assert_eq!(code(&output(b"\xff", Slot::Bytes(Cow::Borrowed(b"x")))), "data");
}

#[test]
fn lengths_that_lie_cost_nothing() {
    // A thought whose content claims to have 8 MiB, and one whose extra claims 2^60 members.
    let record = sample();
    let body = record.len() - (encode(&event("thought", r#"{"content":""}"#)).len() - 5);
    let start = record.windows(6).position(|w| w == b"\x0ahello").unwrap();
    assert!(body > 0);
    for lie in [
        &[0x80, 0x80, 0x80, 0x08][..],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20],
        &[0xff; 12],
        &[0x01],
    ] {
        let record: Bytes = [&record[..start], lie].concat().into();
        assert_eq!(code(&record), "avro");
    }
    let members: Bytes = [
        &record[..start],
        b"\x0ahello\0\0",
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20],
    ]
    .concat()
    .into();
    assert_eq!(code(&members), "avro");
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let framed = [&[0, 0x4B, 0, 5, 1][..], &bytes].concat();
        drop(decode_record(Some(b"s-1"), Some(&framed.into())));
        drop(decode_record(Some(b"s-1"), Some(&bytes.into())));
    }

    #[test]
    fn a_damaged_record_has_an_answer(at in 5_usize..120, byte in any::<u8>(), cut in 0_usize..120, kind in 1_u8..40) {
        let mut record = sample().to_vec();
        let length = record.len();
        record[at.min(length - 1)] = byte;
        record[3] = kind;
        record.truncate(length - cut.min(length));
        drop(decode_record(Some(b"s-1"), Some(&record.into())));
    }
}
