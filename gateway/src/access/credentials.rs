//! Who speaks on a connection that stays open: asked anew for each thing that is said, because keys come and go.

use std::net::IpAddr;

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, HeaderValue};

use super::{
    ConnectionInfo, Viewer, not_allowed_without_key, refuse_without_key, viewer_of_key, writes_are_closed,
};
use crate::problem::Problem;
use crate::state::AppState;

/// What a connection came with, as far as it decides what may be said on it. Small: there are many of them.
#[derive(Clone)]
pub(crate) struct Credentials {
    authorization: Option<HeaderValue>,
    peer: Option<IpAddr>,
    /// Why it may say nothing without a key.
    refusal: Option<String>,
}

impl Credentials {
    /// Takes what is needed from the request that opened the connection.
    pub(crate) fn of(state: &AppState, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let connection = extensions.get::<ConnectionInfo>();
        // A copy: the header's own bytes keep the whole request in memory.
        let authorization = headers.get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        let refusal = match authorization {
            Some(_) => None,
            None => not_allowed_without_key(state, headers, extensions),
        };
        Credentials {
            authorization,
            peer: connection.map(|connection| connection.peer.ip()),
            refusal,
        }
    }

    /// Who speaks now.
    ///
    /// # Errors
    /// As for viewers over HTTP.
    pub(crate) async fn viewer(&self, state: &AppState) -> Result<Viewer, Problem> {
        if let Some(authorization) = &self.authorization {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, authorization.clone());
            return viewer_of_key(state, &headers, self.peer).await;
        }
        refuse_without_key(state, "a key that may read").await?;
        match &self.refusal {
            None => Ok(Viewer {
                key: None,
                peer: self.peer,
            }),
            Some(reason) => Err(writes_are_closed(reason)),
        }
    }
}
