//! A whole stream: what a terminal prints, in chunks that end anywhere.
//!
//! What could still become a secret is held back, nothing else: a chunk of ordinary output goes through at once, up to
//! its last word, which waits for the next chunk or 100 ms. Pure: the caller tells the time.

use std::time::Duration;

use regex_automata::{Anchored, hybrid};

use crate::scan::{self, Plain, Span};
use crate::{Counts, Masker};

/// How long what may become a secret waits for the rest. After it, what stands before its value goes out: a prompt
/// `Password: ` is seen while somebody thinks. The begun value itself waits on.
pub const HOLD: Duration = Duration::from_millis(100);
/// More is not held: what is a secret as it stands is masked, the rest goes out.
const MAX_HELD: usize = 64 * 1024;
/// A word that goes on for longer is no secret's first part, unless a rule says so.
const MAX_WORD: usize = 128;
/// What stays known of what went out, so that a secret which began in it is found.
const CONTEXT: usize = 512;

/// Masks a stream, however it is cut. Memory: at most 64 KiB beside the chunk.
///
/// For whatever is fed: without secrets what comes out is byte for byte what went in, and a secret that a rule knows is
/// never in what comes out, whole.
#[derive(Debug)]
pub struct StreamMasker {
    masker: Masker,
    /// What went out last, as it was before masking; then what is held.
    bytes: Vec<u8>,
    /// Where in `bytes` what is held begins.
    held_from: usize,
    /// When the oldest byte that is held came.
    held_since: Option<Duration>,
    counts: Counts,
    caches: Vec<Option<Box<hybrid::dfa::Cache>>>,
}

impl StreamMasker {
    /// At the start of a stream.
    pub fn new(masker: Masker) -> Self {
        let rules = masker.rules.rules.len();
        StreamMasker {
            masker,
            bytes: Vec::new(),
            held_from: 0,
            held_since: None,
            counts: Counts::default(),
            caches: (0..rules).map(|_| None).collect(),
        }
    }

    /// Feeds a chunk. Appends to `out` what can go out. `now` is any clock that does not go back.
    pub fn push(&mut self, chunk: &[u8], now: Duration, out: &mut Vec<u8>) {
        if chunk.is_empty() {
            return;
        }
        self.held_since.get_or_insert(now);
        self.bytes.extend_from_slice(chunk);
        let suspect = self.suspect();
        self.release(self.word_before(suspect), now, out);
        if self.bytes.len() - self.held_from > MAX_HELD {
            self.release(self.bytes.len(), now, out);
        }
    }

    /// When to call `tick`, if something is held that time lets go.
    pub fn deadline(&self) -> Option<Duration> {
        self.held_since.map(|since| since + HOLD)
    }

