//! Hears a source without what it says again and again: the clock, and that it is still good.

use std::time::Duration;

use async_trait::async_trait;
use spot_core::notice::{Notice, NoticeEnd, Signal, SourceHealth};
use spot_core::source::NoticeSource;
use spot_imds::source::ImdsSource;
use tokio::time::{Instant, timeout_at};

pub(crate) struct Ear {
    source: ImdsSource,
    good: bool,
}

impl Ear {
    pub(crate) fn new(source: ImdsSource) -> Self {
        Self {
            source,
            good: false,
        }
    }
}

#[async_trait]
impl NoticeSource for Ear {
    async fn next(&mut self) -> Signal {
        loop {
            let signal = self.source.next().await;
            match &signal {
                Signal::Clock(_) => continue,
                Signal::Health(health) => {
                    let good = *health == SourceHealth::Good;
                    if std::mem::replace(&mut self.good, good) && good {
                        continue;
                    }
                }
                _ => {}
            }
            return signal;
        }
    }
}

/// What the source says within `time`.
pub(crate) async fn hear(source: &mut impl NoticeSource, time: Duration) -> Vec<Signal> {
    let end = Instant::now() + time;
    let mut heard = Vec::new();
    while let Ok(signal) = timeout_at(end, source.next()).await {
        heard.push(signal);
    }
    heard
}

pub(crate) async fn hear_nothing(source: &mut impl NoticeSource, time: Duration) {
    assert_eq!(hear(source, time).await, []);
}

pub(crate) fn names(signals: &[Signal]) -> Vec<&'static str> {
    signals
        .iter()
        .map(|signal| match signal {
            Signal::Identified(_) => "identified",
            Signal::Raised(_) => "raised",
            Signal::Ended { how, .. } => how.as_str(),
            Signal::Health(SourceHealth::Good) => "good",
            Signal::Health(SourceHealth::Failing { .. }) => "failing",
            Signal::Clock(_) => "clock",
            _ => "other",
        })
        .collect()
}

pub(crate) fn raised(signals: &[Signal]) -> Vec<Notice> {
    let notice = |s: &Signal| {
        if let Signal::Raised(n) = s {
            Some(n.clone())
        } else {
            None
        }
    };
    signals.iter().filter_map(notice).collect()
}

/// The notices that ended, and how.
pub(crate) fn ended(signals: &[Signal]) -> Vec<(String, NoticeEnd)> {
    let end = |signal: &Signal| match signal {
        Signal::Ended { notice, how } => Some((notice.to_string(), *how)),
        _ => None,
    };
    signals.iter().filter_map(end).collect()
}

pub(crate) fn reason(signals: &[Signal]) -> String {
    match signals {
        [Signal::Health(SourceHealth::Failing { reason, .. })] => reason.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn left(notice: &Notice) -> Duration {
    notice.deadline.unwrap().remaining(notice.detected)
}
