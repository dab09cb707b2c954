use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use serde::Deserialize;

use super::{AllowList, MARKER_START, Masker, Piece, StreamMasker, rule_names};

/// `vectors.json`, which every implementation of the rules is tested with.
#[derive(Deserialize)]
struct Vectors {
    texts: Vec<Vector>,
    json: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(default)]
    rule: Option<String>,
    #[serde(alias = "json")]
    text: Vec<String>,
    masked: String,
    #[serde(default)]
    secret: Vec<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

/// Texts with a secret: the text, and what must be nowhere.
fn planted() -> Vec<(String, String)> {
    let vectors = vectors();
    let with_secret = vectors.texts.iter().filter(|vector| vector.rule.is_some());
    with_secret
        .map(|vector| (vector.text.concat(), vector.secret.concat()))
        .collect()
}

#[test]
fn each_text_of_the_vectors_becomes_what_they_say() {
    let masker = Masker::default();
    for vector in vectors().texts {
        let text = vector.text.concat();
        let masked = masker.mask_text(&text);
        assert_eq!(masked.text, vector.masked, "{text}");
        let counted: Vec<&str> = masked.counts.iter().map(|(rule, _)| rule).collect();
        assert_eq!(counted, Vec::from_iter(vector.rule.as_deref()), "{text}");
        assert!(vector.secret.is_empty() || !masked.text.contains(&vector.secret.concat()));
    }
}

#[test]
fn each_json_of_the_vectors_becomes_what_they_say_as_text_and_in_memory() {
    let masker = Masker::default();
    for vector in vectors().json {
        let json = vector.text.concat();
        let masked = masker.mask_json_text(&json);
        assert_eq!(masked.json, vector.masked, "{json}");
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(masker.mask_json(&mut value), masked.counts);
        assert_eq!(
            value,
            serde_json::from_str::<serde_json::Value>(&vector.masked).unwrap()
        );
    }
}

#[test]
fn every_rule_has_a_vector() {
    let vectors = vectors();
    for rule in rule_names() {
        let has = |vector: &Vector| vector.rule.as_deref() == Some(rule);
        assert!(vectors.texts.iter().any(has), "{rule} has none");
    }
}

