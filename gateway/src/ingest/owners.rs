//! Who owns which session, remembered: an owner never changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kulti_schemas::SessionId;
use moka::future::Cache;
use sqlx::PgPool;

use crate::access::Writer;
use crate::control;
use crate::problem::{Code, Problem};

const SESSIONS: u64 = 200_000;
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The owners that this gateway has heard of.
pub(crate) struct Owners {
    pool: PgPool,
    known: Cache<SessionId, Arc<str>>,
}

impl Owners {
    pub(crate) fn new(pool: PgPool) -> Self {
        Owners {
            pool,
            known: Cache::builder().max_capacity(SESSIONS).build(),
        }
    }

    /// The sessions of these that this writer may not write, each with the reason. Those that nobody owns are
    /// its own from now on.
    ///
    /// While Postgres does not answer, sessions whose owner is known go on; the others are to be sent again.
    pub(crate) async fn refused(
        &self,
        writer: &Writer,
        sessions: HashSet<&SessionId>,
    ) -> HashMap<SessionId, Problem> {
        let mut refused = HashMap::new();
        if writer.key_id().is_empty() {
            return refused;
        }
        let mut unknown = Vec::new();
        for session in sessions {
            match self.known.get(session).await {
                Some(owner) => refuse_foreign(writer, session, &owner, &mut refused),
                None => unknown.push(session),
            }
        }
        if unknown.is_empty() {
            return refused;
        }
        let ids: Vec<&str> = unknown.iter().map(|session| session.as_str()).collect();
        let taking = control::take_ownership(&self.pool, writer.key_id(), &ids);
        match tokio::time::timeout(STATEMENT_TIMEOUT, taking).await {
            Ok(Ok(owners)) => {
                for session in unknown {
                    if let Some(owner) = owners.get(session.as_str()) {
                        self.known.insert(session.clone(), owner.as_str().into()).await;
                        refuse_foreign(writer, session, owner, &mut refused);
                    }
                }
            }
            failure => {
                if let Ok(Err(error)) = failure {
                    tracing::warn!(%error, "the owners of sessions cannot be asked for");
                }
                refused.extend(
                    unknown
                        .into_iter()
                        .map(|session| (session.clone(), Problem::database_unavailable())),
                );
            }
        }
        refused
    }
}

fn refuse_foreign(
    writer: &Writer,
    session: &SessionId,
    owner: &str,
    refused: &mut HashMap<SessionId, Problem>,
) {
    if owner != writer.key_id() && !writer.is_admin() {
        let problem = Problem::field(
            Code::SessionNotYours,
            "session",
            "another key wrote this session first",
        );
        refused.insert(session.clone(), problem);
    }
}
