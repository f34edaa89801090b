//! The service itself: a request and a moment in, a reply out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use spot_core::sim::{Fault, Random, Timeline, VirtualClock};
use tokio::time::Instant;

use super::announcement::{Announcement, AnnouncementId, End, Scheduled, http_date};
use super::builder::{ImdsBuilder, seconds};
use super::record::{Asked, Record};
use super::reply::{Delivery, Reply, page, text, with_type};
use super::rule::{FaultRule, Rules};
use super::shared::SharedImds;
use super::tokens::Tokens;
use crate::client::{
    IDENTITY_PATH, LIFECYCLE_STATE, PAST_EVENTS, SCHEDULED_EVENTS, TOKEN, TOKEN_PATH, TOKEN_TTL,
};
use crate::options::TOKEN_TTLS;

const ROOT: &str = "/latest/meta-data";
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How long before the start the instance was launched, unless set.
const AGE: SignedDuration = SignedDuration::from_hours(24);

/// Paths that are there because of something announced.
const ANNOUNCED: [&str; 6] = [
    LIFECYCLE_STATE,
    PAST_EVENTS,
    SCHEDULED_EVENTS,
    "events/recommendations/rebalance",
    "spot/instance-action",
    "spot/termination-time",
];

/// What does not change by itself.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) documents: BTreeMap<String, String>,
    pub(super) lifecycle_state: Option<String>,
    pub(super) launched: Option<Timestamp>,
    pub(super) skew: SignedDuration,
    pub(super) dated: bool,
    pub(super) v1: bool,
    pub(super) enabled: bool,
    pub(super) seed: u64,
    pub(super) remember: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            documents: BTreeMap::new(),
            lifecycle_state: None,
            launched: None,
            skew: SignedDuration::ZERO,
            dated: true,
            v1: false,
            enabled: true,
            seed: 0,
            remember: 10_000,
        }
    }
}

/// A metadata service as a synchronous function of requests and moments.
///
/// It reads no clock: the moment comes with the request. [`shared`](Self::shared) makes it
/// answer real clients. See the [module](super) for examples.
pub struct Imds {
    config: Config,
    clock: VirtualClock,
    random: Random,
    tokens: Tokens,
    announcements: Vec<Scheduled>,
    rules: Rules,
    record: Record,
}

