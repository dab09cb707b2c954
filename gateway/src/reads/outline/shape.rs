//! The shape of a session as it is folded from counts: buckets of equal length on the session's clock, and pauses.
//!
//! Grows with the session and is never made anew: when it has more buckets than it may, two become one.

use chrono::TimeDelta;
use kulti_schemas::Timestamp;

use crate::store::OutlineRow;

/// What a scrubber has room for.
pub(super) const BUCKETS: usize = 400;
/// The finest bucket.
const FINEST_MICROS: i64 = 125_000;
/// What may be listed: of more pauses the shortest go.
const PAUSES: usize = 200;
/// The shortest pause that counts.
pub(super) const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// Kinds that look alike on a scrubber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Thoughts,
    Tools,
    Terminal,
    Code,
    Errors,
    Chat,
    Other,
}

impl Group {
    pub(super) const ALL: [Group; 7] = [
        Group::Thoughts,
        Group::Tools,
        Group::Terminal,
        Group::Code,
        Group::Errors,
        Group::Chat,
        Group::Other,
    ];

    pub(super) fn of(kind: &str) -> Self {
        match kind {
            "thought" => Group::Thoughts,
            "error" => Group::Errors,
            "chat" | "reaction" => Group::Chat,
            "code.changed" => Group::Code,
            kind if kind.starts_with("message.") => Group::Thoughts,
            kind if kind.starts_with("tool.") => Group::Tools,
            kind if kind.starts_with("terminal.") => Group::Terminal,
            _ => Group::Other,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Group::Thoughts => "thoughts",
            Group::Tools => "tools",
            Group::Terminal => "terminal",
            Group::Code => "code",
            Group::Errors => "errors",
            Group::Chat => "chat",
            Group::Other => "other",
        }
    }
}

/// A stretch of time without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// The first event after it.
    pub(super) position: i64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Pause {
    fn micros(&self) -> i64 {
        self.to.0 - self.from.0
    }
}

/// A session's shape up to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) started_at: Timestamp,
    pub(super) position: i64,
    pub(super) clock: Timestamp,
    pub(super) bucket_micros: i64,
    pub(super) buckets: Vec<[u32; Group::ALL.len()]>,
    pub(super) pauses: Vec<Pause>,
}

impl Shape {
    /// Of no event yet. `expected_end` is where the session's clock is, so that no bucket has to be joined at once.
    pub(super) fn new(started_at: Timestamp, expected_end: Timestamp) -> Self {
        let span = expected_end.0.saturating_sub(started_at.0);
        let mut bucket_micros = FINEST_MICROS;
        while span / bucket_micros >= BUCKETS as i64 {
            bucket_micros *= 2;
        }
        Shape {
            started_at,
            position: 0,
            clock: started_at,
            bucket_micros,
            buckets: Vec::new(),
            pauses: Vec::new(),
        }
    }

    /// Adds the events up to `position`. `rows` were counted with this shape's buckets.
    pub(super) fn absorb(&mut self, rows: Vec<OutlineRow>, position: i64) {
        let counted_micros = self.bucket_micros;
        let index = |micros: i64, bucket: i64| ((micros - self.started_at.0) / bucket).max(0);
        let last = rows.iter().map(|row| Timestamp::from(row.bucket).0).max();
        if let Some(last) = last {
            while index(last, self.bucket_micros) >= BUCKETS as i64 {
                self.bucket_micros *= 2;
            }
        }
        let mut joined = self.bucket_micros / counted_micros;
        while joined > 1 {
            join_pairs(&mut self.buckets);
            joined /= 2;
        }
        for row in rows {
            let at = index(Timestamp::from(row.bucket).0, self.bucket_micros) as usize;
            if self.buckets.len() <= at {
                self.buckets.resize(at + 1, Default::default());
            }
            let count = &mut self.buckets[at][Group::of(&row.kind) as usize];
            *count = count.saturating_add(u32::try_from(row.events).unwrap_or(u32::MAX));
            self.clock = self.clock.max(row.last_clock.into());
            let resumed = row.resumed.unwrap_or_default().into_iter();
            let from = row.paused_at.unwrap_or_default();
            let to = row.resumed_at.unwrap_or_default();
            self.pauses
                .extend(resumed.zip(from).zip(to).map(|((position, from), to)| Pause {
                    position,
                    from: from.into(),
                    to: to.into(),
                }));
        }
        if self.pauses.len() > PAUSES {
            self.pauses.sort_by_key(|pause| (-pause.micros(), pause.position));
            self.pauses.truncate(PAUSES);
        }
        self.pauses.sort_by_key(|pause| pause.position);
        self.position = position;
    }

