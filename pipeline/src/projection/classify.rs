//! What a failed transaction means: wait for the database, or look for the record it objects to.

use super::ApplyError;

/// Why a transaction changed nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another owner has taken the partition over.
    Fenced,
    /// The database, or the log, cannot be used now, or it is not known whether the commit went through.
    Unavailable(String),
    /// A record in the batch is the reason, and will be every time.
    Data(DataFailure),
}

#[derive(Debug)]
pub(super) struct DataFailure {
    /// Which record, if it is known.
    pub(super) offset: Option<i64>,
    /// For metrics and headers.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) detail: String,
    /// A unique key objects: what the projection remembered may be wrong, rather than the record.
    pub(super) unique: bool,
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Database(error) => classify(error),
            ApplyError::Record {
                offset,
                reason,
                detail,
            } => Failure::Data(DataFailure {
                offset: Some(offset),
                reason,
                detail,
                unique: false,
            }),
        }
    }
}

/// By SQLSTATE: class 22 (data), 23 (constraints) and 54 (limits) will be the same next time; all else may pass.
pub(super) fn classify(error: sqlx::Error) -> Failure {
    let reason = match &error {
        sqlx::Error::Database(database) => match database.code().as_deref().and_then(|code| code.get(..2)) {
            Some("22") => "data",
            Some("23") => "constraint",
            Some("54") => "limit",
            _ => return Failure::Unavailable(error.to_string()),
        },
        sqlx::Error::Encode(_) => "encode",
        _ => return Failure::Unavailable(error.to_string()),
    };
    let unique = error
        .as_database_error()
        .is_some_and(|database| database.is_unique_violation());
    Failure::Data(DataFailure {
        offset: None,
        reason,
        detail: error.to_string(),
        unique,
    })
}
