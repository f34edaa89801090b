//! Requests, and what a metadata service answers to them.

use serde_json::Value;

/// What has been announced when the request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An interruption (terminate), a rebalance recommendation, maintenance (`system-reboot`),
    /// and the end that an Auto Scaling group wants: all at once.
    Everything,
    /// An interruption that does not show yet, and nothing else.
    Quiet,
}

/// The session token that the request carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token {
    Good,
    Bad,
    None,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    Any,
    /// Trimmed.
    Exactly(&'static str),
    Holds(&'static str),
    /// Lines, in any order, among others.
    Lists(&'static [&'static str]),
    /// An object with these fields and no others; times are of the same shape, event-ids as
    /// long, and other texts the same.
    Object(&'static [(&'static str, &'static str)]),
    /// An array with one such object.
    Array(&'static [(&'static str, &'static str)]),
    /// An RFC 3339 time.
    Time,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) stage: Stage,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) token: Token,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// A header of the reply and its value; `*` is any.
    pub(crate) reply: &'static [(&'static str, &'static str)],
    /// Where AWS's mock is not like the real service: its status, and why ours is another.
    pub(crate) mock: Option<(u16, &'static str)>,
}

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "/latest/api/token";

const fn get(stage: Stage, path: &'static str, status: u16, body: Body) -> Case {
    Case {
        stage,
        method: "GET",
        path,
        token: Token::Good,
        header: None,
        status,
        body,
        reply: &[("date", "*"), ("content-type", "text/plain")],
        mock: None,
    }
}

const fn here(path: &'static str, body: Body) -> Case {
    get(Stage::Everything, path, 200, body)
}

const fn absent(stage: Stage, path: &'static str) -> Case {
    let case = get(stage, path, 404, Body::Holds("404 - Not Found"));
    Case { reply: &[], ..case }
}

const fn put(ttl: &'static str, status: u16, body: Body) -> Case {
    let case = get(Stage::Everything, TOKEN, status, body);
    Case {
        method: "PUT",
        token: Token::None,
        header: Some((TTL, ttl)),
        reply: &[],
        ..case
    }
}

const fn as_json(case: Case) -> Case {
    // The mock says application/json; the real service says text/plain.
    let reply = &[("date", "*"), ("content-type", "*")];
    Case { reply, ..case }
}

const fn without(token: Token, path: &'static str) -> Case {
    let case = get(
        Stage::Everything,
        path,
        401,
        Body::Holds("401 - Unauthorized"),
    );
    Case {
        token,
        reply: &[],
        ..case
    }
}

impl Case {
    const fn mock(self, status: u16, why: &'static str) -> Self {
        let mock = Some((status, why));
        Self { mock, ..self }
    }

    const fn reply(self, reply: &'static [(&'static str, &'static str)]) -> Self {
        Self { reply, ..self }
    }
}

const BAD: Body = Body::Holds("400 - Bad Request");
const QUIET: Stage = Stage::Quiet;

pub(crate) const CASES: &[Case] = &[
    // Tokens.
    put("21600", 200, Body::Any).reply(&[(TTL, "21600"), ("content-type", "text/plain")]),
    put("1", 200, Body::Any).reply(&[(TTL, "1"), ("date", "*")]),
    put("0", 400, BAD),
    put("21601", 400, BAD),
    put("-1", 400, BAD),
    put("soon", 400, BAD),
    put("", 400, BAD),
    put("1.5", 400, BAD),
    Case {
        header: None,
        ..put("", 400, BAD)
    },
    Case {
        header: Some((TTL, "60")),
        reply: &[],
        ..get(Stage::Everything, TOKEN, 405, Body::Any)
    }
    .mock(200, "says 200 and nothing to a GET of the token"),
    without(Token::None, "/latest/meta-data/instance-id"),
    without(Token::Bad, "/latest/meta-data/instance-id"),
    without(Token::None, "/latest/meta-data/spot/instance-action"),
    without(Token::Bad, "/latest/meta-data/spot/instance-action"),
    without(Token::None, "/latest/meta-data/nothing").mock(404, "asks for no token there"),
    // What does not change.
    here(
        "/latest/meta-data/instance-id",
        Body::Exactly("i-1234567890abcdef0"),
    ),
    here(
        "/latest/meta-data/instance-type",
        Body::Exactly("m4.xlarge"),
    ),
    here(
        "/latest/meta-data/placement/availability-zone",
        Body::Exactly("us-east-1a"),
    ),
    here(
        "/latest/meta-data/placement/region",
        Body::Exactly("us-east-1"),
    ),
    here(
        "/latest/meta-data/instance-life-cycle",
        Body::Exactly("on-demand"),
    ),
    here(
        "/latest/meta-data/tags/instance/Name",
        Body::Exactly("test-instance"),
    ),
    as_json(here(
        "/latest/dynamic/instance-identity/document",
        Body::Holds("\"pendingTime\""),
    )),
    absent(Stage::Everything, "/latest/meta-data/tags/instance/Other"),
    absent(Stage::Everything, "/latest/meta-data/nothing"),
    absent(Stage::Everything, "/latest/nothing"),
    Case {
        method: "POST",
        reply: &[],
        ..get(
            Stage::Everything,
            "/latest/meta-data/instance-id",
            405,
            Body::Any,
        )
    }
    .mock(200, "takes any method for GET"),
    // Directories.
    here(
        "/latest/meta-data/",
        Body::Lists(&["instance-id", "placement/", "events/", "spot/", "tags/"]),
    ),
    here(
        "/latest/meta-data",
        Body::Lists(&["instance-id", "autoscaling/"]),
    ),
    here(
        "/latest/meta-data/placement",
        Body::Lists(&["availability-zone", "region"]),
    ),
    here(
        "/latest/meta-data/placement/",
        Body::Lists(&["availability-zone"]),
    ),
    here("/latest/meta-data/tags/instance/", Body::Lists(&["Name"])),
    here(
        "/latest/meta-data/spot",
        Body::Lists(&["instance-action", "termination-time"]),
    ),
    absent(QUIET, "/latest/meta-data/spot").mock(200, "lists what is not there"),
    absent(QUIET, "/latest/meta-data/autoscaling/"),
    // Everything is announced.
    as_json(here(
        "/latest/meta-data/spot/instance-action",
        Body::Object(&[("action", "terminate"), ("time", "2017-09-18T08:22:00Z")]),
    )),
    here("/latest/meta-data/spot/termination-time", Body::Time),
    as_json(here(
        "/latest/meta-data/events/recommendations/rebalance",
        Body::Object(&[("noticeTime", "2020-10-27T08:22:00Z")]),
    )),
    as_json(here(
        "/latest/meta-data/events/maintenance/scheduled",
        Body::Array(&[
            ("NotBefore", "21 Jan 2019 09:00:43 GMT"),
            ("NotAfter", "21 Jan 2019 09:17:23 GMT"),
            ("NotBeforeDeadline", "21 Jan 2019 09:00:43 GMT"),
            ("Code", "system-reboot"),
            ("Description", "The instance is scheduled for system-reboot"),
            ("EventId", "instance-event-0d59937288b749b32"),
            ("State", "active"),
        ]),
    )),
    as_json(here(
        "/latest/meta-data/events/maintenance/history",
        Body::Exactly("[]"),
    ))
    .mock(404, "has no history"),
    here(
        "/latest/meta-data/autoscaling/target-lifecycle-state",
        Body::Exactly("Terminated"),
    ),
    // Nothing is.
    absent(QUIET, "/latest/meta-data/spot/instance-action"),
    absent(QUIET, "/latest/meta-data/spot/termination-time"),
    absent(QUIET, "/latest/meta-data/events/recommendations/rebalance")
        .mock(200, "recommends at once unless delayed"),
    get(
        QUIET,
        "/latest/meta-data/events/maintenance/scheduled",
        200,
        Body::Exactly("[]"),
    )
    .mock(404, "knows no maintenance in this mode"),
    get(
        QUIET,
        "/latest/meta-data/events/maintenance/history",
        200,
        Body::Exactly("[]"),
    )
    .mock(404, "has no history"),
    absent(
        QUIET,
        "/latest/meta-data/autoscaling/target-lifecycle-state",
    ),
];

impl Body {
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        let ok = match self {
            Self::Any => true,
            Self::Exactly(wanted) => text.trim() == wanted,
            Self::Holds(wanted) => text.contains(wanted),
            Self::Lists(wanted) => wanted.iter().all(|w| text.lines().any(|l| l == *w)),
            Self::Time => text.trim().parse::<jiff::Timestamp>().is_ok(),
            Self::Object(fields) => is_object(&json(text)?, fields),
            Self::Array(fields) => match json(text)?.as_array().map(Vec::as_slice) {
                Some([one]) => is_object(one, fields),
                _ => false,
            },
        };
        if ok {
            Ok(())
        } else {
            Err(format!("{text:?} is not {self:?}"))
        }
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{text:?}: {error}"))
}

/// Digits stand for digits, letters for letters; lengths of numbers and of words may differ.
fn shape(text: &str) -> String {
    let class = |c: char| match c {
        '0'..='9' => '0',
        c if c.is_ascii_alphabetic() => 'a',
        c => c,
    };
    let mut shape = text.chars().map(class).collect::<Vec<_>>();
    shape.dedup();
    shape.into_iter().collect()
}

fn is_object(value: &Value, fields: &[(&str, &str)]) -> bool {
    let Some(object) = value.as_object() else {
        return false;
    };
    object.len() == fields.len()
        && fields.iter().all(|(name, sample)| {
            let text = object.get(*name).and_then(Value::as_str);
            let times = name.contains("ime") || name.starts_with("Not");
            text.is_some_and(|text| match (times, *name) {
                (true, _) => shape(text) == shape(sample),
                (_, "EventId") => text.starts_with("instance-event-") && text.len() == sample.len(),
                _ => text == *sample,
            })
        })
}
