//! The parts of a path that name something.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::problem::Problem;

/// Decoded. One that is no text, or that no id can be (NUL), names nothing: 404, as for anything else that is not
/// there.
pub(crate) struct PathSegment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(segment)) if !segment.contains('\0') => Ok(PathSegment(segment)),
            _ => Err(Problem::not_found()),
        }
    }
}

/// Two of them; the second may hold slashes where the route says so.
pub(crate) struct PathPair(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathPair {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((first, second))) if !first.contains('\0') => Ok(PathPair(first, second)),
            _ => Err(Problem::not_found()),
        }
    }
}
