//! Runs cases and compares.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::HeaderValue;
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    case::{Case, Group, Reading, Request, Step},
    facts::Facts,
    limits::LIMITS,
    report::{Outcome, Report},
    symbols::Symbols,
    target::{Target, User},
    transcript::{self, Answer},
};
use crate::{Error, Result, error::Context as _};

/// The longest that a case may take: the server itself tries some evictions for 10 s.
const CASE: Duration = Duration::from_secs(90);

/// Runs all cases of `groups` against `target`.
///
/// # Errors
/// When the facts cannot be read. What goes wrong in a case is in the report.
pub async fn run(target: &dyn Target, groups: &[Group]) -> Result<Report> {
    let mut report = Report::default();
    let mut facts = Vec::new();
    for group in groups {
        facts.push(Facts::parse(group)?);
    }
    // Those that disturb others come last, one by one.
    for alone in [false, true] {
        let width = if alone { 1 } else { target.width() };
        let cases = groups
            .iter()
            .zip(&facts)
            .flat_map(|(group, facts)| group.cases.iter().map(move |case| (group, facts, case)))
            .filter(|(_, _, case)| case.runs_alone() == alone);
        let mut outcomes = stream::iter(cases)
            .map(|(group, facts, case)| async move {
                let transcript = timeout(CASE, transcript_of(target, case))
                    .await
                    .unwrap_or_else(|_| Err(Error::Usage("the case takes too long".to_owned())));
                (group, outcome(facts, case, transcript))
            })
            .buffer_unordered(width);
        while let Some((group, outcome)) = outcomes.next().await {
            report.add(group.name, outcome);
        }
    }
    report.sort(groups);
    Ok(report)
}

fn outcome(facts: &Facts, case: &Case, transcript: Result<Vec<Value>>) -> Outcome {
    let limit = LIMITS
        .iter()
        .find(|(name, _)| *name == case.name)
        .map(|(_, reason)| *reason);
    let (transcript, differences) = match transcript {
        Ok(transcript) => {
            let differences = facts.differences(case.name, &transcript);
            (transcript, differences)
        }
        Err(error) => (Vec::new(), vec![format!("did not run: {error:?}")]),
    };
    Outcome {
        case: case.name,
        transcript,
        differences,
        limit,
    }
}

/// An open watch: its answer's body, and what was read beyond the last line.
struct Watch {
    request: Request,
    status: u16,
    headers: http::HeaderMap,
    body: Body,
    rest: Vec<u8>,
}

async fn transcript_of(target: &dyn Target, case: &Case) -> Result<Vec<Value>> {
    target.namespace(case.name).await?;
    let mut symbols = Symbols::new(case.name);
    for step in &case.setup {
        let Step::Request(request) = step else {
            continue;
        };
        let answer = ask(target, &symbols, request).await?;
        if !(200..300).contains(&answer.status) {
            return Err(Error::Usage(format!(
                "the setup's {} {} is answered {} {}",
                request.method,
                request.path,
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )));
        }
        transcript::write(&mut symbols, request, &answer);
    }
    let mut entries = Vec::new();
    let mut watch = None;
    for step in &case.steps {
        match step {
            Step::Request(request) => {
                let answer = ask(target, &symbols, request).await?;
                entries.push(transcript::write(&mut symbols, request, &answer));
            }
            Step::Open(request) => watch = Some(open(target, &symbols, request).await?),
            Step::Read(reading) => {
                let watch = watch
                    .as_mut()
                    .ok_or_else(|| Error::Usage("no watch is open".to_owned()))?;
                entries.push(read(&mut symbols, watch, *reading).await?);
            }
            Step::Forget => target.forget().await?,
        }
    }
    Ok(entries)
}

async fn send(
    client: &Client,
    symbols: &Symbols,
    request: &Request,
) -> Result<http::Response<Body>> {
    let what = || format!("{} {}", request.method, request.path);
    let body = match std::str::from_utf8(&request.body) {
        Ok(text) => symbols.fill(text).into_bytes(),
        Err(_) => request.body.clone(),
    };
    let mut built = http::Request::new(Body::from(body));
    *built.method_mut() = request.method.clone();
    *built.uri_mut() = symbols
        .fill(&request.path)
        .parse()
        .map_err(|error| Error::Usage(format!("{}: {error}", what())))?;
    let headers = built.headers_mut();
    headers.insert("accept", HeaderValue::from_static(request.accept));
    if let Some(media) = request.content_type {
        headers.insert("content-type", HeaderValue::from_static(media));
    }
    client.send(built).await.context(what())
}

async fn ask(target: &dyn Target, symbols: &Symbols, request: &Request) -> Result<Answer> {
    let client = target.client(request.user)?;
    let (parts, body) = send(&client, symbols, request).await?.into_parts();
    let body = body
        .collect()
        .await
        .context(format!("read {}", request.path))?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.to_bytes().to_vec(),
    })
}

async fn open(target: &dyn Target, symbols: &Symbols, request: &Request) -> Result<Watch> {
    let client = target.client(User::Admin)?;
    let (parts, body) = send(&client, symbols, request).await?.into_parts();
    Ok(Watch {
        request: request.clone(),
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        rest: Vec::new(),
    })
}

async fn read(symbols: &mut Symbols, watch: &mut Watch, reading: Reading) -> Result<Value> {
    let mut entry = transcript::head(&watch.request, watch.status, &watch.headers);
    let end = Instant::now() + reading.within;
    let mut events = Vec::new();
    while events.len() < reading.events {
        if let Some(length) = watch.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = watch.rest.drain(..=length).collect();
            let line = String::from_utf8_lossy(&line);
            let event = transcript::event(symbols, &line, &watch.request.see);
            // How many bookmarks come is a matter of the server's clock.
            if event["type"] != "BOOKMARK" || events.last() != Some(&event) {
                events.push(event);
            }
            continue;
        }
        match timeout_at(end, watch.body.frame()).await {
            Ok(Some(frame)) => {
                let frame = frame.context("read a watch")?;
                watch.rest.extend(frame.into_data().unwrap_or_default());
            }
            Ok(None) => {
                entry["ended"] = true.into();
                break;
            }
            Err(_) => {
                entry["silent"] = true.into();
                break;
            }
        }
    }
    entry["events"] = json!(events);
    if !watch.rest.is_empty() && (reading.to_end || watch.status != 200) {
        let text = String::from_utf8_lossy(&watch.rest);
        entry["rest"] = symbols.text(text.trim_end()).into();
    }
    Ok(entry)
}
