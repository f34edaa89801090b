//! Refusals in the way of RBAC, and the reviews that foretell them.

use serde_json::Value;

use super::failure::Failure;
use super::json::text;
use super::route::Place;

/// What is refused. By default nothing is.
#[derive(Clone, Debug)]
pub struct Access {
    /// The name in the words of a refusal.
    pub user: String,
    denied: Vec<(String, String)>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            user: "system:serviceaccount:kube-system:spot-interrupt-handler".to_owned(),
            denied: Vec::new(),
        }
    }
}

impl Access {
    /// Refuses a verb on a resource, such as `("create", "pods/eviction")`; `*` is any verb.
    pub fn deny(&mut self, verb: impl Into<String>, resource: impl Into<String>) {
        self.denied.push((verb.into(), resource.into()));
    }

    /// Refuses nothing any more.
    pub fn allow_all(&mut self) {
        self.denied.clear();
    }

    pub(crate) fn allows(&self, wish: &Wish) -> bool {
        !self
            .denied
            .iter()
            .any(|(verb, resource)| (verb == "*" || *verb == wish.verb) && *resource == wish.what)
    }

    pub(crate) fn check(&self, wish: &Wish) -> Result<(), Failure> {
        if self.allows(wish) {
            return Ok(());
        }
        let scope = if wish.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", wish.namespace)
        };
        let problem = format!(
            "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {scope}",
            self.user, wish.verb, wish.what, wish.group
        );
        Err(Failure::forbidden(wish.resource, &wish.name, &problem))
    }
}

/// What somebody wants to do.
pub(crate) struct Wish {
    verb: String,
    /// `pods` or `pods/eviction`.
    what: String,
    group: String,
    namespace: String,
    name: String,
    resource: &'static super::kind::Resource,
}

impl Wish {
    pub(crate) fn new(verb: &str, place: &Place) -> Self {
        let resource = place.kind.resource();
        let what = match &place.subresource {
            Some(sub) => format!("{}/{sub}", resource.plural),
            None => resource.plural.to_owned(),
        };
        Self {
            verb: verb.to_owned(),
            what,
            group: place.group.clone(),
            namespace: place.namespace.clone(),
            name: place.name().to_owned(),
            resource,
        }
    }

    /// What a review asks about.
    pub(crate) fn reviewed(spec: &Value) -> Self {
        let of = |at: &str| text(spec, at).to_owned();
        let plural = of("/resourceAttributes/resource");
        let sub = of("/resourceAttributes/subresource");
        Self {
            verb: of("/resourceAttributes/verb"),
            what: if sub.is_empty() {
                plural
            } else {
                format!("{plural}/{sub}")
            },
            group: of("/resourceAttributes/group"),
            namespace: of("/resourceAttributes/namespace"),
            name: of("/resourceAttributes/name"),
            resource: super::kind::Kind::Pod.resource(),
        }
    }
}
