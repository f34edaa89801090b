//! Bindings: how a scheduler gives a pod its node.

use serde_json::{Value, json};

use super::api::{Answer, Api, Asked};
use super::failure::{Failure, respond};
use super::json::{key, set, set_condition, text};
use super::kind::Kind;
use super::write::body;

impl Api {
    /// Binds a pod to the node that the body names, once.
    pub(crate) fn bind(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let place = &asked.place;
        let binding = body(asked.body, "Binding", &["v1"])?;
        let pod = self
            .store
            .get(Kind::Pod, &key(&place.namespace, place.name()));
        let Some(pod) = pod.cloned() else {
            return Err(Failure::not_found(Kind::Pod.resource(), place.name()));
        };
        let bound = text(&pod, "/spec/nodeName");
        if !bound.is_empty() {
            let name = place.name();
            let message = format!(
                "Operation cannot be fulfilled on pods/binding \"{name}\": pod {name} is already \
                 assigned to node \"{bound}\""
            );
            return Err(Failure::new(409, "Conflict", message).named("", "pods/binding", name));
        }
        let mut pod = Value::clone(&pod);
        let node = text(&binding, "/target/name");
        set(&mut pod, &["spec", "nodeName"], node);
        set_condition(&mut pod, "PodScheduled", "True", ("", ""), asked.now.wall);
        self.store.replace(Kind::Pod, pod);
        let done = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Success", "code": 201 });
        Ok(respond(201, &done).into())
    }
}
