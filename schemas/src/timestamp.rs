//! Moments in microseconds.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Serialize, Serializer};

/// Microseconds since 1970-01-01T00:00:00Z, as in Avro's timestamp-micros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z: what RFC 3339, chrono and Postgres can all write.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    /// Now, by this machine's clock.
    pub fn now() -> Self {
        Timestamp(Utc::now().timestamp_micros())
    }

    /// From RFC 3339; None if it is not that, or outside the years 1 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        // An ISO 8601 form that RFC 3339 leaves to agreement, and chrono takes: T between date and time.
        let moment = DateTime::parse_from_rfc3339(text).ok()?;
        let timestamp = Timestamp(moment.timestamp_micros());
        timestamp.is_in_range().then_some(timestamp)
    }

    /// True from year 1 to year 9999.
    pub fn is_in_range(self) -> bool {
        (Self::MIN..=Self::MAX).contains(&self)
    }

    /// RFC 3339 in UTC with `Z`, microseconds always written.
    pub fn to_rfc3339(self) -> String {
        self.to_string()
    }

    /// For sqlx.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// The same text as `to_rfc3339`, without an allocation. Outside the range: its nearest end.
    pub(crate) fn format(self) -> [u8; 27] {
        let moment = self.clamp(Self::MIN, Self::MAX).to_datetime();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        put_digits(&mut text[0..4], moment.year().unsigned_abs());
        put_digits(&mut text[5..7], moment.month());
        put_digits(&mut text[8..10], moment.day());
        put_digits(&mut text[11..13], moment.hour());
        put_digits(&mut text[14..16], moment.minute());
        put_digits(&mut text[17..19], moment.second());
        put_digits(&mut text[20..26], moment.timestamp_subsec_micros());
        text
    }
}

fn put_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Timestamp(moment.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.format()
            .iter()
            .try_for_each(|byte| fmt::Write::write_char(f, char::from(*byte)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_microseconds_and_z_and_reads_back() {
        for (text, written) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
            (
                "2026-01-02T03:04:05.123456789+02:00",
                "2026-01-02T01:04:05.123456Z",
            ),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2024-02-29t12:00:00.5z", "2024-02-29T12:00:00.500000Z"),
        ] {
            let timestamp = Timestamp::parse(text).unwrap();
            assert_eq!(timestamp.to_rfc3339(), written);
            assert_eq!(Timestamp::parse(written), Some(timestamp));
        }
    }

    #[test]
    fn what_is_not_a_moment_of_years_1_to_9999_is_refused() {
        for text in [
            "",
            "now",
            "2026-01-02",
            "2026-13-01T00:00:00Z",
            "2026-01-02T03:04:05",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        assert_eq!(Timestamp::parse("0001-01-01T00:00:00+01:00"), None);
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59-01:00"), None);
        assert_eq!(Timestamp(i64::MAX).to_rfc3339(), Timestamp::MAX.to_rfc3339());
        assert_eq!(Timestamp(i64::MIN).to_rfc3339(), Timestamp::MIN.to_rfc3339());
    }
}
