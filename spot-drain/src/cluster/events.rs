//! Events as they go over the wire.

use http::Method;
use serde_json::Value;

use super::{CallError, Cluster, escape, request};
use crate::reply::Raw;

impl Cluster {
    /// Makes an event. `None`: no answer.
    pub(crate) async fn create_event(
        &self,
        namespace: &str,
        event: &Value,
        dry_run: bool,
    ) -> Option<Raw> {
        let path = format!("/api/v1/namespaces/{}/events", escape(namespace));
        let address = with_options(&path, dry_run);
        let body = event.to_string().into_bytes();
        let create = request(Method::POST, &address, "application/json", body);
        answered(self.call(create).await)
    }

    /// Changes an event. `None`: no answer.
    pub(crate) async fn patch_event(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
        dry_run: bool,
    ) -> Option<Raw> {
        let (namespace, name) = (escape(namespace), escape(name));
        let event = format!("/api/v1/namespaces/{namespace}/events/{name}");
        let address = with_options(&event, dry_run);
        let body = patch.to_string().into_bytes();
        let media = "application/merge-patch+json";
        answered(
            self.call(request(Method::PATCH, &address, media, body))
                .await,
        )
    }
}

fn with_options(path: &str, dry_run: bool) -> String {
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    format!("{path}?fieldManager=spot-interrupt-handler{dry_run}")
}

fn answered(answer: Result<Raw, CallError>) -> Option<Raw> {
    answer
        .inspect_err(|error| tracing::debug!(%error, "an event was not answered"))
        .ok()
}
