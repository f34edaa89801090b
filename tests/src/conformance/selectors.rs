//! Field and label selectors of lists.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, case, get},
    fixtures::{make, phase, pod, running, unbound},
};

pub(super) fn group() -> Group {
    let names = [
        ("field-node", "fieldSelector=spec.nodeName%3D<ns>"),
        (
            "field-node-double-equals",
            "fieldSelector=spec.nodeName%3D%3D<ns>",
        ),
        ("field-not-the-node", "fieldSelector=spec.nodeName!%3D<ns>"),
        ("field-no-node", "fieldSelector=spec.nodeName%3D"),
        ("field-name", "fieldSelector=metadata.name%3Db"),
        ("field-namespace", "fieldSelector=metadata.namespace%3D<ns>"),
        ("field-phase", "fieldSelector=status.phase%3DRunning"),
        (
            "field-two",
            "fieldSelector=spec.nodeName%3D<ns>,status.phase!%3DSucceeded",
        ),
        (
            "field-restart-policy",
            "fieldSelector=spec.restartPolicy%3DAlways",
        ),
        ("field-unknown", "fieldSelector=spec.priority%3D0"),
        ("field-malformed", "fieldSelector=spec.nodeName"),
        ("field-empty", "fieldSelector="),
        ("label-equals", "labelSelector=app%3Dweb"),
        ("label-differs", "labelSelector=app!%3Dweb"),
        ("label-in", "labelSelector=app%20in%20(web,other)"),
        ("label-not-in", "labelSelector=app%20notin%20(web)"),
        ("label-exists", "labelSelector=tier"),
        ("label-is-missing", "labelSelector=!tier"),
        ("label-two", "labelSelector=app%3Dapi,tier%3Dback"),
        ("label-greater", "labelSelector=weight%3E3"),
        ("label-malformed", "labelSelector=app%3D%3D%3Dweb"),
        ("label-bad-key", "labelSelector=a%20b%3Dc"),
        ("label-bad-value", "labelSelector=app%3Da%2Fb"),
        (
            "label-and-field",
            "labelSelector=app%3Dweb&fieldSelector=status.phase%3DPending",
        ),
    ];
    Group {
        name: "selectors",
        facts: include_str!("facts/selectors.json"),
        cases: names.map(|(name, query)| selected(name, query)).into(),
    }
}

/// Pods: `a` runs, `b` is bound, `c` is not; `d` of app `api` has succeeded.
fn selected(name: &'static str, query: &str) -> Case {
    let labelled = |mut pod: Value, labels: Value| {
        pod["metadata"]["labels"] = labels;
        pod
    };
    let back = json!({"app": "api", "tier": "back", "weight": "5"});
    case(name)
        .given(running("a"))
        .given([
            make(&pod("b")),
            make(&unbound("c")),
            make(&labelled(pod("d"), back)),
            phase("d", "Succeeded", false),
        ])
        .when(get(&format!("pods?{query}")))
}
