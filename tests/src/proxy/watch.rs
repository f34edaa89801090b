//! A watch on its way back, line by line, with what goes wrong on it.

use std::{collections::VecDeque, future::pending, io, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::json;
use spot_drain::sim::WatchFault;
use tokio::time::{Instant, sleep_until};

use super::forward::broken;

/// The watch's lines as its client gets to see them.
pub(super) fn lines(
    body: Body,
    fault: WatchFault,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let lines = Lines::new(body, fault);
    stream::unfold(Some(lines), |lines| async move {
        let mut lines = lines?;
        match lines.next().await {
            Next::Line(line) => Some((Part::Line(line), Some(lines))),
            Next::Closed => None,
            Next::Expired => Some((Part::Line(expired()), None)),
            Next::Broken => Some((Part::Broken, None)),
        }
    })
    .flat_map(|part| match part {
        Part::Line(line) => stream::iter([Ok(line)]).left_stream(),
        Part::Broken => broken().right_stream(),
    })
}

enum Part {
    Line(Bytes),
    Broken,
}

enum Next {
    Line(Bytes),
    Closed,
    Expired,
    Broken,
}

struct Lines {
    body: Body,
    fault: WatchFault,
    opened: Instant,
    /// What came of a line that is not whole yet.
    rest: BytesMut,
    /// Whole lines, and when each is handed on.
    waiting: VecDeque<(Instant, Bytes)>,
    /// The server's own end of it.
    ended: Option<Next>,
}

impl Lines {
    fn new(body: Body, fault: WatchFault) -> Self {
        Self {
            body,
            fault,
            opened: Instant::now(),
            rest: BytesMut::new(),
            waiting: VecDeque::new(),
            ended: None,
        }
    }

    async fn next(&mut self) -> Next {
        let at = |after: Option<Duration>| after.map(|after| self.opened + after);
        let (closed, reset) = (at(self.fault.closed_after), at(self.fault.reset_after));
        let (expired, silent) = (at(self.fault.expired_after), at(self.fault.silent_after));
        tokio::select! {
            biased;
            () = until(closed) => Next::Closed,
            () = until(reset) => Next::Broken,
            () = until(expired) => Next::Expired,
            () = until(silent) => tokio::select! {
                biased;
                () = until(closed) => Next::Closed,
                () = until(reset) => Next::Broken,
                () = until(expired) => Next::Expired,
            },
            next = self.told() => next,
        }
    }

    /// The next line when it is due, or the server's end of the watch.
    async fn told(&mut self) -> Next {
        loop {
            let due = self.waiting.front().map(|(due, _)| *due);
            if due.is_some_and(|due| due <= Instant::now())
                && let Some((_, line)) = self.waiting.pop_front()
            {
                return Next::Line(line);
            }
            if self.waiting.is_empty()
                && let Some(end) = self.ended.take()
            {
                return end;
            }
            tokio::select! {
                () = until(due) => {}
                frame = self.body.frame(), if self.ended.is_none() => match frame {
                    Some(Ok(frame)) => self.take(&frame.into_data().unwrap_or_default()),
                    Some(Err(_)) => self.ended = Some(Next::Broken),
                    None => self.ended = Some(Next::Closed),
                },
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let due = Instant::now() + self.fault.late;
        let times = if self.fault.twice { 2 } else { 1 };
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = self.rest.split_to(end + 1).freeze();
            for _ in 0..times {
                self.waiting.push_back((due, line.clone()));
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// What a server says when the version that a watch goes on from is forgotten.
fn expired() -> Bytes {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410,
    });
    format!("{}\n", json!({"type": "ERROR", "object": status})).into()
}
