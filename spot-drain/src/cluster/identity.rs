//! As whom a node and its pods are asked about: as ourselves, or as the node.

use http::{HeaderValue, Request};

/// The header that names whom a request is made for (Kubernetes, "User impersonation").
const IMPERSONATE: &str = "impersonate-user";
/// How the right to do something as the node that the token is bound to is written
/// (KEP-5284, constrained impersonation).
const AS_NODE: &str = "impersonate-on:associated-node:";

/// As whom what concerns a node is asked, all but a change of the node itself.
#[derive(Clone, Debug, Default)]
pub(super) enum Identity {
    /// As ourselves.
    #[default]
    Ourselves,
    /// As the node that they are on.
    Node,
}

impl Identity {
    /// A request about `node` or its pods; about no node in particular only we ourselves can ask.
    pub(super) fn asks(
        &self,
        node: Option<&str>,
        mut request: Request<Vec<u8>>,
    ) -> Request<Vec<u8>> {
        if let (Self::Node, Some(node)) = (self, node)
            && let Ok(user) = HeaderValue::from_str(&format!("system:node:{node}"))
        {
            request.headers_mut().insert(IMPERSONATE, user);
        }
        request
    }

    /// What a right to do `verb` with pods of a node is called.
    pub(super) fn right(&self, node: Option<&str>, verb: &str) -> String {
        match (self, node) {
            (Self::Node, Some(_)) => format!("{AS_NODE}{verb}"),
            _ => verb.to_owned(),
        }
    }

    /// The same of what is only read, for an error that names it.
    pub(super) fn reading(&self, node: Option<&str>, verb: &'static str) -> &'static str {
        match (self, node, verb) {
            (Self::Node, Some(_), "get") => "impersonate-on:associated-node:get",
            (Self::Node, Some(_), "list") => "impersonate-on:associated-node:list",
            (Self::Node, Some(_), "watch") => "impersonate-on:associated-node:watch",
            _ => verb,
        }
    }

    /// What gives the right to do `verbs` with a node or its pods.
    pub(super) fn grant(&self, verbs: &[&str], resource: &str) -> String {
        let prefix = match self {
            Self::Ourselves => "",
            Self::Node => AS_NODE,
        };
        let verbs: Vec<_> = verbs.iter().map(|v| format!("`{prefix}{v}`")).collect();
        let grant = format!("grant {} on `{resource}`", verbs.join(" and "));
        match self {
            Self::Ourselves => format!("{grant} to the handler's account"),
            Self::Node => format!(
                "{grant}, and `impersonate:associated-node` on `nodes` of \
                 `authentication.k8s.io`, to the handler's account, and give it a token that is \
                 bound to a pod on this node; with Kubernetes before 1.36 leave out \
                 --impersonate-node"
            ),
        }
    }
}
