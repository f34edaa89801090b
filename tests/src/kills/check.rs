//! What must hold after a kill, whenever it came.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use spot_core::node::Memory;

use crate::{
    audit::Request,
    cluster::Node,
    figures::between,
    marks::{MEMORY, TAINT},
};

/// A taint of the fixture's spot nodes, which is not ours.
const FOREIGN: &str = "spotInstance";
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// How soon a watch has told a process of what another one has done.
const TOLD: Duration = Duration::from_secs(1);

/// Evictions that were accepted although the same pod's eviction, by UID, had been accepted
/// before and the process that asked could know it: because the former was its own, because it
/// listed the pods after it, or because its watch had a second to speak of it.
///
/// Each user is taken for one process. Requests may come in any order.
pub fn evicted_again(requests: &[Request]) -> Vec<String> {
    let mut accepted: Vec<&Request> = requests.iter().filter(|r| r.has_evicted()).collect();
    accepted.sort_by_key(|request| request.answered);
    let mut wrong = Vec::new();
    for (index, later) in accepted.iter().enumerate() {
        let Some(uid) = &later.uid else {
            wrong.push(format!("{} was evicted without a UID", later.name));
            continue;
        };
        let former = accepted[..index]
            .iter()
            .find(|r| r.uid.as_ref() == Some(uid));
        if let Some(former) = former
            && let Some(how) = knew(requests, former, later)
        {
            wrong.push(format!(
                "{} ({uid}) was evicted by {} at {} and again by {} at {}, which knew: {how}",
                later.name, former.user, former.answered, later.user, later.received
            ));
        }
    }
    wrong
}

/// How the process that asked `later` could know of `former`.
fn knew(requests: &[Request], former: &Request, later: &Request) -> Option<&'static str> {
    if former.answered > later.received {
        return None; // both under way at the same time
    }
    let mut lists = requests
        .iter()
        .filter(|r| r.user == later.user && r.kind() == "list pods");
    if former.user == later.user {
        Some("it was its own")
    } else if lists.any(|l| l.received >= former.answered && l.answered <= later.received) {
        Some("it had listed the pods since")
    } else if between(former.answered, later.received) >= TOLD {
        Some("its watch had time to say so")
    } else {
        None
    }
}

/// Budgets that are spent on a pod although no eviction of it was cut off with the process that
/// made `requests`.
pub(super) fn spent_by_others(spent: &[String], requests: &[Request]) -> Vec<String> {
    let cut_off = |name: &&String| requests.iter().any(|r| r.name == **name && is_cut_off(r));
    spent
        .iter()
        .filter(|name| !cut_off(name))
        .map(|name| format!("a budget is spent on {name}, whose eviction was not cut off"))
        .collect()
}

/// Whether it was an eviction whose client did not wait for the answer.
pub(super) fn is_cut_off(request: &Request) -> bool {
    request.is_eviction() && !request.has_evicted() && request.code != 429
}

/// What is not as it must be with a node that is drained for a notice of this deadline.
pub fn quarantine(seen: &core::Node, node: &Node, deadline: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let spec = seen.spec.clone().unwrap_or_default();
    let taints = spec.taints.unwrap_or_default();
    let count = |key: &str| taints.iter().filter(|taint| taint.key == key).count();
    must(spec.unschedulable == Some(true), "not cordoned".into());
    must(
        count(TAINT) == 1,
        format!("not one of our taint: {taints:?}"),
    );
    must(
        count(FOREIGN) == 1,
        format!("not the foreign taint: {taints:?}"),
    );
    let labels = seen.metadata.labels.clone().unwrap_or_default();
    let own = labels.get(EXCLUDED).map(String::as_str);
    must(
        own == Some("spot-interrupt-handler"),
        format!("{EXCLUDED}: {own:?}"),
    );
    must(labels.contains_key("lifecycle"), format!("{labels:?}"));
    match memory(seen) {
        None => wrong.push("no memory that can be read".into()),
        Some(memory) => {
            let same = memory.instance.as_deref() == Some(node.instance_id.as_str())
                && memory.boot.as_deref() == Some(node.boot_id.as_str())
                && memory.deadline == Some(deadline)
                && memory.notice.kind.to_string() == "spot-interruption"
                && memory.cordoned
                && memory.excluded;
            must(same, format!("{memory:?} is not of {node:?}, {deadline}"));
        }
    }
    wrong
}

/// What a node remembers, of the version that is understood.
pub(super) fn memory(node: &core::Node) -> Option<Memory> {
    let text = node.metadata.annotations.as_ref()?.get(MEMORY)?;
    let memory: Memory = serde_json::from_str(text).ok()?;
    (memory.v == Memory::VERSION).then_some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_767_268_800_000 + milliseconds).unwrap()
    }

    fn request(user: &str, kind: [&str; 3], code: u16, from: i64, to: i64) -> Request {
        let [verb, resource, subresource] = kind.map(String::from);
        Request {
            user: user.into(),
            impersonated: None,
            bound_to: None,
            group: String::new(),
            verb,
            resource,
            subresource,
            namespace: "n".into(),
            name: "p".into(),
            uid: None,
            uri: String::new(),
            code,
            received: at(from),
            answered: at(to),
        }
    }

    fn evicted(user: &str, uid: &str, from: i64, to: i64) -> Request {
        Request {
            uid: Some(uid.into()),
            ..request(user, ["create", "pods", "eviction"], 201, from, to)
        }
    }

    fn listed(user: &str, from: i64) -> Request {
        request(user, ["list", "pods", ""], 200, from, from + 5)
    }

    #[test]
    fn another_pod_and_a_refused_eviction_are_no_second_time() {
        let mut refused = evicted("a", "u", 0, 10);
        refused.code = 429;
        let requests = [
            refused,
            evicted("a", "u", 20, 30),
            listed("b", 40),
            evicted("b", "v", 50, 60),
        ];
        assert_eq!(evicted_again(&requests), [""; 0]);
    }

    #[test]
    fn a_process_that_could_not_know_is_forgiven() {
        // Under way together; and accepted after the other's list, a moment before.
        let together = [evicted("a", "u", 0, 30), evicted("b", "u", 20, 40)];
        assert_eq!(evicted_again(&together), [""; 0]);
        let moment = [
            listed("b", 0),
            evicted("a", "u", 5, 30),
            evicted("b", "u", 50, 60),
        ];
        assert_eq!(evicted_again(&moment), [""; 0]);
    }

    #[test]
    fn a_process_that_could_know_is_not() {
        let listed_since = [
            evicted("a", "u", 0, 30),
            listed("b", 40),
            evicted("b", "u", 50, 60),
        ];
        assert_eq!(evicted_again(&listed_since).len(), 1);
        let own = [evicted("a", "u", 0, 30), evicted("a", "u", 50, 60)];
        assert_eq!(evicted_again(&own).len(), 1);
        let watched = [
            listed("b", 0),
            evicted("a", "u", 5, 30),
            evicted("b", "u", 1050, 1060),
        ];
        assert_eq!(evicted_again(&watched).len(), 1);
    }

    #[test]
    fn an_eviction_without_a_uid_is_wrong() {
        let blind = request("a", ["create", "pods", "eviction"], 201, 0, 1);
        assert_eq!(evicted_again(&[blind]).len(), 1);
    }
}
