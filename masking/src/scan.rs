//! Finds secrets in bytes: keywords first, then the patterns of their rules, there and nowhere else.

use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input};

use crate::allow::AllowList;
use crate::rules::{Rule, Rules};
use crate::secret::is_secret;

/// How far back an escape before a word is looked for.
const ESCAPE_BYTES: usize = 16;

/// A secret's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Index into the rules.
    pub(crate) rule: usize,
}

/// Secrets in order, none in another. Sequences that only colour the text count as if they were not there.
pub(crate) fn spans(rules: &Rules, allow: &AllowList, bytes: &[u8]) -> Vec<Span> {
    match Plain::of(rules, bytes) {
        None => plain_spans(rules, allow, bytes),
        Some(plain) => plain_spans(rules, allow, &plain.bytes)
            .into_iter()
            .map(|span| Span {
                start: plain.places[span.start],
                end: plain.places[span.end - 1] + 1,
                rule: span.rule,
            })
            .collect(),
    }
}

/// Appends the sequences in `bytes` that print nothing.
pub(crate) fn copy_transparent(rules: &Rules, bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.contains(&0x1b) {
        for found in rules.transparent.find_iter(bytes) {
            out.extend_from_slice(&bytes[found.range()]);
        }
    }
}

/// Bytes without the sequences that print nothing, and where each of them was.
pub(crate) struct Plain {
    pub(crate) bytes: Vec<u8>,
    pub(crate) places: Vec<usize>,
}

impl Plain {
    /// `None` if there are none.
    pub(crate) fn of(rules: &Rules, bytes: &[u8]) -> Option<Plain> {
        if !bytes.contains(&0x1b) {
            return None;
        }
        let mut plain = Plain {
            bytes: Vec::with_capacity(bytes.len()),
            places: Vec::with_capacity(bytes.len()),
        };
        let mut last = 0;
        for found in rules.transparent.find_iter(bytes) {
            plain.push(bytes, last..found.start());
            last = found.end();
        }
        if last == 0 {
            return None;
        }
        plain.push(bytes, last..bytes.len());
        Some(plain)
    }

    fn push(&mut self, bytes: &[u8], range: std::ops::Range<usize>) {
        self.bytes.extend_from_slice(&bytes[range.clone()]);
        self.places.extend(range);
    }
}

fn plain_spans(rules: &Rules, allow: &AllowList, bytes: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    let mut captures: Option<(usize, Captures)> = None;
    for (start, number) in candidates(rules, bytes) {
        let rule = &rules.rules[number];
        let captures = match &mut captures {
            Some((of, captures)) if *of == number => captures,
            other => &mut other.insert((number, rule.pattern.create_captures())).1,
        };
        if let Some((start, end)) = match_at(rule, bytes, start, captures)
            && is_secret(rules, rule, allow, &bytes[start..end])
        {
            found.push(Span {
                start,
                end,
                rule: number,
            });
        }
    }
    merged(found)
}

/// Where which rule's pattern may begin.
pub(crate) fn candidates<'a>(rules: &'a Rules, bytes: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut runs = Runs::default();
    rules
        .keywords
        .find_overlapping_iter(bytes)
        .flat_map(|keyword| {
            rules.rules_of_keyword[keyword.pattern().as_usize()]
                .iter()
                .map(move |number| (keyword.start(), *number))
        })
        .filter_map(move |(keyword, number)| {
            let rule = &rules.rules[number];
            let start = begin(rule, bytes, keyword)?;
            let is_candidate = (!rule.checks.word || begins_word(rules, bytes, start))
                && !is_other_name(rule, &bytes[..start]);
            (is_candidate && runs.admits(bytes, start, number)).then_some((start, number))
        })
}

/// Bounds the work for texts made to be slow: in a run of token characters that is longer than any token, each rule
/// is tried a few times only.
#[derive(Default)]
struct Runs {
    /// Where the run ends that was met last.
    end: usize,
    is_long: bool,
    /// By rule, in the run that is long.
    tried: Vec<u8>,
}

impl Runs {
    const LONG: usize = 4 * 1024;
    const TRIES: u8 = 8;

    fn admits(&mut self, bytes: &[u8], start: usize, rule: usize) -> bool {
        if start >= self.end {
            let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+/=.~!@#$%^*&:-".contains(byte);
            let length = bytes[start..].iter().take_while(|byte| is_inside(byte)).count();
            self.end = start + length.max(1);
            self.is_long = length > Self::LONG;
            self.tried.clear();
        }
        if !self.is_long {
            return true;
        }
        if self.tried.len() <= rule {
            self.tried.resize(rule + 1, 0);
        }
        self.tried[rule] = self.tried[rule].saturating_add(1);
        self.tried[rule] <= Self::TRIES
    }
}

/// The place where the pattern begins, given that of its keyword.
fn begin(rule: &Rule, bytes: &[u8], keyword: usize) -> Option<usize> {
    let Some(back) = &rule.back else {
        return Some(keyword);
    };
    let length = bytes[..keyword]
        .iter()
        .rev()
        .take(back.most)
        .take_while(|byte| back.chars[usize::from(**byte)])
        .count();
    (length >= back.least).then(|| keyword - length)
}

fn begins_word(rules: &Rules, bytes: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1) else {
        return true;
    };
    if !(bytes[before].is_ascii_alphanumeric() || bytes[before] == b'_') {
        return true;
    }
    // `\nghp_…` in a string of JSON: the n is no part of the word.
    rules
        .escape_at_end
        .is_match(&bytes[start.saturating_sub(ESCAPE_BYTES)..start])
}

/// Whether what stands before makes it the name of something else: `next_token`, `AWS::IAM::AccessKey`.
fn is_other_name(rule: &Rule, before: &[u8]) -> bool {
    if rule.checks.not_after.is_empty() {
        return false;
    }
    let end = before.iter().rposition(|byte| !matches!(byte, b'_' | b'-'));
    let before = &before[..end.map_or(0, |last| last + 1)];
    rule.checks.not_after.iter().any(|word| {
        let tail = &before[before.len().saturating_sub(word.len())..];
        tail.eq_ignore_ascii_case(word.as_bytes())
    })
}

/// The secret's part of what matches here.
fn match_at(rule: &Rule, bytes: &[u8], start: usize, captures: &mut Captures) -> Option<(usize, usize)> {
    let input = Input::new(bytes).span(start..bytes.len()).anchored(Anchored::Yes);
    rule.pattern.search_captures(&input, captures);
    let whole = captures.get_match()?;
    let group = (1..captures.group_len()).find_map(|group| captures.get_group(group));
    let (start, end) = group.map_or((whole.start(), whole.end()), |span| (span.start, span.end));
    let goes_on = rule.checks.end && bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (start < end && !goes_on && !is_code(rule, &bytes[end..])).then_some((start, end))
}

/// A call, an index, or the type of what is assigned: no value.
fn is_code(rule: &Rule, after: &[u8]) -> bool {
    let end_not = rule.checks.end_not.as_bytes();
    if end_not.is_empty() {
        return false;
    }
    let after = &after[..after.len().min(ESCAPE_BYTES)];
    let next = after.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    next == Some(&b'=') || after.first().is_some_and(|first| end_not.contains(first))
}

/// Sorted; what overlaps is one, under the name of the rule that begins first.
pub(crate) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| (span.start, span.rule));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}
