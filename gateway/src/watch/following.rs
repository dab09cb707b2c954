//! Follows one agent over its sessions: the newest open one, and the next ones as they begin.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kulti_schemas::{AgentId, SessionId};
use serde_json::json;

use super::agents::Follower;
use crate::access::Reader;
use crate::live::{Format, FrameType, From, Pace, Settings, Subscription, SubscriptionRequest, plain};

/// How often a follower looks whether the agent has gone on to another session.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a follower asked for: as a subscription, but for the session.
#[derive(Debug, Clone)]
pub(crate) struct FollowRequest {
    pub(crate) sub: Option<String>,
    pub(crate) agent: AgentId,
    pub(crate) from: From,
    pub(crate) state: bool,
    pub(crate) settings: Settings,
    pub(crate) format: Format,
}

/// One agent that is followed.
pub(super) struct Following {
    follower: Follower,
    request: FollowRequest,
    /// What the client was told last.
    told: Option<Option<(SessionId, DateTime<Utc>)>>,
}

/// What a follower has to do.
pub(super) struct Switch {
    /// Tells the client.
    pub(super) frame: bytes::Bytes,
    /// What to watch from now on, if the agent has anything open.
    pub(super) request: Option<SubscriptionRequest>,
}

impl Following {
    pub(super) fn new(follower: Follower, request: FollowRequest) -> Self {
        Following {
            follower,
            request,
            told: None,
        }
    }

    /// The client's name for it.
    pub(super) fn sub(&self) -> Option<&str> {
        self.request.sub.as_deref()
    }

    /// The session it is on.
    pub(super) fn session(&self) -> Option<&SessionId> {
        self.told.as_ref()?.as_ref().map(|(session, _)| session)
    }

    /// Looks whether there is a later session to watch. Nobody is torn away who is not at the end of the one it is on.
    pub(super) fn look(&mut self, reader: &Reader, current: Option<&Subscription>) -> Option<Switch> {
        let open = self.follower.open_sessions()?;
        let mut visible = open
            .iter()
            .filter(|open| reader.may_read(open.visibility.as_deref(), open.owner.as_deref()));
        let newest = visible
            .next()
            .and_then(|open| Some((open.session_id()?, open.started_at)));
        let is_first = self.told.is_none();
        let is_later = match (&newest, self.told.as_ref().and_then(Option::as_ref)) {
            (Some((_, began)), Some((_, before))) => began > before,
            (newest, _) => newest.is_some(),
        };
        if !is_first && (!is_later || current.is_some_and(|current| !current.is_at_end())) {
            return None;
        }
        self.told = Some(newest.clone());
        let mut fields = json!({
            "agent": self.follower.agent().as_str(),
            "session": newest.as_ref().map(|(session, _)| session.as_str()),
        });
        if let Some(sub) = &self.request.sub {
            fields["sub"] = sub.as_str().into();
        }
        let frame = plain(self.request.format, FrameType::Following, fields);
        let request = newest.map(|(session, _)| self.subscription(session, is_first, current));
        Some(Switch { frame, request })
    }

    /// The first session begins where the client wanted, later ones with their first event.
    fn subscription(
        &self,
        session: SessionId,
        is_first: bool,
        current: Option<&Subscription>,
    ) -> SubscriptionRequest {
        let wanted = &self.request;
        let settings = if is_first {
            wanted.settings.clone()
        } else {
            Settings {
                pace: Pace::Max,
                ..current.map_or_else(|| wanted.settings.clone(), |current| current.settings().clone())
            }
        };
        SubscriptionRequest {
            sub: wanted.sub.clone(),
            session,
            from: if is_first { wanted.from } else { From::Start },
            state: wanted.state && is_first,
            settings,
            format: wanted.format,
        }
    }
}
