//! What the installed objects let a handler do, and what they keep from who steals its token. On
//! the real control plane, with tokens as a kubelet asks for them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod deletes;
mod drains;
mod misuses;
mod proofs;
mod rules;
mod stolen;
