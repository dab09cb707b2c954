//! One socket's client: what it says is done here, and what it watches is held here.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kulti_schemas::SessionId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::following::{FollowRequest, Following, LOOK_EVERY};
use super::protocol::{BadMessage, ClientMessage, Which, parse};
use super::remarks::{Remarks, Said};
use crate::access::{Credentials, Reader};
use crate::live::{Format, FrameType, Outbox, Push, Subscription, SubscriptionRequest, plain};
use crate::state::AppState;

/// Messages a second, and how many may come at once.
pub(super) const MESSAGES_PER_SECOND: f64 = 10.0;
const MESSAGE_BURST: f64 = 20.0;
/// Subscriptions on one socket.
pub(super) const SUBSCRIPTIONS: usize = 32;

/// What a client watches under which name.
struct Watched {
    sub: Option<String>,
    subscription: Subscription,
    /// It is there because the client follows an agent.
    is_followed: bool,
}

/// What is to be done for a client without its asking.
pub(super) enum Own {
    /// Something that it said was written, or not.
    Answer(Bytes),
    /// It is time to look where the agents are that it follows.
    Look,
}

/// The client of one socket.
pub(super) struct Viewer {
    state: AppState,
    reader: Reader,
    pub(super) outbox: Arc<Outbox>,
    subscriptions: HashMap<SessionId, Watched>,
    follows: Vec<Following>,
    next_look: Instant,
    remarks: Remarks,
    allowance: (f64, Instant),
}

impl Viewer {
    /// Watches nothing yet.
    pub(super) fn new(
        state: AppState,
        (reader, credentials): (Reader, Credentials),
        outbox: Arc<Outbox>,
    ) -> Self {
        Viewer {
            remarks: Remarks::new(state.clone(), reader.clone(), credentials),
            state,
            reader,
            outbox,
            subscriptions: HashMap::new(),
            follows: Vec::new(),
            next_look: Instant::now(),
            allowance: (MESSAGE_BURST, Instant::now()),
        }
    }

    /// False if it has said too much.
    pub(super) fn may_speak(&mut self) -> bool {
        let (allowance, at) = self.allowance;
        let allowance =
            (allowance + at.elapsed().as_secs_f64() * MESSAGES_PER_SECOND).min(MESSAGE_BURST) - 1.0;
        self.allowance = (allowance, Instant::now());
        allowance >= 0.0
    }

    /// What is to be done for it without its asking. Can be dropped and called again; waits while there is nothing.
    pub(super) async fn own(&mut self) -> Own {
        let looks = async {
            if self.follows.is_empty() {
                std::future::pending::<()>().await;
            }
            sleep_until(self.next_look).await;
        };
        tokio::select! {
            frame = self.remarks.next() => Own::Answer(frame),
            () = looks => Own::Look,
        }
    }

    /// Does it.
    pub(super) fn act(&mut self, own: Own) {
        match own {
            Own::Answer(frame) => {
                if self.outbox.push_control(&frame) == Push::Closed {
                    tracing::debug!("a viewer went before its remark was answered");
                }
            }
            Own::Look => self.look(),
        }
    }

    /// Does what a message asks for.
    pub(super) async fn hear(&mut self, text: &str) {
        let message = match parse(text) {
            Ok(message) => message,
            Err(BadMessage { detail, sub, id }) => {
                return self.refuse(Refusal::of(BadMessage::CODE, detail), sub, id);
            }
        };
        match message {
            ClientMessage::Subscribe(request) => self.subscribe(request).await,
            ClientMessage::Follow(request) => self.follow(request),
            ClientMessage::Unsubscribe(which) => self.unsubscribe(&which),
            ClientMessage::Change { which, change, id } => match self.find(&which) {
                Some((_, watched)) => watched.subscription.change(change, id),
                None => self.refuse(nothing_watched(), which.sub, id),
            },
            ClientMessage::Remark { which, remark, id } => {
                let echo = id.map(|id| Value::from(id.to_string()));
                let session = match &which.session {
                    Some(session) => Some(session.clone()),
                    None => self.find(&which).map(|(session, _)| session.to_string()),
                };
                let Some(session) = session else {
                    return self.refuse(nothing_watched(), which.sub, echo);
                };
                let sub = which.sub.clone();
                let said = Said {
                    session,
                    sub,
                    remark,
                    id,
                };
                if !self.remarks.push(said) {
                    let refusal = Refusal {
                        code: "busy",
                        detail: "what was said before is not written yet".to_owned(),
                        retryable: true,
                    };
                    self.refuse(refusal, which.sub, echo);
                }
            }
            ClientMessage::Ping { id } => {
                let fields = id.map_or(json!({}), |id| json!({"id": id}));
                self.outbox
                    .push_control(&plain(Format::WebSocket, FrameType::Pong, fields));
            }
        }
    }