    /// What it takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.buckets.capacity() * size_of::<[u32; Group::ALL.len()]>()
            + self.pauses.capacity() * size_of::<Pause>()
    }
}

fn join_pairs(buckets: &mut Vec<[u32; Group::ALL.len()]>) {
    let joined = buckets.chunks(2).map(|pair| {
        let mut sum = pair[0];
        if let Some(second) = pair.get(1) {
            for (count, other) in sum.iter_mut().zip(second) {
                *count = count.saturating_add(*other);
            }
        }
        sum
    });
    *buckets = joined.collect();
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn moment(seconds: f64) -> DateTime<Utc> {
        Timestamp((seconds * 1e6) as i64).to_datetime()
    }

    /// Rows as Postgres would count them.
    fn rows(shape: &Shape, clocks: &[f64]) -> Vec<OutlineRow> {
        let bin = |clock: f64| {
            let micros = (clock * 1e6) as i64;
            Timestamp(micros - micros.rem_euclid(shape.bucket_micros)).to_datetime()
        };
        let row = |clock: &f64| OutlineRow {
            bucket: bin(*clock),
            kind: "thought".to_owned(),
            events: 1,
            last_clock: moment(*clock),
            resumed: None,
            paused_at: None,
            resumed_at: None,
        };
        clocks.iter().map(row).collect()
    }

    fn counts(shape: &Shape) -> u32 {
        shape.buckets.iter().flatten().sum()
    }

    #[test]
    fn a_shape_that_grew_is_the_one_that_was_made_at_once() {
        let clocks: Vec<f64> = (0..5000)
            .map(|n| f64::from(n) * 0.9 + f64::from(n / 1000) * 500.0)
            .collect();
        let end: Timestamp = moment(clocks[4999]).into();
        let mut at_once = Shape::new(Timestamp(0), end);
        at_once.absorb(rows(&at_once, &clocks), 5000);
        let mut grown = Shape::new(Timestamp(0), Timestamp(0));
        for (index, part) in clocks.chunks(777).enumerate() {
            let position = (index * 777 + part.len()) as i64;
            grown.absorb(rows(&grown, part), position);
            assert!(grown.buckets.len() <= BUCKETS);
            assert_eq!(i64::from(counts(&grown)), position, "no event is lost");
        }
        assert_eq!(grown, at_once);
        assert!(at_once.buckets.len() > BUCKETS / 2, "{}", at_once.buckets.len());
    }

    #[test]
    fn of_many_pauses_the_longest_stay() {
        let mut shape = Shape::new(Timestamp(0), Timestamp(0));
        let paused: Vec<f64> = (0..300).map(|n| f64::from(n) * 1000.0).collect();
        let resumed = paused
            .iter()
            .enumerate()
            .map(|(n, from)| moment(from + 30.0 + n as f64));
        let row = OutlineRow {
            bucket: moment(0.0),
            kind: "thought".to_owned(),
            events: 300,
            last_clock: moment(300_000.0),
            resumed: Some((1..=300).collect()),
            paused_at: Some(paused.iter().map(|from| moment(*from)).collect()),
            resumed_at: Some(resumed.collect()),
        };
        shape.absorb(vec![row], 300);
        let kept: Vec<i64> = shape.pauses.iter().map(|pause| pause.position).collect();
        assert_eq!(kept, (101..=300).collect::<Vec<_>>());
    }
}
