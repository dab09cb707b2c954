//! Secrets in what agents say: where they are, and what stands in their place.
//!
//! Pure: no I/O, no clock, nothing of Kulti's other crates. The rules are data, in `rules.json`, which Python and
//! JavaScript read alike; README.md says how. One pass of Aho-Corasick finds keywords, and only where one stands is its
//! rule's pattern tried. What is masked is masked for good: nothing here keeps a secret, and counts name rules only.
//!
//! ```
//! let masker = kulti_masking::Masker::default();
//! let secret = ["ghp_", "aB3dE5gH7jK9", "mN1pQ3sT5vW7", "yZ9bC1dE3fG5"].concat();
//! let masked = masker.mask_text(&secret);
//! assert_eq!(masked.text, "[masked:github-token]");
//! ```

mod allow;
mod counts;
mod json;
mod parts;
mod pieces;
mod policy;
mod rules;
mod scan;
mod secret;
mod stream;

use std::borrow::Cow;
use std::sync::Arc;

pub use allow::{AllowError, AllowList};
pub use counts::Counts;
pub use json::MaskedJson;
pub use parts::{KINDS_OF_PARTS, Part, part_of};
pub use pieces::{Cut, Joined, Piece};
pub use policy::Policy;
pub use stream::{HOLD, StreamMasker};

use rules::Rules;
use scan::Span;

/// What every marker begins with.
pub const MARKER_START: &str = "[masked:";

/// The names of all rules, each once, in their order: the values that `Counts` and markers name.
pub fn rule_names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for rule in &Rules::built_in().rules {
        if !names.contains(&rule.name) {
            names.push(rule.name);
        }
    }
    names
}

/// The rules, with what one's own list allows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Masker {
    rules: &'static Rules,
    allow: Arc<AllowList>,
}

impl Default for Masker {
    fn default() -> Self {
        Masker::new(AllowList::default())
    }
}

/// A text in which markers stand for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked<'a> {
    /// Borrowed if there was none.
    pub text: Cow<'a, str>,
    /// How many, by rule.
    pub counts: Counts,
}

/// Bytes in which markers stand for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedBytes<'a> {
    /// Borrowed if there was none.
    pub bytes: Cow<'a, [u8]>,
    /// How many, by rule.
    pub counts: Counts,
}

impl Masker {
    /// All rules, apart from what is allowed.
    pub fn new(allow: AllowList) -> Self {
        Masker {
            rules: Rules::built_in(),
            allow: Arc::new(allow),
        }
    }

    /// Masks a text.
    pub fn mask_text<'a>(&self, text: &'a str) -> Masked<'a> {
        let masked = self.mask_bytes(text.as_bytes());
        let text = match masked.bytes {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Spans begin and end at ASCII, so this loses nothing.
            Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        };
        Masked {
            text,
            counts: masked.counts,
        }
    }

    /// Masks what a terminal printed, or any other bytes. Escape sequences for colours inside a secret do not hide it
    /// and are kept behind its marker.
    pub fn mask_bytes<'a>(&self, bytes: &'a [u8]) -> MaskedBytes<'a> {
        let spans = self.spans(bytes);
        let mut counts = Counts::default();
        if spans.is_empty() {
            return MaskedBytes {
                bytes: Cow::Borrowed(bytes),
                counts,
            };
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut last = 0;
        for span in &spans {
            masked.extend_from_slice(&bytes[last..span.start]);
            self.write_marker(span, &bytes[span.start..span.end], &mut masked);
            counts.add(self.rules.rules[span.rule].name, 1);
            last = span.end;
        }
        masked.extend_from_slice(&bytes[last..]);
        MaskedBytes {
            bytes: Cow::Owned(masked),
            counts,
        }
    }

    /// Where secrets are, in order, none in another.
    fn spans(&self, bytes: &[u8]) -> Vec<Span> {
        scan::spans(self.rules, &self.allow, bytes)
    }

    fn write_marker(&self, span: &Span, secret: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.rules.rules[span.rule].marker.as_bytes());
        scan::copy_transparent(self.rules, secret, out);
    }
}

#[cfg(test)]
mod tests;
