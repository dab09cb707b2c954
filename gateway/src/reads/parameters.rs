//! Query parameters: a parameter may be repeated, one that is not valid is named, one that is not known is ignored.

use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, Utc};
use kulti_schemas::Timestamp;

use crate::problem::{Code, Problem};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;

/// The parameters of a query, in order.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| {
            Problem::new(
                Code::InvalidParameter,
                format!("the query cannot be read: {error}"),
            )
        })?;
        // Postgres has no text with NUL in it.
        match pairs.iter().find(|(_, value)| value.contains('\0')) {
            Some((name, _)) => Err(invalid(name, "without NUL")),
            None => Ok(Parameters(pairs)),
        }
    }

    /// The last value of this name, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let last = self.0.iter().rev().find(|(given, _)| given == name);
        last.map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All values of this name, whether repeated or separated by commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(given, _)| given == name);
        let parts = values.flat_map(|(_, value)| value.split(','));
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| invalid(name, expected));
        self.text(name).map(parse).transpose()
    }

    pub(crate) fn moment(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let parse = |text: &str| {
            let moment = Timestamp::parse(text).map(Timestamp::to_datetime);
            moment.ok_or_else(|| invalid(name, "a time, 2026-01-31T12:00:00Z for instance"))
        };
        self.text(name).map(parse).transpose()
    }

    /// `limit`: 1 to 1,000, 100 unless told.
    pub(crate) fn limit(&self) -> Result<i64, Problem> {
        match self.parsed("limit", "a number from 1 to 1000")? {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
            Some(_) => Err(invalid("limit", "a number from 1 to 1000")),
        }
    }
}

pub(crate) fn invalid(name: &str, expected: &str) -> Problem {
    Problem::field(
        Code::InvalidParameter,
        name,
        format!("`{name}` must be {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::of(&format!("/?{query}").parse().expect("a URI")).expect("a query")
    }

    #[test]
    fn lists_may_be_repeated_or_separated_by_commas() {
        assert_eq!(
            parameters("kind=a,b&kind=c&other=d").list("kind"),
            ["a", "b", "c"]
        );
        assert!(parameters("kind=").list("kind").is_empty());
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(parameters("").limit().expect("the default"), 100);
        assert_eq!(parameters("limit=1000").limit().expect("the largest"), 1000);
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1e3"] {
            let problem = parameters(query).limit().expect_err(query);
            assert_eq!(problem.field.as_deref(), Some("limit"));
        }
    }
}
