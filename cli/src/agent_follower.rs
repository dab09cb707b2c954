//! Follows an agent from session to session: the one that is live, then each that starts after it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::client::Client;
use crate::session_list::{SessionEntry, agent_sessions};
use crate::watch_client::{Start, Update, Watcher};

/// How often a new session is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the follower tells.
pub(crate) enum Followed {
    /// Of the session that is watched now.
    Update(Update),
    /// This session is watched from now on.
    Session(String),
    /// There is none that is live.
    Waiting,
}

/// Follows.
pub(crate) struct AgentFollower {
    client: Client,
    agent: String,
    start: Start,
    watched: Option<Watched>,
    /// Sessions up to this one were watched, or were there before us.
    after: Option<Mark>,
    look_at: Instant,
    waiting: bool,
}

struct Watched {
    watcher: Watcher,
    ended: bool,
}

/// A session's place among its agent's.
type Mark = (DateTime<Utc>, String);

impl AgentFollower {
    /// Begins with the live session, at `start`; later ones are followed from their first event.
    pub(crate) fn new(client: Client, agent: String, start: Start) -> Self {
        let look_at = Instant::now();
        AgentFollower {
            client,
            agent,
            start,
            watched: None,
            after: None,
            look_at,
            waiting: false,
        }
    }

    /// The next thing that happens.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Followed> {
        loop {
            let update = match &mut self.watched {
                Some(watched) if !watched.ended => tokio::select! {
                    biased;
                    update = watched.watcher.next() => Some(update?),
                    () = tokio::time::sleep_until(self.look_at) => None,
                },
                _ => {
                    tokio::time::sleep_until(self.look_at).await;
                    None
                }
            };
            if let Some(update) = update {
                if let (Update::Ended, Some(watched)) = (&update, &mut self.watched) {
                    watched.ended = true;
                }
                return Ok(Followed::Update(update));
            }
            if let Some(found) = self.look().await? {
                return Ok(found);
            }
        }
    }

    async fn look(&mut self) -> anyhow::Result<Option<Followed>> {
        let first = self.after.is_none();
        let sessions = match agent_sessions(&self.client, &self.agent).await {
            Ok(sessions) => sessions,
            // The watcher says what is wrong with the connection.
            Err(error) if !first && crate::failure::is_passing(&error) => {
                self.look_at = Instant::now() + LOOK_EVERY;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.look_at = Instant::now() + LOOK_EVERY;
        let is_free = self.watched.as_ref().is_none_or(|watched| watched.ended);
        let next = next_session(&sessions, self.after.as_ref(), is_free).cloned();
        if first {
            let newest = sessions.last().map(mark);
            self.after = Some(newest.unwrap_or((DateTime::<Utc>::MIN_UTC, String::new())));
        }
        let Some(session) = next else {
            let say = is_free && !self.waiting;
            self.waiting |= say;
            return Ok(say.then_some(Followed::Waiting));
        };
        let start = if first { self.start } else { Start::Beginning };
        // Of what was there before us, only the session that is open concerns us.
        self.after = self.after.take().max(Some(mark(&session)));
        self.waiting = false;
        let watcher = Watcher::new(self.client.clone(), session.id.clone(), start);
        self.watched = Some(Watched {
            watcher,
            ended: false,
        });
        Ok(Some(Followed::Session(session.id)))
    }
}

fn mark(session: &SessionEntry) -> Mark {
    (session.started_at, session.id.clone())
}

/// At first the newest session that is open. Then, once the one before has ended, the next that started, however
/// short it was; while it has not, only a newer one that is open: its agent has moved on.
fn next_session<'s>(
    sessions: &'s [SessionEntry],
    after: Option<&Mark>,
    is_free: bool,
) -> Option<&'s SessionEntry> {
    let is_open = |session: &&SessionEntry| session.status != "ended";
    let Some(after) = after else {
        return sessions.iter().rev().find(is_open);
    };
    let mut later = sessions.iter().filter(|session| mark(session) > *after);
    if is_free {
        later.next()
    } else {
        later.rfind(is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, started: i64, status: &str) -> SessionEntry {
        let started_at = DateTime::from_timestamp(started, 0).expect("a moment");
        SessionEntry {
            id: id.to_owned(),
            agent: "a".to_owned(),
            title: None,
            task: None,
            status: status.to_owned(),
            started_at,
            ended_at: None,
            events: 1,
            viewers: 0,
        }
    }

    fn chosen(sessions: &[SessionEntry], after: Option<&SessionEntry>, is_free: bool) -> Option<String> {
        next_session(sessions, after.map(mark).as_ref(), is_free).map(|session| session.id.clone())
    }

    #[test]
    fn begins_with_the_newest_open_session() {
        let sessions = [
            session("a", 1, "live"),
            session("b", 2, "quiet"),
            session("c", 3, "ended"),
        ];
        assert_eq!(chosen(&sessions, None, true).as_deref(), Some("b"));
        assert_eq!(chosen(&sessions[2..], None, true), None);
    }

    #[test]
    fn no_session_is_skipped_however_short() {
        let sessions = [
            session("a", 1, "ended"),
            session("b", 2, "ended"),
            session("c", 3, "live"),
        ];
        assert_eq!(chosen(&sessions, Some(&sessions[0]), true).as_deref(), Some("b"));
        assert_eq!(chosen(&sessions, Some(&sessions[2]), true), None);
    }

    #[test]
    fn a_session_that_never_ended_is_left_for_the_next() {
        let sessions = [
            session("a", 1, "live"),
            session("b", 2, "ended"),
            session("c", 3, "live"),
        ];
        assert_eq!(chosen(&sessions, Some(&sessions[0]), false).as_deref(), Some("c"));
        assert_eq!(chosen(&sessions[..2], Some(&sessions[0]), false), None);
    }
}
