//! Which sessions agents have open: asked for all who follow one of them at once, however many they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kulti_schemas::{AgentId, SessionId};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::{self, OpenSession, answered};

/// How old an answer may be.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The agents that somebody follows at this gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FollowedAgents {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    stopping: CancellationToken,
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    agents: HashMap<AgentId, Entry>,
    /// Somebody asks Postgres.
    is_asking: bool,
}

#[derive(Default)]
struct Entry {
    followers: usize,
    open: Option<Arc<[OpenSession]>>,
}

/// Counts one follower of an agent while it lives.
pub(crate) struct Follower {
    agents: FollowedAgents,
    agent: AgentId,
}

impl FollowedAgents {
    pub(crate) fn new(pool: PgPool, stopping: CancellationToken) -> Self {
        FollowedAgents {
            inner: Arc::new(Inner {
                pool,
                stopping,
                followed: Mutex::default(),
            }),
        }
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        let followed = self.inner.followed.lock();
        followed.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// From now on this agent's sessions are asked for.
    pub(crate) fn follow(&self, agent: AgentId) -> Follower {
        let mut followed = self.followed();
        followed.agents.entry(agent.clone()).or_default().followers += 1;
        if !std::mem::replace(&mut followed.is_asking, true) {
            tokio::spawn(ask(self.clone()));
        }
        drop(followed);
        Follower {
            agents: self.clone(),
            agent,
        }
    }
}

impl Follower {
    /// The agent's open sessions, the one that began last first; `None` while that is not known.
    pub(super) fn open_sessions(&self) -> Option<Arc<[OpenSession]>> {
        let followed = self.agents.followed();
        followed
            .agents
            .get(&self.agent)
            .and_then(|entry| entry.open.clone())
    }

    /// Whom it follows.
    pub(super) fn agent(&self) -> &AgentId {
        &self.agent
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut followed = self.agents.followed();
        if let Some(entry) = followed.agents.get_mut(&self.agent) {
            entry.followers -= 1;
            if entry.followers == 0 {
                followed.agents.remove(&self.agent);
            }
        }
    }
}

/// Until nobody follows anybody.
async fn ask(agents: FollowedAgents) {
    let mut is_failing = false;
    loop {
        let names: Vec<String> = {
            let mut followed = agents.followed();
            if followed.agents.is_empty() || agents.inner.stopping.is_cancelled() {
                followed.is_asking = false;
                return;
            }
            followed.agents.keys().map(|agent| agent.to_string()).collect()
        };
        match answered(store::open_sessions(&agents.inner.pool, &names)).await {
            Ok(rows) => {
                is_failing = false;
                let mut by_agent: HashMap<String, Vec<OpenSession>> = HashMap::new();
                for row in rows {
                    by_agent.entry(row.agent.clone()).or_default().push(row);
                }
                let mut followed = agents.followed();
                for name in &names {
                    let open = by_agent.remove(name).unwrap_or_default();
                    let Ok(agent) = AgentId::parse(name) else { continue };
                    if let Some(entry) = followed.agents.get_mut(&agent) {
                        entry.open = Some(open.into());
                    }
                }
            }
            Err(problem) => {
                if !is_failing {
                    tracing::warn!(%problem, "the sessions of followed agents cannot be asked for");
                }
                is_failing = true;
            }
        }
        tokio::select! {
            () = agents.inner.stopping.cancelled() => {}
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
    }
}

impl OpenSession {
    /// Its id; `None` if it is none, which only a faulty writer could have written.
    pub(super) fn session_id(&self) -> Option<SessionId> {
        SessionId::parse(&self.id).ok()
    }
}
