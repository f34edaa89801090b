//! The eviction subresource of pods.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::api::{Answer, Api, Asked};
use super::budget;
use super::delete::Options;
use super::failure::{Failure, respond};
use super::json::{condition, is_ended, is_ready, is_terminating, number, set_condition, text};
use super::kind::Kind;
use super::write::{body, elsewhere};

/// How long the server retries a conflict over a pod that needs no budget, before it says so.
const RETRIES: Duration = Duration::from_secs(10);
/// The most evictions of one budget that may wait to be seen by its controller.
const MOST_DISRUPTED: usize = 2000;

impl Api {
    pub(crate) fn evict(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let place = &asked.place;
        let pods = Kind::Pod.resource();
        let eviction = body(asked.body, "Eviction", &["policy/v1", "policy/v1beta1"])?;
        let namespace = text(&eviction, "/metadata/namespace");
        if !namespace.is_empty() && namespace != place.namespace {
            return Err(elsewhere());
        }
        self.check_namespace(asked, place.name())?;
        if text(&eviction, "/metadata/name") != place.name() {
            let message = "name in URL does not match name in Eviction object";
            return Err(Failure::bad(message));
        }
        let (asks, says) = (
            asked.query.get("dryRun"),
            &eviction["deleteOptions"]["dryRun"],
        );
        if let Some(says) = says
            .as_array()
            .filter(|s| !s.is_empty() && !asks.is_empty())
            && says.iter().any(|s| s != asks)
        {
            let says: Vec<&str> = says.iter().filter_map(Value::as_str).collect();
            let problem = format!(
                "Non-matching dry-run options in request and content: [{asks}] and [{}]",
                says.join(" ")
            );
            return Err(Failure::new(500, "", problem));
        }
        let options = Options::read(&eviction["deleteOptions"], asked, "DeleteOptions")?;
        let key = place.key();
        let pod = self
            .store
            .get(Kind::Pod, &key)
            .cloned()
            .ok_or_else(|| Failure::not_found(pods, place.name()))?;

        // A pod that does no work, or is going, disrupts nothing.
        if is_ended(&pod) || is_terminating(&pod) || text(&pod, "/status/phase") == "Pending" {
            return self.go(&pod, &options, asked).map_err(|failure| {
                if failure.code == 409 && options.version.is_empty() {
                    failure.after(RETRIES)
                } else {
                    failure
                }
            });
        }
        let budgets: Vec<Arc<Value>> = self
            .store
            .within(Kind::PodDisruptionBudget, &place.namespace)
            .filter(|budget| budget::selects(budget, &pod))
            .cloned()
            .collect();
        match budgets.as_slice() {
            [] => {}
            [only] => {
                if is_ready(&pod) || !unready_may_go(only) {
                    check(only)?;
                    if !options.dry {
                        let mut taken = (**only).clone();
                        // Before the deletion is tried: one that fails has spent it.
                        budget::take(&mut taken, place.name(), asked.now.wall);
                        self.store.replace(Kind::PodDisruptionBudget, taken);
                    }
                }
            }
            _ => return Err(Failure::budgets()),
        }
        self.go(&pod, &options, asked)
    }

    /// Marks the pod as disrupted and deletes it.
    fn go(
        &mut self,
        pod: &Arc<Value>,
        options: &Options,
        asked: &Asked<'_>,
    ) -> Result<Answer, Failure> {
        options.check(Kind::Pod.resource(), pod)?;
        if !options.dry {
            let mut marked = (**pod).clone();
            let words = ("EvictionByEvictionAPI", "Eviction API: evicting");
            set_condition(
                &mut marked,
                "DisruptionTarget",
                "True",
                words,
                asked.now.wall,
            );
            let marked = self.store.replace(Kind::Pod, marked);
            self.end(Kind::Pod, &marked, options.grace, asked.now);
        }
        let done = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Success", "code": 201 });
        Ok(respond(201, &done).into())
    }
}

/// Whether a budget lets pods go that are not ready.
fn unready_may_go(budget: &Value) -> bool {
    if text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow" {
        return true;
    }
    let desired = number(budget, "/status/desiredHealthy").unwrap_or(0);
    number(budget, "/status/currentHealthy").unwrap_or(0) >= desired && desired > 0
}

/// Whether a budget lets one more pod go.
fn check(budget: &Value) -> Result<(), Failure> {
    let name = text(budget, "/metadata/name");
    let at = |at: &str| number(budget, at).unwrap_or(0);
    if at("/status/observedGeneration") < at("/metadata/generation") {
        let message =
            format!("The disruption budget {name} is still being processed by the server.");
        return Err(Failure::budget(&message, 10));
    }
    let allowed = at("/status/disruptionsAllowed");
    let forbidden = |problem: &str| {
        let message = format!("poddisruptionbudget.policy \"{name}\" is forbidden: {problem}");
        Failure::new(403, "Forbidden", message).named("policy", "poddisruptionbudget", name)
    };
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = budget["status"]["disruptedPods"].as_object();
    if disrupted.is_some_and(|pods| pods.len() > MOST_DISRUPTED) {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed > 0 {
        return Ok(());
    }
    let (healthy, desired) = (at("/status/currentHealthy"), at("/status/desiredHealthy"));
    let closed = condition(budget, "DisruptionAllowed")
        .filter(|c| text(c, "/status") == "False" && !text(c, "/message").is_empty());
    let words = |c: &Value| {
        (
            text(c, "/reason").to_owned(),
            text(c, "/message").to_owned(),
        )
    };
    let message = match closed.map(words) {
        Some((reason, words)) if reason == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it \
             failed sync: {words}"
        ),
        _ if healthy <= desired => format!(
            "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        ),
        Some((reason, words)) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({reason}): {words}"
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    Err(Failure::budget(&message, 0))
}
