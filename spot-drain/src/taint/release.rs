//! The patch that takes back what is ours. Pure.

use serde_json::{Value, json};
use spot_core::node::{Memory, Phase, Quarantine};
use spot_core::notice::NoticeKind;

use super::{
    EXCLUDE_LABEL, EXCLUDE_VALUE, Effect, MEMORY_ANNOTATION, NodeFacts, NodePatch,
    QuarantineSettings, Remembered,
};

/// The patch that takes back what is ours from `node`, and leaves `settled` remembered where it
/// is given; `None` where the node is so already.
///
/// The cordon goes only where the memory says that it is ours, the label only where it also has
/// our value. A memory that cannot be read is left, with all that it may stand for.
///
/// A taint is ours that has our key and effect: we would write over its value. One with our key
/// and the other effect may be from before [`QuarantineSettings::taint`] was changed. It is
/// taken back only while a quarantine is remembered, and only where its value is a kind of
/// notice. Any other taint was not written by us, and `NoExecute` never is.
pub fn release(
    node: &NodeFacts,
    settled: Option<&Quarantine>,
    settings: &QuarantineSettings,
) -> Option<NodePatch> {
    let before = match node.remembered() {
        Remembered::Unreadable => return None,
        Remembered::Memory(memory) => Some(memory),
        Remembered::Nothing => None,
    };
    let after = settled.map(|settled| {
        let mut memory = Memory::of(settled, node.boot_id.clone(), false, false);
        memory.phase = Phase::Settled;
        memory
    });
    let quarantined = before.as_ref().is_some_and(|m| m.phase != Phase::Settled);
    let taints = node.taints.as_deref().unwrap_or_default();
    let others: Vec<&Value> = taints
        .iter()
        .filter(|taint| !is_ours(taint, quarantined, settings))
        .collect();

    let mut metadata = json!({ "uid": node.uid, "resourceVersion": node.resource_version });
    let mut spec = json!({});
    if others.len() != taints.len() {
        // An empty list is not kept.
        spec["taints"] = match others.as_slice() {
            [] => Value::Null,
            others => json!(others),
        };
    }
    if before.as_ref().is_some_and(|m| m.cordoned) && node.unschedulable {
        spec["unschedulable"] = Value::Null;
    }
    if before.as_ref().is_some_and(|m| m.excluded) && node.label() == Some(EXCLUDE_VALUE) {
        metadata["labels"] = json!({ EXCLUDE_LABEL: null });
    }
    let remembers = before != after;
    if remembers {
        let text = match &after {
            Some(memory) => Some(serde_json::to_string(memory).ok()?),
            None => None,
        };
        metadata["annotations"] = json!({ MEMORY_ANNOTATION: text });
    }
    // Cordon and label only change together with the memory of them.
    let changes = remembers || spec.get("taints").is_some();
    changes.then(|| NodePatch::Merge(json!({ "metadata": metadata, "spec": spec })))
}

/// Whether a taint was written by us; `quarantined`: we remember that we wrote one.
fn is_ours(taint: &Value, quarantined: bool, settings: &QuarantineSettings) -> bool {
    let ours = &settings.taint;
    let kind = || taint["value"].as_str()?.parse::<NoticeKind>().ok();
    let effects = [Effect::NoSchedule, Effect::PreferNoSchedule];
    taint["key"] == ours.key
        && (taint["effect"] == ours.effect.as_str()
            || (quarantined
                && effects.iter().any(|e| taint["effect"] == e.as_str())
                && kind().is_some()))
}