    /// The subscription that is meant: by name, by session, or the only one.
    fn find(&mut self, which: &Which) -> Option<(&SessionId, &mut Watched)> {
        let is_only = self.subscriptions.len() == 1;
        self.subscriptions
            .iter_mut()
            .find(|(session, watched)| match (&which.sub, &which.session) {
                (Some(_), _) => watched.sub == which.sub,
                (None, Some(name)) => session.as_str() == name,
                (None, None) => is_only,
            })
    }

    fn unsubscribe(&mut self, which: &Which) {
        let is_meant = |sub: Option<&str>, session: Option<&SessionId>| {
            let named = which.sub.is_some() && sub == which.sub.as_deref();
            let meant = which.session.is_some() && session.map(SessionId::as_str) == which.session.as_deref();
            named || meant
        };
        self.follows
            .retain(|following| !is_meant(following.sub(), following.session()));
        self.subscriptions
            .retain(|session, watched| !is_meant(watched.sub.as_deref(), Some(session)));
    }

    /// True if there is no room for another one.
    fn is_full(&self) -> bool {
        let own = self.subscriptions.values().filter(|watched| !watched.is_followed);
        own.count() + self.follows.len() >= SUBSCRIPTIONS
    }

    async fn subscribe(&mut self, request: SubscriptionRequest) {
        let session = request.session.clone();
        let refusal = if !self.subscriptions.contains_key(&session) && self.is_full() {
            Some(too_many_subscriptions())
        } else {
            let seen = super::check_may_watch(&self.state, &self.reader, &session).await;
            seen.err().map(|problem| Refusal {
                code: problem.code.as_str(),
                retryable: problem.retry_after.is_some(),
                detail: problem.detail,
            })
        };
        match refusal {
            Some(refusal) => self.error(refusal, Some(&session), request.sub, None),
            None => self.watch(request, false),
        }
    }

    /// One subscription per session and socket: a second one takes the first one's place.
    fn watch(&mut self, request: SubscriptionRequest, is_followed: bool) {
        let (session, sub) = (request.session.clone(), request.sub.clone());
        self.subscriptions.remove(&session);
        let subscription = Subscription::start(&self.state, request, self.outbox.clone());
        let watched = Watched {
            sub,
            subscription,
            is_followed,
        };
        self.subscriptions.insert(session, watched);
    }

    fn follow(&mut self, request: FollowRequest) {
        if self.is_full() {
            return self.refuse(too_many_subscriptions(), request.sub, None);
        }
        let follower = self.state.followed.follow(request.agent.clone());
        self.follows.push(Following::new(follower, request));
    }

    /// Goes on to the sessions that these agents have begun.
    fn look(&mut self) {
        self.next_look = Instant::now() + LOOK_EVERY;
        let mut follows = std::mem::take(&mut self.follows);
        for following in &mut follows {
            let before = following.session().cloned();
            let watched = before
                .as_ref()
                .and_then(|session| self.subscriptions.get(session));
            let current = watched.map(|watched| &watched.subscription);
            let Some(switch) = following.look(&self.reader, current) else {
                continue;
            };
            if self.outbox.push_control(&switch.frame) == Push::Closed {
                tracing::debug!("a viewer went before it was told where its agent is");
            }
            if let Some(request) = switch.request {
                if let Some(before) = before
                    && self
                        .subscriptions
                        .get(&before)
                        .is_some_and(|watched| watched.is_followed)
                {
                    self.subscriptions.remove(&before);
                }
                self.watch(request, true);
            }
        }
        self.follows = follows;
    }

    fn refuse(&self, refusal: Refusal, sub: Option<String>, id: Option<Value>) {
        self.error(refusal, None, sub, id);
    }

    fn error(&self, refusal: Refusal, session: Option<&SessionId>, sub: Option<String>, id: Option<Value>) {
        let Refusal {
            code,
            detail,
            retryable,
        } = refusal;
        let mut fields = json!({"code": code, "detail": detail, "retryable": retryable});
        let named = [
            ("sub", sub.map(Value::from)),
            ("session", session.map(|session| session.as_str().into())),
            ("id", id),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                fields[name] = value;
            }
        }
        let frame = plain(Format::WebSocket, FrameType::Error, fields);
        if self.outbox.push_control(&frame) == Push::Closed {
            tracing::debug!("the viewer went before it could be told of {code}");
        }
    }
}

/// Why something is not done.
struct Refusal {
    code: &'static str,
    detail: String,
    retryable: bool,
}

impl Refusal {
    fn of(code: &'static str, detail: String) -> Self {
        Refusal {
            code,
            detail,
            retryable: false,
        }
    }
}

fn too_many_subscriptions() -> Refusal {
    let detail = format!("a socket takes {SUBSCRIPTIONS} subscriptions");
    Refusal::of("too_many_subscriptions", detail)
}

fn nothing_watched() -> Refusal {
    let detail = "name one of this socket's subscriptions by `sub` or by `session`";
    Refusal::of(BadMessage::CODE, detail.to_owned())
}
