//! Whether what a pattern matched is a secret, or only looks like one.

use crate::allow::AllowList;
use crate::rules::{Checks, Rule, Rules};

/// No secret begins with these: paths, variables, attributes.
const NEVER_FIRST: &[u8] = b"/.$%@&";

pub(crate) fn is_secret(rules: &Rules, rule: &Rule, allow: &AllowList, secret: &[u8]) -> bool {
    let checks = &rule.checks;
    if secret.len() < checks.min_length
        || (checks.digit && !secret.iter().any(u8::is_ascii_digit))
        || (checks.mixed && !is_mixed(secret))
        || (checks.random && !is_random(secret))
        || (checks.password && is_common_password(rules, secret))
    {
        return false;
    }
    if checks.min_entropy > 0.0 && entropy(secret) < checks.min_entropy {
        return false;
    }
    !is_placeholder(rules, checks, secret) && !allow.allows(secret)
}

fn is_placeholder(rules: &Rules, checks: &Checks, secret: &[u8]) -> bool {
    // By chance every word is in a text that is long enough.
    secret.len() <= 200
        && (rules.placeholders.is_match(secret)
            || ((checks.random || checks.password) && rules.placeholders_of_named.is_match(secret)))
}

fn is_mixed(secret: &[u8]) -> bool {
    secret.iter().any(u8::is_ascii_alphabetic) && secret.iter().any(u8::is_ascii_digit)
}

/// Whether a generator made it, rather than a person who gave something a name: long enough, of many characters, and
/// changing often between capitals, small letters and digits.
fn is_random(secret: &[u8]) -> bool {
    if secret.len() < 16
        || secret.first().is_some_and(|first| NEVER_FIRST.contains(first))
        || !is_mixed(secret)
        || entropy(secret) < 3.0
    {
        return false;
    }
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'a'..=b'z' => Some(2),
        _ => None,
    };
    let classes: Vec<u8> = secret.iter().filter_map(class).collect();
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    changes * 100 >= secret.len() * 20
}

fn is_common_password(rules: &Rules, secret: &[u8]) -> bool {
    let first = secret.first().copied().unwrap_or_default();
    // `http://host:8080/a@b` has a port there, and a path; `PASSWORD: u32 = 0x200` is a flag.
    let digits = secret.iter().take_while(|byte| byte.is_ascii_digit()).count();
    NEVER_FIRST.contains(&first)
        || secret.starts_with(b"0x")
        || (digits > 0 && secret.get(digits) == Some(&b'/'))
        || matches!(first, b'{' | b'<')
        || rules
            .placeholder_passwords
            .iter()
            .any(|common| common.as_bytes().eq_ignore_ascii_case(secret))
}

/// Shannon's, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}