    /// Lets go of what was held for long enough.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<u8>) {
        if self.held_since.is_none_or(|since| now < since + HOLD) {
            return;
        }
        let suspect = self.suspect();
        let value = self.last_value(suspect);
        self.release(value, now, out);
        // What remains is a value that has begun: only bytes decide about it.
        self.held_since = None;
    }

    /// The stream has ended, or pauses for good: everything goes out, masked as it stands.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.release(self.bytes.len(), Duration::ZERO, out);
    }

    /// What was masked so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Where the first thing begins that more bytes could make a secret; the end if there is none.
    fn suspect(&mut self) -> usize {
        let plain = Plain::of(self.masker.rules, &self.bytes);
        let bytes = plain.as_ref().map_or(&*self.bytes, |plain| &plain.bytes);
        let rules = self.masker.rules;
        let mut first = unfinished_keyword(&self.masker, bytes);
        // The last bytes may be a sequence that is not complete yet.
        if let Some(escape) = bytes.iter().rposition(|byte| *byte == 0x1b)
            && bytes.len() - escape < 16
        {
            first = first.min(escape);
        }
        for (start, number) in scan::candidates(rules, bytes) {
            if start < first
                && is_unfinished(
                    &rules.rules[number].unfinished,
                    &mut self.caches[number],
                    &bytes[start..],
                )
            {
                first = start;
            }
        }
        match &plain {
            Some(plain) => plain.places.get(first).copied().unwrap_or(self.bytes.len()),
            None => first,
        }
    }

    /// Where the word begins that ends at `end`: a keyword may be in the middle of its secret.
    fn word_before(&self, end: usize) -> usize {
        let end = end.max(self.held_from);
        let word = self.bytes[self.held_from..end]
            .iter()
            .rev()
            .take(MAX_WORD)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'.'))
            .count();
        end - word
    }

    /// Of what is suspect, where the begun value begins.
    fn last_value(&self, suspect: usize) -> usize {
        let suspect = suspect.max(self.held_from);
        if self.bytes[suspect..].starts_with(b"-----BEGIN") {
            return suspect;
        }
        let value = self.bytes[suspect..]
            .iter()
            .rev()
            .take_while(|byte| {
                !matches!(
                    byte,
                    b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'=' | b':' | b'`'
                )
            })
            .count();
        self.bytes.len() - value
    }

    /// Lets everything before `end` go out, masked.
    fn release(&mut self, end: usize, now: Duration, out: &mut Vec<u8>) {
        let spans = self.masker.spans(&self.bytes);
        // A secret goes out as a whole or not at all.
        let cut_off = spans
            .iter()
            .find(|span| span.start.max(self.held_from) < end && end < span.end);
        let end = cut_off.map_or(end, |span| span.start).max(self.held_from);
        let mut last = self.held_from;
        for span in spans
            .iter()
            .filter(|span| span.end > self.held_from && span.end <= end)
        {
            let begin = span.start.max(last);
            out.extend_from_slice(&self.bytes[last..begin]);
            let hidden = Span {
                start: begin,
                ..*span
            };
            self.masker
                .write_marker(&hidden, &self.bytes[begin..span.end], out);
            self.counts.add(self.masker.rules.rules[span.rule].name, 1);
            last = span.end;
        }
        out.extend_from_slice(&self.bytes[last..end]);
        if end > self.held_from {
            self.held_since = (end < self.bytes.len()).then_some(now);
        }
        let forgotten = end.saturating_sub(CONTEXT);
        self.bytes.drain(..forgotten);
        self.held_from = end - forgotten;
    }
}

/// Where a keyword begins that the end cuts off; the end if there is none.
fn unfinished_keyword(masker: &Masker, bytes: &[u8]) -> usize {
    let rules = masker.rules;
    let longest = rules.longest_keyword.min(bytes.len());
    let lower = bytes[bytes.len() - longest..].to_ascii_lowercase();
    let found = (0..longest).find(|from| {
        rules
            .keyword_beginnings
            .binary_search_by(|known| known.as_slice().cmp(&lower[*from..]))
            .is_ok()
    });
    found.map_or(bytes.len(), |from| bytes.len() - longest + from)
}

/// Whether the pattern, begun here, has neither failed nor come to its end with the last byte.
fn is_unfinished(dfa: &hybrid::dfa::DFA, cache: &mut Option<Box<hybrid::dfa::Cache>>, bytes: &[u8]) -> bool {
    let cache = cache.get_or_insert_with(|| Box::new(dfa.create_cache()));
    let step = |cache: &mut hybrid::dfa::Cache| -> Result<bool, hybrid::CacheError> {
        let config = regex_automata::util::start::Config::new().anchored(Anchored::Yes);
        let Ok(mut state) = dfa.start_state(cache, &config) else {
            return Ok(true);
        };
        for byte in bytes {
            state = dfa.next_state(cache, state, *byte)?;
            if state.is_dead() {
                return Ok(false);
            }
            if state.is_quit() {
                return Ok(true);
            }
        }
        Ok(true)
    };
    // Without an answer it is held: in doubt more is.
    step(cache).unwrap_or(true)
}
