//! A watch over the API, and what its errors mean.

use std::future::ready;

use futures_util::stream::{BoxStream, StreamExt as _};
use http::Request;
use kube::core::WatchEvent;
use serde::de::DeserializeOwned;

use super::{CallError, Cluster, unexpected};
use crate::pods::PodsError;
use crate::reply::{Raw, quote};

impl Cluster {
    /// Opens a watch of objects of a resource, by the request `get`, for which `verb` is the right.
    /// One that cannot be read is passed over: it is no reason to stop looking at the rest.
    pub(super) async fn events<T: DeserializeOwned + Clone + Send + 'static>(
        &self,
        verb: &'static str,
        resource: &'static str,
        get: Request<Vec<u8>>,
    ) -> Result<BoxStream<'static, Result<WatchEvent<T>, PodsError>>, PodsError> {
        let client = self.client();
        let open = client.request_events::<T>(get);
        let opened = self.patiently(open).await;
        let answer = match &opened {
            Ok(Ok(_)) => Ok(200),
            Ok(Err(kube::Error::Api(status))) => Ok(status.code),
            Ok(Err(_)) => Err("no-answer"),
            Err(error) => Err(error.kind()),
        };
        self.tell("WATCH", answer);
        let events = opened.map_err(unavailable)?.map_err(|error| {
            if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                self.renew();
            }
            watch_error(verb, resource, &error)
        })?;
        let events = events.filter_map(move |event| {
            ready(match event {
                Ok(event) => Some(Ok(event)),
                Err(error) if is_unreadable(&error) => {
                    tracing::warn!(%error, resource, "a change cannot be read");
                    None
                }
                Err(error) => Some(Err(watch_error(verb, resource, &error))),
            })
        });
        Ok(events.boxed())
    }
}

/// Whether a line of a watch is not what it should be. The client takes any object for a
/// `Status` that it cannot take for an event; one that says nothing is none.
fn is_unreadable(error: &kube::Error) -> bool {
    match error {
        kube::Error::SerdeError(_) => true,
        kube::Error::Api(status) => status.code == 0 && status.reason.is_empty(),
        _ => false,
    }
}

pub(super) fn watch_error(
    verb: &'static str,
    resource: &'static str,
    error: &kube::Error,
) -> PodsError {
    match error {
        kube::Error::Api(status) if status.code == 410 => PodsError::Expired,
        kube::Error::Api(status) if status.code == 403 => PodsError::Forbidden {
            verb,
            resource,
            words: quote(&status.message),
        },
        kube::Error::Api(status) => unavailable(CallError::Status {
            status: status.code,
            words: quote(&status.message),
        }),
        other => unavailable(CallError::transport(other)),
    }
}

pub(super) fn refusal(verb: &'static str, resource: &'static str, raw: &Raw) -> PodsError {
    match raw.status {
        403 => PodsError::Forbidden {
            verb,
            resource,
            words: quote(&String::from_utf8_lossy(&raw.body)),
        },
        410 => PodsError::Expired,
        _ => unavailable(unexpected(raw)),
    }
}

pub(super) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PodsError {
    PodsError::Unavailable(error.into())
}
