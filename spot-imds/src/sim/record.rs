//! The requests that were made.

use std::collections::VecDeque;
use std::time::Duration;

use http::Request;
use spot_core::sim::Fault;

use crate::client::TOKEN;

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// When, from the start.
    pub at: Duration,
    /// The method and the path, such as `GET /latest/meta-data/instance-id`.
    pub what: String,
    /// Whether it carried a session token, valid or not. The token itself is not kept.
    pub token: bool,
    /// The status that was sent; `None` where none was.
    pub status: Option<u16>,
    /// The faults that it met.
    pub faults: Vec<Fault>,
}

/// The last requests, so many at the most.
#[derive(Debug)]
pub(super) struct Record {
    asked: VecDeque<Asked>,
    most: usize,
    total: u64,
}

impl Record {
    pub(super) fn new(most: usize) -> Self {
        Self {
            asked: VecDeque::new(),
            most,
            total: 0,
        }
    }

    pub(super) fn add<B>(
        &mut self,
        request: &Request<B>,
        at: Duration,
        status: Option<u16>,
        faults: Vec<Fault>,
    ) {
        self.total += 1;
        if self.most == 0 {
            return;
        }
        if self.asked.len() >= self.most {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked {
            at,
            what: format!("{} {}", request.method(), request.uri().path()),
            token: request.headers().contains_key(TOKEN),
            status,
            faults,
        });
    }

    pub(super) fn asked(&self) -> impl ExactSizeIterator<Item = &Asked> {
        self.asked.iter()
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}
