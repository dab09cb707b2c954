use super::*;

fn tidied(text: &str) -> String {
    tidy(text).unwrap().into_owned()
}

#[test]
fn white_space_between_tokens_goes_and_nothing_else_changes() {
    assert_eq!(
        tidied("{ \"a b\" :\n[1.0 ,\t2e5,\r\n\"x \\\" y\\\\\" , null ] }"),
        r#"{"a b":[1.0,2e5,"x \" y\\",null]}"#
    );
    assert_eq!(tidied(r#""é \n""#), r#""é \n""#);
    assert_eq!(tidied("-0.0"), "-0.0");
    assert!(matches!(tidy(r#"{"a":[1,2]}"#), Ok(Cow::Borrowed(_))));
}

#[test]
fn a_member_may_be_nested_as_deep_as_data_allows() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(tidy(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(tidy(&nested(MAX_DEPTH)).is_err());
    assert!(tidy(&nested(100_000)).is_err());
    // Siblings do not add up, and brackets in strings do not count.
    assert!(tidy(&format!("[{}\"{}\"]", "[],".repeat(1000), "[".repeat(1000))).is_ok());
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for bad in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\uD800\ud800""#,
        r#""\uDFFFx""#,
        r#"["a",{"\ud83d":1}]"#,
        r#""\ud83d\\dc00""#,
    ] {
        assert!(tidy(bad).is_err(), "{bad}");
    }
    for good in [
        r#""\ud83d\ude00""#,
        r#""\uD83D\uDE00x""#,
        r#""\\ud800""#,
        r#""\u00e9\u0000""#,
        r#""\\\\ud800""#,
    ] {
        assert!(tidy(good).is_ok(), "{good}");
        serde_json::from_str::<String>(good).unwrap();
    }
}

#[test]
fn members_keep_duplicates_and_unread_values() {
    let Members(members) = serde_json::from_str(r#"{"a": 1.0, "\u0062":"x", "a":{"b":[]}}"#).unwrap();
    let members: Vec<(&str, &str)> = members
        .iter()
        .map(|(name, value)| (name.as_ref(), value.get()))
        .collect();
    assert_eq!(members, [("a", "1.0"), ("b", r#""x""#), ("a", r#"{"b":[]}"#)]);
    assert!(serde_json::from_str::<Members>("[]").is_err());
}

#[test]
fn strings_borrow_where_they_can() {
    assert!(matches!(string(r#""plain""#), Some(Ok(Cow::Borrowed("plain")))));
    assert_eq!(string(r#""a\u0000b""#).unwrap().unwrap(), "a\0b");
    assert!(string(r#""\ud800""#).unwrap().is_err());
    assert!(string("5").is_none());
}
