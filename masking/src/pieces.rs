//! Secrets that lie over several pieces of one text: the deltas of a message, the outputs of a terminal.

use std::ops::Range;

use crate::Masker;
use crate::scan::{self, Span};

/// One of the pieces, in order.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a>(
    /// As it was sent.
    pub &'a [u8],
);

/// A secret that several pieces are together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its rule.
    pub rule: &'static str,
    /// Its parts, in order; two at least.
    pub cuts: Vec<Cut>,
}

/// A part of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Which piece.
    pub piece: usize,
    /// Bytes of it.
    pub range: Range<usize>,
    /// What to put there: the marker in the first piece that the secret lies in, nothing in those that follow.
    pub marker: String,
}

impl Masker {
    /// What pieces are a secret only together, in order. What lies within one piece is not here: that piece's own
    /// masking finds it.
    ///
    /// Pieces are read both as they are and without the line ends between them, because some producers send each piece
    /// as a line.
    pub fn joined(&self, pieces: &[Piece<'_>]) -> Vec<Joined> {
        let mut spans = self.joined_spans(pieces, false);
        if pieces.iter().any(|piece| piece.0.ends_with(b"\n")) {
            spans.extend(self.joined_spans(pieces, true));
        }
        let joined = scan::merged(spans).into_iter().map(|span| {
            let rule = &self.rules.rules[span.rule];
            let mut marker = rule.marker.clone();
            let mut start = 0;
            let mut cuts = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                let end = start + piece.0.len();
                let (from, to) = (span.start.max(start), span.end.min(end));
                if from < to {
                    cuts.push(Cut {
                        piece: index,
                        range: from - start..to - start,
                        marker: std::mem::take(&mut marker),
                    });
                }
                start = end;
            }
            Joined {
                rule: rule.name,
                cuts,
            }
        });
        joined.collect()
    }

    /// Spans over more than one piece, as places in all pieces together.
    fn joined_spans(&self, pieces: &[Piece<'_>], without_line_ends: bool) -> Vec<Span> {
        let mut joined = Vec::new();
        // Where each kept part of a piece begins: in `joined`, and among all bytes.
        let mut starts = Vec::with_capacity(pieces.len());
        let mut all = 0;
        for piece in pieces {
            let kept = match without_line_ends {
                true => piece.0.trim_suffix_line_end(),
                false => piece.0,
            };
            starts.push((joined.len(), all));
            joined.extend_from_slice(kept);
            all += piece.0.len();
        }
        let place = |at: usize| {
            let index = starts.partition_point(|(start, _)| *start <= at) - 1;
            let (start, all) = starts[index];
            (index, all + (at - start))
        };
        self.spans(&joined)
            .into_iter()
            .filter_map(|span| {
                let (first, start) = place(span.start);
                let (last, end) = place(span.end - 1);
                (first != last).then_some(Span {
                    start,
                    end: end + 1,
                    rule: span.rule,
                })
            })
            .collect()
    }
}

trait LineEnd {
    fn trim_suffix_line_end(&self) -> &[u8];
}

impl LineEnd for [u8] {
    fn trim_suffix_line_end(&self) -> &[u8] {
        let trimmed = self.strip_suffix(b"\n").unwrap_or(self);
        trimmed.strip_suffix(b"\r").unwrap_or(trimmed)
    }
}