impl fmt::Debug for Imds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imds")
            .field("announcements", &self.announcements)
            .field("rules", &self.rules)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Imds {
    /// A simulator, to be scripted.
    pub fn builder() -> ImdsBuilder {
        ImdsBuilder::default()
    }

    pub(super) fn new(config: Config, clock: VirtualClock) -> Self {
        let mut random = Random::new(config.seed);
        Self {
            tokens: Tokens::new(random.fork("tokens")),
            random: random.fork("events"),
            record: Record::new(config.remember),
            config,
            clock,
            announcements: Vec::new(),
            rules: Rules::default(),
        }
    }

    /// The simulator behind a handle that can be cloned: a transport in memory, and what a
    /// [`Server`](super::Server) serves.
    pub fn shared(self) -> SharedImds {
        SharedImds::new(self)
    }

    /// Its clock, without the skew of the header `Date`.
    pub fn clock(&self) -> VirtualClock {
        self.clock
    }

    // What is announced.

    /// Announces something; its times count from `now`.
    pub fn announce(&mut self, announcement: Announcement, now: Instant) -> AnnouncementId {
        let shows = now + announcement.after;
        let ends = announcement.end.map(|(after, end)| (shows + after, end));
        let id = u128::from(self.random.next_u64()) << 4;
        self.announcements.push(Scheduled {
            announcement,
            shows,
            ends,
            read: None,
            moved: None,
            event_id: format!("instance-event-{id:017x}"),
        });
        AnnouncementId(self.announcements.len() - 1)
    }

    /// Takes something back, or keeps it from ever showing. Without effect on what is over.
    pub fn cancel(&mut self, id: AnnouncementId, now: Instant) {
        self.end(id, now, End::Cancelled);
    }

    /// Something has happened as announced. Without effect on what is over.
    pub fn complete(&mut self, id: AnnouncementId, now: Instant) {
        self.end(id, now, End::Completed);
    }

    /// Something is moved: a maintenance is to begin so long after `now`. Without effect on what
    /// is over, and on other kinds.
    pub fn reschedule(
        &mut self,
        AnnouncementId(index): AnnouncementId,
        left: Duration,
        now: Instant,
    ) {
        if let Some(scheduled) = self.announcements.get_mut(index)
            && scheduled.ended(now).is_none()
        {
            scheduled.reschedule(left, now);
        }
    }

    fn end(&mut self, AnnouncementId(index): AnnouncementId, now: Instant, how: End) {
        if let Some(scheduled) = self.announcements.get_mut(index)
            && scheduled.ended(now).is_none()
        {
            scheduled.ends = Some((now, how));
        }
    }

    /// Metadata, by its path below `/latest/meta-data/`; it wins over what is announced there.
    pub fn set(&mut self, path: impl Into<String>, body: impl Into<String>) {
        self.config.documents.insert(path.into(), body.into());
    }

    /// Takes back what was [`set`](Self::set).
    pub fn unset(&mut self, path: &str) {
        self.config.documents.remove(path);
    }

    /// Switches access to the metadata on or off.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.config.enabled = enabled;
    }

    /// The header `Date` is wrong by so much from now on.
    pub fn set_date_skew(&mut self, skew: SignedDuration) {
        self.config.skew = skew;
    }

    /// No session token that was issued is taken any more.
    pub fn revoke_tokens(&mut self) {
        self.tokens.revoke();
    }

    // What goes wrong.

    /// Makes some requests go wrong; the rule's times count from `now`.
    pub fn fault(&mut self, rule: FaultRule, now: Instant) {
        self.rules.add(rule, self.clock.elapsed(now));
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&mut self) {
        self.rules.clear();
    }

    /// Whether connections are refused before anything is asked: a [`Fault::Refused`] for every
    /// path, without a count.
    pub fn is_refusing(&self, now: Instant) -> bool {
        self.rules.is_refusing(self.clock.elapsed(now))
    }

    /// When [`is_refusing`](Self::is_refusing) may change next, if nothing else is done.
    pub fn next_refusal(&self, now: Instant) -> Option<Instant> {
        let next = self.rules.next_refusal(self.clock.elapsed(now))?;
        self.clock.start().checked_add(next)
    }

    // What happened.

    /// The requests that were made, oldest first; the last ones, where there were many.
    pub fn asked(&self) -> impl ExactSizeIterator<Item = &Asked> {
        self.record.asked()
    }

    /// How many requests were made.
    pub fn total_asked(&self) -> u64 {
        self.record.total()
    }

    /// What had happened by `now`: what showed, what was read for the first time, what ended,
    /// and the faults that were met.
    pub fn timeline(&self, now: Instant) -> Timeline {
        let mut story = Timeline::default();
        for scheduled in &self.announcements {
            for (at, what) in scheduled.story(&self.clock) {
                if at <= now {
                    story.record(self.clock.elapsed(at), "imds", what);
                }
            }
        }
        for (at, what) in self.rules.story() {
            story.record(at, "imds", what);
        }
        story
    }

    // Requests.

    /// Answers a request that comes in at `now`. Moments must not go back.
    pub fn handle<B>(&mut self, request: &Request<B>, now: Instant) -> Reply {
        let at = self.clock.elapsed(now);
        let (delay, faults) = self.rules.meet(request.uri().path(), at);
        let fault = faults.iter().find(|f| !matches!(f, Fault::Delay(_)));
        let delivery = match fault {
            Some(Fault::Refused) => Delivery::Refused,
            Some(Fault::ResetBefore) => Delivery::Reset,
            Some(Fault::BlackHole) => Delivery::Never,
            Some(Fault::Status {
                code,
                retry_after,
                body,
            }) => Delivery::Whole(self.dated(instead(*code, *retry_after, body), now)),
            fault => {
                let response = self.perform(request, now);
                let response = self.dated(response, now);
                match fault {
                    Some(Fault::ResetAfter) => Delivery::Reset,
                    Some(Fault::BlackHoleAfter) => Delivery::Never,
                    Some(Fault::Truncate(bytes)) => Delivery::Truncated(response, *bytes),
                    Some(Fault::Oversize(bytes)) => Delivery::Whole(padded(response, *bytes)),
                    Some(Fault::Slow(rate)) => Delivery::Slow(response, *rate),
                    // A fault that came into the vocabulary after this was written.
                    _ => Delivery::Whole(response),
                }
            }
        };
        let status = delivery.response().map(|r| r.status().as_u16());
        self.record.add(request, at, status, faults);
        Reply { delay, delivery }
    }

    fn perform<B>(&mut self, request: &Request<B>, now: Instant) -> Response<Bytes> {
        let path = request.uri().path();
        if !self.config.enabled {
            return page(StatusCode::FORBIDDEN);
        }
        if path == TOKEN_PATH {
            return self.issue(request.method(), request.headers(), now);
        }
        if request.method() != Method::GET {
            return page(StatusCode::METHOD_NOT_ALLOWED);
        }
        let left = match request.headers().get(TOKEN) {
            None if self.config.v1 => None,
            None => return page(StatusCode::UNAUTHORIZED),
            Some(token) => match self.tokens.left(token.as_bytes(), now) {
                None => return page(StatusCode::UNAUTHORIZED),
                left => left,
            },
        };
        let mut response = match self.look_up(path, now) {
            Some(body) => text(body),
            None => page(StatusCode::NOT_FOUND),
        };
        if let Some(left) = left {
            response.headers_mut().insert(TOKEN_TTL, seconds(left));
        }
        response
    }

    fn issue(&mut self, method: &Method, headers: &HeaderMap, now: Instant) -> Response<Bytes> {
        if method != Method::PUT {
            return page(StatusCode::METHOD_NOT_ALLOWED);
        }
        // EC2 gives no token to what came through a proxy.
        if headers.contains_key(FORWARDED) {
            return page(StatusCode::FORBIDDEN);
        }
        let wanted = headers.get(TOKEN_TTL).and_then(|value| value.to_str().ok());
        let wanted = wanted.and_then(|text| text.trim().parse().ok());
        let Some(life) = wanted.filter(|life| TOKEN_TTLS.contains(life)) else {
            return page(StatusCode::BAD_REQUEST);
        };
        let life = Duration::from_secs(life.into());
        let mut response = text(self.tokens.issue(life, now));
        response.headers_mut().insert(TOKEN_TTL, seconds(life));
        response
    }

    /// The body at a path, document or directory.
    fn look_up(&mut self, path: &str, now: Instant) -> Option<String> {
        if path == IDENTITY_PATH {
            return Some(self.identity());
        }
        let path = path.strip_prefix(ROOT)?;
        let path = if path.is_empty() {
            path
        } else {
            path.strip_prefix('/')?.trim_end_matches('/')
        };
        let found = self.document(path, now);
        if found.is_none() {
            return self.directory(path, now);
        }
        for scheduled in &mut self.announcements {
            if scheduled.is_shown(now) && scheduled.is_told_by(path) {
                scheduled.read.get_or_insert(now);
            }
        }
        found
    }

    fn document(&self, path: &str, now: Instant) -> Option<String> {
        if let Some(set) = self.config.documents.get(path) {
            return Some(set.clone());
        }
        match path {
            SCHEDULED_EVENTS => Some(self.events(false, now)),
            PAST_EVENTS => Some(self.events(true, now)),
            _ => {
                let mut shown = self.announcements.iter().rev();
                shown
                    .find_map(|s| s.body(path, &self.clock, now).filter(|_| s.is_shown(now)))
                    .or_else(|| self.lifecycle_state(path))
            }
        }
    }

    /// The identity document, without what would name an account or an image.
    fn identity(&self) -> String {
        let start = self.clock.at(self.clock.start());
        let launched = self.config.launched;
        let launched = launched.or_else(|| start.checked_sub(AGE).ok());
        let launched = launched.unwrap_or(start).as_second();
        let told = |path: &str| self.config.documents.get(path);
        json!({
            "architecture": "x86_64",
            "availabilityZone": told("placement/availability-zone"),
            "instanceId": told("instance-id"),
            "instanceType": told("instance-type"),
            "pendingTime": Timestamp::from_second(launched).ok().map(|at| at.to_string()),
            "region": told("placement/region"),
            "version": "2017-09-30",
        })
        .to_string()
    }

    fn lifecycle_state(&self, path: &str) -> Option<String> {
        let state = || self.config.lifecycle_state.clone();
        let implied = || {
            let is_asg = |s: &Scheduled| s.is_told_by(LIFECYCLE_STATE);
            let implied = self.announcements.iter().any(is_asg);
            implied.then(|| "InService".to_owned())
        };
        (path == LIFECYCLE_STATE).then(|| state().or_else(implied))?
    }

    fn events(&self, history: bool, now: Instant) -> String {
        let events = self.announcements.iter();
        let events = events.filter_map(|s| s.event(&self.clock, now));
        let events = events.filter(|(past, _)| *past == history);
        Value::Array(events.map(|(_, event)| event).collect()).to_string()
    }

    /// The names in a directory, each on a line; a directory's own ends in a slash.
    fn directory(&self, path: &str, now: Instant) -> Option<String> {
        let inside = |found: &&str| below(found, path).is_some();
        let announced = ANNOUNCED.into_iter().filter(inside);
        let announced = announced.filter(|found| self.document(found, now).is_some());
        let all = announced.chain(self.config.documents.keys().map(String::as_str));
        let below = all.filter_map(|found| below(found, path));
        let names = below.map(|name| match name.split_once('/') {
            Some((directory, _)) => format!("{directory}/"),
            None => name.to_owned(),
        });
        let names = names.collect::<BTreeSet<_>>();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join("\n"))
    }

    fn dated(&self, mut response: Response<Bytes>, now: Instant) -> Response<Bytes> {
        if self.config.dated {
            let date = http_date(self.clock.at(now), self.config.skew);
            // Letters, digits and punctuation.
            if let Ok(date) = HeaderValue::from_str(&date) {
                response.headers_mut().insert(DATE, date);
            }
        }
        response
    }
}

/// The part of a path that is below a directory.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    match directory {
        "" => Some(path),
        _ => path.strip_prefix(directory)?.strip_prefix('/'),
    }
}

fn instead(code: u16, retry_after: Option<Duration>, body: &str) -> Response<Bytes> {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if body.is_empty() && status != StatusCode::OK {
        page(status)
    } else {
        with_type(
            status,
            "text/plain",
            Bytes::copy_from_slice(body.as_bytes()),
        )
    };
    if let Some(after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds(after));
    }
    response
}

fn padded(response: Response<Bytes>, length: usize) -> Response<Bytes> {
    response.map(|body| {
        let mut body = body.to_vec();
        body.resize(length.max(body.len()), b' ');
        body.into()
    })
}
