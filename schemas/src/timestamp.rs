//! Moments in microseconds.

use chrono::{DateTime, Utc};

/// Microseconds since 1970-01-01T00:00:00Z, as in Avro's timestamp-micros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        Timestamp(Utc::now().timestamp_micros())
    }
    /// From RFC 3339; None if it is not that, or outside the years 1 to 9999.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }
    /// RFC 3339 in UTC with `Z`, microseconds always written.
    pub fn to_rfc3339(self) -> String {
        todo!()
    }
    /// For sqlx.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Timestamp(moment.timestamp_micros())
    }
}
