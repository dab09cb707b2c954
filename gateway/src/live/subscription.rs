//! One viewer's subscription to one session: from its start position to live, and back when it falls behind.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kulti_schemas::{EventId, SessionId};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channel::ViewerGuard;
use super::fan_out::{FallBack, Subscriber};
use super::{Channel, Filter, Format, Live, Outbox, catch_up};

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// With what happens next.
    Live,
    /// With the first event.
    Start,
    /// After this position. With the id of the event there, a log that was cut answers `gap` instead of going on wrongly.
    Position(i64, Option<EventId>),
}

/// How fast recorded events are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As fast as the viewer takes them.
    Max,
    /// This many times as fast as they happened, by the session's clock.
    Speed(f64),
}

/// What a viewer asks for.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionRequest {
    /// The client's name for it.
    pub(crate) sub: Option<String>,
    pub(crate) session: SessionId,
    pub(crate) from: From,
    pub(crate) pace: Pace,
    /// The longest pause between two events while pacing.
    pub(crate) idle_cap: Option<Duration>,
    pub(crate) filter: Filter,
    pub(crate) format: Format,
}

/// Lives as long as the viewer watches; dropping it unsubscribes.
pub(crate) struct Subscription {
    course: Arc<Course>,
    _stop: DropGuard,
    _viewer: ViewerGuard,
}

/// What the subscription's catching up needs, and its fall-back from live.
pub(super) struct Course {
    pub(super) live: Live,
    pub(super) channel: Arc<Channel>,
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) pace: Pace,
    pub(super) idle_cap: Option<Duration>,
    pub(super) stopped: CancellationToken,
}

impl Subscription {
    /// Begins to send what was asked for to `outbox`.
    pub(crate) fn start(live: &Live, request: SubscriptionRequest, outbox: Arc<Outbox>) -> Self {
        let channel = live.channel(&request.session);
        let viewer = channel.count_viewer();
        let stopped = live.inner.options.stopping.child_token();
        let course = Arc::new_cyclic(|course: &Weak<Course>| {
            let course = course.clone();
            let fall_back = move |cursor| {
                if let Some(course) = course.upgrade() {
                    tokio::spawn(catch_up::run(course, From::Position(cursor, None)));
                }
            };
            let subscriber = Arc::new(Subscriber {
                id: channel.subscriber_id(),
                sub: request.sub,
                outbox,
                format: request.format,
                filter: request.filter,
                fall_back: FallBack(Box::new(fall_back)),
                gone: AtomicBool::new(false),
            });
            Course {
                live: live.clone(),
                channel,
                subscriber,
                pace: request.pace,
                idle_cap: request.idle_cap,
                stopped: stopped.clone(),
            }
        });
        tokio::spawn(catch_up::run(course.clone(), request.from));
        Subscription {
            course,
            _stop: stopped.drop_guard(),
            _viewer: viewer,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.course.channel.detach(&self.course.subscriber);
    }
}
