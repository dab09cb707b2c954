//! One viewer's subscription to one session, and what may be changed about it on the way.
//!
//! It goes in legs. A leg (`Course`) begins somewhere, catches up, becomes live, and never changes. Whatever the viewer
//! changes ends the leg, at a position that nothing was sent after, and begins another one from there: so a newer
//! change always wins, whatever the one before was waiting for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use kulti_schemas::{EventId, SessionId};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channel::ViewerGuard;
use super::frames::FrameType;
use super::subscriber::{FallBack, Sent, Subscriber};
use super::{Channel, Filter, Format, Outbox, Push, catch_up};
use crate::reads::at::At;
use crate::state::AppState;

/// Changes that wait for a seek before they are answered; older ones are not answered.
const UNANSWERED: usize = 32;

/// Where a subscription begins, or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// With what happens next.
    Live,
    /// With the first event.
    Start,
    /// After this position. With the id of the event there, a log that was cut answers `gap` instead of going on wrongly.
    Position(i64, Option<EventId>),
    /// After this moment.
    Moment(At),
}

/// How fast recorded events are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As fast as the viewer takes them.
    Max,
    /// This many times as fast as they happened, by the session's clock.
    Speed(f64),
    /// As fast as it takes to be live after this time.
    Deadline(Duration),
}

impl Pace {
    /// As clients say it.
    pub(crate) fn to_json(self) -> Value {
        match self {
            Pace::Max => "max".into(),
            Pace::Speed(speed) => speed.into(),
            Pace::Deadline(time) => json!({"deadline_s": time.as_secs_f64()}),
        }
    }
}

/// What may be changed on the way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) pace: Pace,
    /// The session's idle time longer than this is cut while pacing.
    pub(crate) idle_cap: Option<Duration>,
    pub(crate) filter: Filter,
    pub(crate) paused: bool,
    /// Closed segments are told of in place of their events, while everything is sent at max.
    pub(crate) segments: bool,
}

/// What a viewer asks for.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionRequest {
    /// The client's name for it.
    pub(crate) sub: Option<String>,
    pub(crate) session: SessionId,
    pub(crate) from: From,
    /// Begins with the state as of there.
    pub(crate) state: bool,
    pub(crate) settings: Settings,
    pub(crate) format: Format,
}

/// What a viewer changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// Go there; `state` sends the state as of there first.
    Seek { to: From, state: bool },
    /// Send nothing until told.
    Pause,
    /// Go on.
    Play,
    /// Another pace, and another idle cap if one is named.
    Pace { pace: Pace, idle_cap: Option<Duration> },
    /// Other kinds.
    Filter(Filter),
}

/// Where a leg begins.
#[derive(Debug, Clone)]
pub(super) enum Begin {
    /// Where the viewer said. `state` sends the state first.
    From { from: From, state: bool },
    /// The same on the way; if it cannot go there, it goes on as it was.
    Seek {
        to: From,
        state: bool,
        id: Option<Value>,
    },
    /// Where the leg before ended.
    GoOn,
    /// It was live up to here, and could not take more or has to go on elsewhere.
    FellBack(i64),
}

/// Lives as long as the viewer watches; dropping it unsubscribes.
pub(crate) struct Subscription {
    state: AppState,
    course: Arc<Course>,
    _stop: DropGuard,
    _viewer: ViewerGuard,
}

/// One leg.
pub(super) struct Course {
    pub(super) state: AppState,
    pub(super) channel: Arc<Channel>,
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) settings: Settings,
    pub(super) begin: Begin,
    pub(super) began: Instant,
    /// With a deadline: what was left of it when the leg began.
    pub(super) time_left: Duration,
    /// The `id` of each change that is not answered yet.
    answers: Mutex<VecDeque<Option<Value>>>,
    pub(super) stopped: CancellationToken,
}

impl Subscription {
    /// Begins to send what was asked for to `outbox`.
    pub(crate) fn start(state: &AppState, request: SubscriptionRequest, outbox: Arc<Outbox>) -> Self {
        let channel = state.live.channel(&request.session);
        let viewer = channel.count_viewer();
        let leg = Leg {
            state: state.clone(),
            channel,
            sub: request.sub,
            outbox,
            format: request.format,
            begin: Begin::From {
                from: request.from,
                state: request.state,
            },
            time_left: request.settings.full_time(),
            settings: request.settings,
            answers: VecDeque::new(),
        };
        let course = leg.start(Sent::default());
        Subscription {
            state: state.clone(),
            _stop: course.stopped.clone().drop_guard(),
            course,
            _viewer: viewer,
        }
    }

    /// How it is sent now.
    pub(crate) fn settings(&self) -> &Settings {
        &self.course.settings
    }

    /// True if the viewer has everything that there is.
    pub(crate) fn is_at_end(&self) -> bool {
        let course = &self.course;
        let sent = course.subscriber.sent();
        !course.settings.paused && sent.arrived && sent.position >= course.channel.state().flushed
    }

