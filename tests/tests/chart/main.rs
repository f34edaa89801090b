//! The chart and the plain manifests, by Helm, kubeconform and a real API server.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod applied;
mod guides;
mod installed;
mod rendered;
mod values;
