//! Where a leg of a subscription begins: finds the position, and sends the state as of there if the viewer wants it.

use std::time::Duration;

use bytes::Bytes;
use kulti_schemas::{EventId, Timestamp};
use kulti_session::Workspace;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::catch_up::Stop;
use super::channel::Phase;
use super::frames::{FrameType, plain, state_frame};
use super::outbox::Push;
use super::projected::event_id_at;
use super::subscriber::Sent;
use super::subscription::{Begin, Course, From};
use crate::problem::{Code, Problem};
use crate::reads::as_of::keyframe_at;
use crate::reads::at::{At, resolve};
use crate::store::{self, answered};

/// How long a session may take to be taken up.
const TAKE_UP: Duration = Duration::from_secs(10);
/// How long a client may be ahead of this gateway: another gateway may have read further.
const AHEAD: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where a leg begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The viewer has everything up to here.
    pub(super) cursor: i64,
    /// It wanted to be here: what is before it is not paced.
    pub(super) target: i64,
}

impl Place {
    fn at(position: i64) -> Self {
        Place {
            cursor: position,
            target: position,
        }
    }
}

impl Course {
    /// Finds out where to begin. `begin` stays as it is, for another attempt.
    pub(super) async fn begin(&self, begin: &Begin) -> Result<Place, Stop> {
        let (from, state, id) = match begin {
            Begin::GoOn => return Ok(Place::at(self.subscriber.sent().position)),
            Begin::FellBack(cursor) => {
                let place = Sent::up_to(*cursor, self.subscriber.sent().clock);
                self.subscriber.arrive(place, None);
                return Ok(Place::at(*cursor));
            }
            Begin::From { from, state } => (*from, *state, None),
            Begin::Seek { to, state, id } => (*to, *state, id.as_ref()),
        };
        let is_seek = matches!(begin, Begin::Seek { .. });
        let position = match self.find(from).await {
            Err(Stop::Refused(code, detail)) if is_seek => {
                let before = self.subscriber.sent();
                let back = Sent::up_to(before.position, before.clock);
                let refusal = self.refusal((code, &detail), id);
                self.subscriber.arrive(back, Some(&refusal));
                return Ok(Place::at(back.position));
            }
            found => found?,
        };
        if state {
            return Ok(Place {
                cursor: self.send_state(position, id).await?,
                target: position,
            });
        }
        let place = Sent::up_to(position, None);
        let clock = is_seek.then(|| self.frame(FrameType::Clock, self.clock(place, id.cloned())));
        self.subscriber.arrive(place, clock.as_ref());
        Ok(Place::at(position))
    }

    /// The position that everything comes after.
    async fn find(&self, from: From) -> Result<i64, Stop> {
        match self.channel.ready(TAKE_UP).await {
            Phase::Live => {}
            Phase::Unavailable(code, detail) => return Err(Stop::Error(code, detail)),
            Phase::Loading => {
                return Err(Stop::Error(
                    "not_ready",
                    "the session is still being taken up".into(),
                ));
            }
        }
        let (position, id) = match from {
            From::Live | From::Moment(At::Live) => return Ok(self.channel.position()),
            From::Start => return Ok(0),
            From::Position(position, id) => (position, id),
            From::Moment(At::Position(position)) => (position, None),
            From::Moment(At::Event(id)) => return self.find_event(id).await,
            From::Moment(At::Time(time)) => return self.find_time(time).await,
            From::Moment(At::Since(since)) => {
                let span = answered(store::session_span(&self.state.pool, &self.channel.session)).await?;
                let start = match span {
                    Some(span) => Some(Timestamp::from(span.started_at)),
                    None => self.channel.clock_at(1),
                };
                let Some(start) = start else { return Ok(0) };
                let micros = since.num_microseconds().unwrap_or(i64::MAX);
                return self.find_time(Timestamp(start.0.saturating_add(micros))).await;
            }
        };
        if position > self.channel.position() && !self.channel.reaches(position, AHEAD).await {
            let head = self.channel.position();
            self.gap(head + 1, position, "not_in_log");
            return Ok(head);
        }
        if let Some(id) = id {
            let actual = match self.channel.id_at(position) {
                Some(id) => Some(id),
                None => event_id_at(&self.state.pool, &self.channel.session, position).await?,
            };
            if actual.is_some_and(|actual| actual != id) {
                self.gap(1, position, "log_changed");
            }
        }
        Ok(position)
    }

