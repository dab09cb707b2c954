//! Records between what a command prints: lines that are a JSON object are told as what they mean, not shown as text.

use memchr::memchr;

use super::records::Teller;
use crate::recorder::Recorder;

/// A longer line is no record.
const LONGEST: usize = 32 << 20;

/// Where what a command prints goes.
#[derive(Debug)]
pub(crate) struct Printed {
    recorder: Recorder,
    records: Option<(Tap, Teller)>,
}

impl Printed {
    /// To the recorder; with `records`, lines that are records to who knows what they mean.
    pub(crate) fn new(recorder: Recorder, records: Option<Teller>) -> Self {
        Printed {
            recorder,
            records: records.map(|teller| (Tap::default(), teller)),
        }
    }

    pub(crate) fn chunk(&mut self, chunk: &[u8]) {
        match &mut self.records {
            None => self.recorder.printed(chunk),
            Some((tap, teller)) => tap.push(
                chunk,
                |record| teller.record(record),
                |text| self.recorder.printed(text),
            ),
        }
    }

    pub(crate) fn end(&mut self) {
        if let Some((tap, teller)) = &mut self.records {
            tap.finish(|record| teller.record(record), |text| self.recorder.printed(text));
        }
    }
}

/// Tells records from other output, over chunks that end anywhere.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    /// The beginning of a line that may be a record.
    held: Vec<u8>,
    /// The line that is being read is none.
    is_text: bool,
}

impl Tap {
    /// Gives each whole record to `record`, and everything else to `text`.
    pub(crate) fn push(
        &mut self,
        mut chunk: &[u8],
        mut record: impl FnMut(&[u8]),
        mut text: impl FnMut(&[u8]),
    ) {
        while !chunk.is_empty() {
            let end = memchr(b'\n', chunk).map_or(chunk.len(), |end| end + 1);
            let (line, rest) = chunk.split_at(end);
            chunk = rest;
            let ends = line.ends_with(b"\n");
            if self.held.is_empty() && !self.is_text && line[0] != b'{' {
                self.is_text = true;
            }
            if self.is_text {
                text(line);
                self.is_text = !ends;
                continue;
            }
            self.held.extend_from_slice(line);
            if ends || self.held.len() > LONGEST {
                let whole = std::mem::take(&mut self.held);
                if ends && is_object(&whole) {
                    record(whole.trim_ascii_end());
                } else {
                    text(&whole);
                    self.is_text = !ends;
                }
            }
        }
    }

    /// The output has ended: what was held was no whole line.
    pub(crate) fn finish(&mut self, mut record: impl FnMut(&[u8]), mut text: impl FnMut(&[u8])) {
        let rest = std::mem::take(&mut self.held);
        if is_object(&rest) {
            record(rest.trim_ascii_end());
        } else if !rest.is_empty() {
            text(&rest);
        }
    }
}

fn is_object(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b"}") && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_text_are_told_apart_wherever_chunks_end() {
        let printed = b"warm\x1b[1m up\r\n{\"a\":1}\r\n{not json}\r\n{\"b\":\"{\\n\"}\r\nprogress 1\rprogress 2{\"c\":1}\n{\"d\":2}";
        for cut in 0..=printed.len() {
            let (mut records, mut text) = (Vec::new(), Vec::new());
            let mut tap = Tap::default();
            for chunk in [&printed[..cut], &printed[cut..]] {
                tap.push(
                    chunk,
                    |record| records.push(record.to_vec()),
                    |other| text.extend_from_slice(other),
                );
            }
            tap.finish(
                |record| records.push(record.to_vec()),
                |other| text.extend_from_slice(other),
            );
            assert_eq!(
                records,
                [&b"{\"a\":1}"[..], b"{\"b\":\"{\\n\"}", b"{\"d\":2}"],
                "cut at {cut}"
            );
            assert_eq!(
                text, b"warm\x1b[1m up\r\n{not json}\r\nprogress 1\rprogress 2{\"c\":1}\n",
                "cut at {cut}"
            );
        }
    }
}