    /// Ends the leg and begins another one. `id` is given back in the answer.
    pub(crate) fn change(&mut self, change: Change, id: Option<Value>) {
        let before = &self.course;
        before.stopped.cancel();
        let sent = before.channel.detach(&before.subscriber);
        let mut settings = before.settings.clone();
        let mut time_left = before.time_left();
        let mut answers = std::mem::take(&mut *before.answers());
        // A seek that has not arrived goes on, unless it is another one that takes its place.
        let mut begin = if sent.arrived {
            Begin::GoOn
        } else {
            before.begin.clone()
        };
        let is_seek = matches!(change, Change::Seek { .. });
        match change {
            Change::Seek { to, state } => {
                time_left = settings.full_time();
                let id = id.clone();
                begin = Begin::Seek { to, state, id };
            }
            Change::Pause => settings.paused = true,
            Change::Play => {
                settings.paused = false;
                if time_left.is_zero() {
                    time_left = settings.full_time();
                }
            }
            Change::Pace { pace, idle_cap } => {
                settings.pace = pace;
                settings.idle_cap = idle_cap.or(settings.idle_cap);
                time_left = settings.full_time();
            }
            Change::Filter(filter) => settings.filter = filter,
        }
        if !is_seek {
            answers.push_back(id);
            if answers.len() > UNANSWERED {
                answers.pop_front();
            }
        }
        let leg = Leg {
            state: self.state.clone(),
            channel: before.channel.clone(),
            sub: before.subscriber.sub.clone(),
            outbox: before.subscriber.outbox.clone(),
            format: before.subscriber.format,
            begin,
            time_left,
            settings,
            answers,
        };
        self.course = leg.start(sent);
        self._stop = self.course.stopped.clone().drop_guard();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.course.channel.detach(&self.course.subscriber);
    }
}

impl Settings {
    /// All of the time that there is until live.
    fn full_time(&self) -> Duration {
        match self.pace {
            Pace::Deadline(time) => time,
            _ => Duration::ZERO,
        }
    }
}

/// What a course is made of.
struct Leg {
    state: AppState,
    channel: Arc<Channel>,
    sub: Option<String>,
    outbox: Arc<Outbox>,
    format: Format,
    begin: Begin,
    settings: Settings,
    time_left: Duration,
    answers: VecDeque<Option<Value>>,
}

impl Leg {
    /// `sent`: how far the leg before came.
    fn start(self, sent: Sent) -> Arc<Course> {
        let stopped = self.state.live.inner.options.stopping.child_token();
        let course = Arc::new_cyclic(|course: &Weak<Course>| {
            let course = course.clone();
            let fall_back = move |cursor| {
                if let Some(course) = course.upgrade() {
                    tokio::spawn(catch_up::run(course, Begin::FellBack(cursor)));
                }
            };
            let sent = match self.begin {
                Begin::GoOn => sent,
                _ => sent.on_the_way(),
            };
            let subscriber = Subscriber {
                id: self.channel.subscriber_id(),
                sub: self.sub,
                outbox: self.outbox,
                format: self.format,
                filter: self.settings.filter.clone(),
                fall_back: FallBack(Box::new(fall_back)),
                progress: sent.into(),
            };
            Course {
                subscriber: Arc::new(subscriber),
                state: self.state,
                channel: self.channel,
                settings: self.settings,
                begin: self.begin.clone(),
                began: Instant::now(),
                time_left: self.time_left,
                answers: Mutex::new(self.answers),
                stopped,
            }
        });
        tokio::spawn(catch_up::run(course.clone(), self.begin));
        course
    }
}

impl Course {
    /// What is left of the deadline; none passes while paused.
    fn time_left(&self) -> Duration {
        if self.settings.paused {
            self.time_left
        } else {
            self.time_left.saturating_sub(self.began.elapsed())
        }
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<Option<Value>>> {
        self.answers
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Answers what was changed before this leg.
    pub(super) fn answer(&self) {
        let mut answers = self.answers();
        while let Some(id) = answers.front() {
            if self.tell_clock(self.subscriber.sent(), id.clone()) == Push::Closed {
                return;
            }
            answers.pop_front();
        }
    }

    /// Tells the viewer something about this subscription.
    pub(super) fn tell(&self, kind: FrameType, fields: Value) -> Push {
        self.subscriber.tell(&self.frame(kind, fields))
    }

    pub(super) fn frame(&self, kind: FrameType, fields: Value) -> Bytes {
        let sub = self.subscriber.sub.as_deref();
        self.channel
            .frames
            .other(self.subscriber.format, kind, sub, fields)
    }

    /// Tells where playback is.
    pub(super) fn tell_clock(&self, at: Sent, id: Option<Value>) -> Push {
        self.tell(FrameType::Clock, self.clock(at, id))
    }

    /// The fields of a `clock` frame.
    pub(super) fn clock(&self, at: Sent, id: Option<Value>) -> Value {
        let mut fields = json!({
            "position": at.position,
            "speed": self.settings.pace.to_json(),
            "paused": self.settings.paused,
        });
        if let Some(clock) = at.clock {
            fields["time"] = clock.to_rfc3339().into();
        }
        if let Some(id) = id {
            fields["id"] = id;
        }
        fields
    }
}