    /// What was accepted a moment ago may come from the log in a moment.
    async fn find_event(&self, id: EventId) -> Result<i64, Stop> {
        let session = &self.channel.session;
        let deadline = Instant::now() + AHEAD;
        loop {
            // Memory first: an event that is written in between is in the rows then.
            match self.channel.find_event(id) {
                Some((position, None)) => return Ok(position),
                Some((position, Some(pointer))) => {
                    if let Some((pointed, _)) = self.channel.find_event(pointer) {
                        return Ok(pointed);
                    }
                    let rows = answered(store::positions_of(&self.state.pool, session, &[pointer])).await?;
                    return Ok(rows.get(&pointer).copied().unwrap_or(position));
                }
                None => {}
            }
            match resolve(&self.state.pool, session, At::Event(id)).await {
                Ok(moment) => return Ok(moment.position),
                Err(problem) if problem.code == Code::NotFound && Instant::now() < deadline => {
                    sleep(LOOK_EVERY).await;
                }
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    async fn find_time(&self, time: Timestamp) -> Result<i64, Stop> {
        let in_rows = match resolve(&self.state.pool, &self.channel.session, At::Time(time)).await {
            Ok(moment) => moment.position,
            Err(problem) if problem.code == Code::NotFound => 0,
            Err(problem) => return Err(problem.into()),
        };
        Ok(self
            .channel
            .last_at(time)
            .map_or(in_rows, |held| held.max(in_rows)))
    }

    /// Sends the state as of a position, or of as near before it as the rows go. Where it is.
    async fn send_state(&self, position: i64, id: Option<&Value>) -> Result<i64, Stop> {
        if !self.channel.rows_are_masked() {
            return Err(Stop::Error("not_ready", "a redaction is being applied".into()));
        }
        let session = &self.channel.session;
        let mut keyframe = {
            let _permit = self.state.live.inner.queries.acquire().await;
            match answered(store::last_position(&self.state.pool, session)).await? {
                Some(last) => keyframe_at(&self.state, session, position.min(last)).await?,
                // Replay has not come to it yet.
                None => Workspace::new().keyframe(),
            }
        };
        if keyframe.profile.session.is_empty() {
            keyframe.profile.session = session.to_string();
        }
        let subscriber = &self.subscriber;
        let frame = state_frame(subscriber.format, subscriber.sub.as_deref(), id, &keyframe);
        let now = &keyframe.now;
        loop {
            match subscriber.send(&frame, (now.position, now.time.map(Timestamp))) {
                Push::Taken => return Ok(now.position),
                Push::Full => self.emptied().await?,
                Push::Closed => return Err(Stop::Gone),
            }
        }
    }

    /// Not about the session, which goes on, but about a message.
    fn refusal(&self, (code, detail): (&str, &str), id: Option<&Value>) -> Bytes {
        let mut fields = json!({"code": code, "detail": detail, "retryable": false});
        for (name, value) in [
            ("sub", self.subscriber.sub.as_deref().map(Value::from)),
            ("id", id.cloned()),
        ] {
            if let Some(value) = value {
                fields[name] = value;
            }
        }
        plain(self.subscriber.format, FrameType::Error, fields)
    }

    fn gap(&self, from: i64, to: i64, reason: &str) {
        self.tell(FrameType::Gap, json!({"from": from, "to": to, "reason": reason}));
    }
}

impl std::convert::From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        if problem.retry_after.is_some() || problem.code.status().is_server_error() {
            Stop::Error("not_ready", problem.detail)
        } else {
            Stop::Refused(problem.code.as_str(), problem.detail)
        }
    }
}

/// What a marker or a clip among the newest events points to.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Rendered {
    data: Pointer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pointer {
    at: Option<String>,
    from: Option<String>,
}

impl super::Channel {
    /// The position of an event among the newest, and what it points to if it is a marker or a clip.
    fn find_event(&self, id: EventId) -> Option<(i64, Option<EventId>)> {
        let state = self.state();
        let event = state.ring.find(id)?;
        let data = match &*event.kind {
            "marker" | "clip" => {
                serde_json::from_slice::<Rendered>(&event.json)
                    .unwrap_or_default()
                    .data
            }
            _ => Pointer::default(),
        };
        let pointer = if &*event.kind == "clip" {
            data.from
        } else {
            data.at
        };
        let pointer = pointer.and_then(|text| EventId::parse(&text).ok());
        Some((event.position, pointer))
    }

    fn last_at(&self, time: Timestamp) -> Option<i64> {
        self.state().ring.last_at(time)
    }

    fn clock_at(&self, position: i64) -> Option<Timestamp> {
        self.state().ring.event(position).map(|event| event.clock)
    }
}