#[test]
fn names_of_members_are_masked_and_stay_apart() {
    let secrets: Vec<String> = planted().into_iter().take(2).map(|(_, secret)| secret).collect();
    let json = format!(r#"{{"{}":1,"{}":2}}"#, secrets[0], secrets[1]);
    let masked = Masker::default().mask_json_text(&json).json.into_owned();
    assert_eq!(
        masked,
        r#"{"[masked:anthropic-key]":1,"[masked:anthropic-key]#2":2}"#
    );
}

#[test]
fn what_is_allowed_stays() {
    let (text, secret) = planted()
        .into_iter()
        .find(|(text, _)| text.contains("ghp_"))
        .unwrap();
    for entry in [secret.as_str(), "/ghp_.*/"] {
        let masker = Masker::new(AllowList::parse([entry, ""]).unwrap());
        assert_eq!(masker.mask_text(&text).text, text);
    }
    let other = Masker::new(AllowList::parse(["/ghp_/", "ghp_"]).unwrap());
    assert_ne!(
        other.mask_text(&text).text,
        text,
        "only all of a secret is allowed"
    );
    let list = AllowList::parse_list(&format!("a, {secret},/x{{1,2}} y/\n/z/")).unwrap();
    assert_eq!(Masker::new(list.clone()).mask_text(&text).text, text);
    assert!(list.allows(b"xx y") && list.allows(b"z") && !list.allows(b"xxx y"));
    let error = AllowList::parse(["/a(/"]).unwrap_err().to_string();
    assert!(error.starts_with("`/a(/` is not a regular expression"), "{error}");
}

#[test]
fn a_secret_over_pieces_is_cut_out_of_each() {
    let masker = Masker::default();
    let secret = ["ghp_aB3dE5gH", "7jK9mN1pQ3sT5vW7", "yZ9bC1dE3fG5"];
    for line_end in ["", "\n", "\r\n"] {
        let pieces = secret.map(|part| format!("{part}{line_end}"));
        let pieces = pieces.each_ref().map(|piece| Piece(piece.as_bytes()));
        let joined = masker.joined(&pieces);
        assert_eq!((joined.len(), joined[0].rule), (1, "github-token"));
        let ranges: Vec<_> = joined[0]
            .cuts
            .iter()
            .map(|cut| (cut.piece, cut.range.clone(), &*cut.marker))
            .collect();
        // Between the first and the last part, its line end goes with it.
        let middle = 16 + line_end.len();
        let first = 12 + line_end.len();
        assert_eq!(
            ranges,
            [
                (0, 0..first, "[masked:github-token]"),
                (1, 0..middle, ""),
                (2, 0..12, "")
            ]
        );
    }
    let whole = [
        Piece(b"a "),
        Piece(b"ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5 "),
        Piece(b"b"),
    ];
    assert!(masker.joined(&whole).is_empty());
}

/// Feeds chunks that come `gap` apart, with all ticks that are due.
fn streamed(chunks: &[&[u8]], gap: Duration) -> Vec<u8> {
    let mut stream = StreamMasker::new(Masker::default());
    let mut out = Vec::new();
    let mut now = Duration::ZERO;
    for chunk in chunks {
        stream.push(chunk, now, &mut out);
        now += gap;
        if stream.deadline().is_some_and(|deadline| deadline <= now) {
            stream.tick(now, &mut out);
        }
    }
    stream.flush(&mut out);
    out
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_stream_cut_at_any_byte_masks_as_the_whole_does() {
    let masker = Masker::default();
    for (text, _) in planted() {
        let text = text.as_bytes();
        let whole = masker.mask_bytes(text).bytes.into_owned();
        for at in 0..=text.len() {
            let out = streamed(&[&text[..at], &text[at..]], Duration::ZERO);
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(&whole),
                "cut at {at}"
            );
        }
    }
}

#[test]
fn a_prompt_is_seen_while_somebody_thinks_and_what_they_type_is_not() {
    let mut stream = StreamMasker::new(Masker::default());
    let mut out = Vec::new();
    stream.push(b"API_TOKEN: ", Duration::ZERO, &mut out);
    stream.tick(Duration::from_millis(100), &mut out);
    assert_eq!(out, b"API_TOKEN: ");
    for (index, byte) in b"aB3dE5gH7jK9mN1pQ3sT5vW7".iter().enumerate() {
        let now = Duration::from_millis(500 * (index as u64 + 1));
        stream.push(&[*byte], now, &mut out);
        stream.tick(now + Duration::from_millis(100), &mut out);
    }
    assert_eq!(out, b"API_TOKEN: ");
    stream.push(b"\r\n", Duration::from_secs(60), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "API_TOKEN: [masked:named-secret]\r\n"
    );
}

#[test]
fn ordinary_output_goes_through_at_once() {
    let mut stream = StreamMasker::new(Masker::default());
    let mut out = Vec::new();
    stream.push(b"   Compiling serde v1.0\r\n$ ", Duration::ZERO, &mut out);
    assert_eq!(out, b"   Compiling serde v1.0\r\n$ ");
    assert_eq!(stream.deadline(), None);
}

#[test]
fn a_text_made_to_be_slow_is_tried_a_few_times_only() {
    let rules = crate::rules::Rules::built_in();
    for bait in ["eyJ-", "sk-ant-", "token=", "ya29."] {
        let text = bait.repeat(100_000);
        let tried = crate::scan::candidates(rules, text.as_bytes()).count();
        assert!(tried <= 8 * rules.rules.len(), "{bait}: {tried}");
    }
}

#[test]
fn what_is_held_is_bounded() {
    let mut stream = StreamMasker::new(Masker::default());
    let mut out = Vec::new();
    stream.push(b"-----BEGIN RSA PRIVATE KEY-----\n", Duration::ZERO, &mut out);
    let line = [b"x ".repeat(500), b"\n".to_vec()].concat();
    let mut fed = 32;
    while fed < 1_000_000 {
        stream.push(&line, Duration::ZERO, &mut out);
        fed += line.len();
        assert!(fed - out.len() <= 70_000, "held {}", fed - out.len());
    }
}

fn chunks_of<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn a_planted_text() -> impl Strategy<Value = (String, String)> {
    (any::<Index>(), "[ -~\n\t]{0,80}", "[ -~\n\t]{0,80}").prop_flat_map(|(which, before, after)| {
        let planted = planted();
        let (text, secret) = which.get(&planted).clone();
        Just((format!("{before}\n{text}\n{after}"), secret))
    })
}

proptest! {
    #[test]
    fn no_stream_ever_shows_a_whole_secret(
        (text, secret) in a_planted_text(),
        cuts in proptest::collection::vec(any::<Index>(), 0..12),
        gap in 0u64..300,
    ) {
        let out = streamed(&chunks_of(text.as_bytes(), &cuts), Duration::from_millis(gap));
        prop_assert!(!contains(&out, secret.as_bytes()), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn without_secrets_every_byte_comes_out(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        cuts in proptest::collection::vec(any::<Index>(), 0..12),
        gap in 0u64..300,
    ) {
        let out = streamed(&chunks_of(&bytes, &cuts), Duration::from_millis(gap));
        prop_assert_eq!(out, bytes);
    }

    #[test]
    fn masked_again_it_is_the_same((text, _) in a_planted_text()) {
        let masker = Masker::default();
        let once = masker.mask_text(&text).text.into_owned();
        prop_assert!(once.contains(MARKER_START));
        let twice = masker.mask_text(&once);
        prop_assert_eq!(&*twice.text, &once);
    }

    #[test]
    fn any_json_stays_json_and_keeps_its_other_values(text in "[ -~]{0,40}", number in any::<f64>()) {
        let (_, secret) = &planted()[0];
        let value = serde_json::json!({"a": [text, number], format!("k{text}"): secret, "deep": {"b": text}});
        let mut masked = value.clone();
        let counts = Masker::default().mask_json(&mut masked);
        prop_assert!(counts.total() >= 1);
        prop_assert_eq!(&masked["a"][1], &value["a"][1]);
        prop_assert!(!masked.to_string().contains(secret.as_str()));
    }
}
