//! Bugs that could be made, to see that the simulation finds them.
//!
//! Each is one change of a source file, applied to a copy of the workspace:
//! `cargo run -p spot-tests --bin planted` builds each copy and counts the seeds until it is
//! found. A test keeps the places that are changed from going stale.

/// A bug that could be made.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// What is wrong.
    pub name: &'static str,
    /// In which file, from the workspace's root.
    pub file: &'static str,
    /// What is replaced; it is there once.
    pub find: &'static str,
    /// By what.
    pub put: &'static str,
    /// Within so many seeds it must be found.
    pub within: u64,
}

const fn bug(
    name: &'static str,
    file: &'static str,
    find: &'static str,
    put: &'static str,
    within: u64,
) -> Bug {
    Bug {
        name,
        file,
        find,
        put,
        within,
    }
}

/// All of them.
pub const BUGS: [Bug; 34] = [
    bug(
        "a grace of 0 is sent when no time is left",
        "spot-drain/src/window.rs",
        "Some(u32::try_from(room.max(1)).unwrap_or(u32::MAX))",
        "Some(u32::try_from(room).unwrap_or(u32::MAX))",
        200,
    ),
    bug(
        "no UID is sent",
        "spot-drain/src/cluster/pods.rs",
        r#""preconditions": { "uid": call.pod },"#,
        "",
        20,
    ),
    bug(
        "pods are deleted in Respect mode",
        "spot-drain/src/plan/turn.rs",
        "            _ => None,\n        }\n    }\n}",
        "            _ => self.window.end().checked_sub(SOONEST * 2),\n        }\n    }\n}",
        500,
    ),
    bug(
        "a repeat moves the deadline back",
        "spot-core/src/lifecycle/standing.rs",
        "                    nearer(known.notice.deadline, notice.deadline)\n",
        "                    notice.deadline\n",
        5_000,
    ),
    bug(
        "the list of taints is overwritten",
        "spot-drain/src/taint.rs",
        "spec[\"taints\"] = others.chain([&taint]).cloned().collect();",
        "spec[\"taints\"] = others.take(0).chain([&taint]).cloned().collect();",
        500,
    ),
    bug(
        "a call counts as under way until its pod is gone",
        "spot-drain/src/plan/shared.rs",
        "let call = self.calls.remove(pod);",
        "let call = self.calls.get(pod).map(|call| UnderWay { lane: call.lane.clone(), ..*call });",
        1_000,
    ),
    bug(
        "another instance's memory is believed",
        "spot-core/src/lifecycle.rs",
        "self.is_of_this_instance(memory) && memory.boot == *boot",
        "boot.is_some()",
        1_000,
    ),
    bug(
        "mirror pods are evicted",
        "spot-drain/src/classify.rs",
        "if pod.mirror {",
        "if pod.mirror && pod.phase == Phase::Completed {",
        100,
    ),
    bug(
        "a pod whose eviction was accepted counts as gone",
        "spot-drain/src/plan/entry.rs",
        "        self.hold = None;\n        self.state = if dry_run {",
        "        self.hold = None;\n        self.gone.get_or_insert(now);\n        self.state = if dry_run {",
        200,
    ),
    bug(
        "a drain goes on past its end",
        "spot-drain/src/window.rs",
        "let end = deadline\n            .checked_sub(margin)",
        "let end = deadline\n            .checked_add(margin * 4)",
        500,
    ),
    bug(
        "what others cordoned is uncordoned",
        "spot-drain/src/taint/release.rs",
        "if before.as_ref().is_some_and(|m| m.cordoned) && node.unschedulable {",
        "if node.unschedulable {",
        5_000,
    ),
    bug(
        "node and instance are not compared",
        "spot-drain/src/cluster/node.rs",
        "(Some(found), Some(ours)) if found != ours => Err",
        "(Some(found), Some(ours)) if found.len() > 99 && found != ours => Err",
        500,
    ),
    bug(
        "a closed budget is not asked again",
        "spot-drain/src/plan/answer.rs",
        "Reply::BudgetClosed(refusal) => Some(entry.closed(refusal, left, (since, now), shared)),",
        "Reply::BudgetClosed(refusal) => {\n pause = left;\n Some(entry.closed(refusal, left, (since, now), shared))\n }",
        1_000,
    ),
    bug(
        "the rate is not kept",
        "spot-drain/src/plan/pace.rs",
        "let rate = self.full.and_then(|full| full.checked_sub(spare));",
        "let rate = self.full.and_then(|full| full.checked_sub(spare * 100));",
        500,
    ),
    bug(
        "a dry run patches the node",
        "spot-drain/src/cluster/node.rs",
        r#"let dry_run = if dry_run { "&dryRun=All" } else { "" };"#,
        r#"let dry_run = if dry_run { "" } else { "" };"#,
        500,
    ),
    bug(
        "a pod's wish to stay is ignored",
        "spot-drain/src/classify.rs",
        r#"if pod.wish.as_deref() == Some("skip") {"#,
        r#"if pod.wish.as_deref() == Some("stay") {"#,
        200,
    ),
    bug(
        "what was drained is drained again after a restart",
        "spot-core/src/lifecycle/lead.rs",
        "if memory.phase == Phase::Drained {",
        "if memory.phase == Phase::Settled {",
        1_000,
    ),
    bug(
        "pods of a DaemonSet that could not be looked up are evicted",
        "spot-drain/src/plan/daemon_sets.rs",
        "            let why = why.clone();\n            self.known = known;\n",
        "            let why = why.clone();\n            self.known = DaemonSets::Exist(Default::default());\n\
                     self.answered = self.asked;\n",
        5_000,
    ),
    bug(
        "our own pod is evicted",
        "spot-drain/src/classify.rs",
        "if ourselves.is_some_and(|(ns, name)| *ns == pod.namespace && *name == pod.name) {",
        "if ourselves.is_some_and(|(ns, name)| *ns == pod.name && *name == pod.namespace) {",
        500,
    ),
    bug(
        "an empty answer is a list of nothing",
        "spot-drain/src/cluster/pods.rs",
        "    metadata: PageMeta,\n    // An empty list of metadata comes as `null`.\n    items: Option<Vec<T>>,\n}\n",
        "    #[serde(default = \"nothing\")]\n    metadata: PageMeta,\n    items: Option<Vec<T>>,\n}\n\
        fn nothing() -> PageMeta {\n    PageMeta { resource_version: String::new(), r#continue: String::new() }\n}\n",
        5_000,
    ),
    bug(
        "any 404 means that the node does not exist",
        "spot-drain/src/cluster/node.rs",
        "404 if Status::of(raw).is_not_found() =>",
        "404 =>",
        5_000,
    ),
    bug(
        "an eviction that got lost is not tried again",
        "spot-drain/src/plan/answer.rs",
        "if entry.tries > QUICK {",
        "if entry.tries > 0 {\n pause = left;\n }\n if entry.tries > QUICK {",
        20_000,
    ),
    bug(
        "a grace is cut though it would fit",
        "spot-drain/src/window.rs",
        "if own.as_secs() <= room.max(1) {",
        "if own.as_secs() <= room.max(1) / 2 {",
        500,
    ),
    bug(
        "pods that keep coming back are evicted as they come",
        "spot-drain/src/plan/returns.rs",
        "Some(again) => PAUSE.0.saturating_mul(1 << again.min(8)).min(PAUSE.1),",
        "Some(again) => PAUSE.0.saturating_mul(again.min(0)),",
        20_000,
    ),
    bug(
        "a question about rights that got no answer is asked at once again",
        "spot-drain/src/plan/rights.rs",
        "right.not_before = Some(now + DOUBT);",
        "right.not_before = Some(now);",
        10_000,
    ),
    bug(
        "a failed quarantine is not tried again",
        "spot-core/src/handler/node_writer.rs",
        "() = sleep(pause) => {}",
        "() = sleep(pause * 1_000) => {}",
        5_000,
    ),
    bug(
        "two of a Deployment that recreates run at once",
        "spot-drain/src/replacement.rs",
        "if !self.rolls {",
        "if !self.rolls && self.surge > 99 {",
        500,
    ),
    bug(
        "a detached pod goes before its replacement is ready",
        "spot-drain/src/plan/making.rs",
        "            None => false,\n            Some(Released::Before) => asked",
        "            None => true,\n            Some(Released::Before) => asked",
        500,
    ),
    bug(
        "a detached pod waits until its grace is cut",
        "spot-drain/src/plan/making.rs",
        "(entry.facts.ready && !gone && !stays).then_some(latest);",
        "(entry.facts.ready && !gone && !stays).then_some(latest + entry.facts.grace / 2);",
        2_000,
    ),
    bug(
        "no replacement is made first",
        "spot-drain/src/plan/making.rs",
        "if !considered || making.obstacle.is_some()",
        "if considered || making.obstacle.is_some()",
        1_000,
    ),
    bug(
        "a rollout is seen where there is none",
        "spot-drain/src/replacement.rs",
        "} else if !self.rolled_out {",
        "} else if !self.rolled_out || self.surge < 99 {",
        500,
    ),
    bug(
        "what others annotated on a pod is overwritten",
        "spot-drain/src/cluster/replacement.rs",
        "    if !detach.annotated {\n        // Nobody has annotated it meanwhile: theirs would be gone.\n        steps.push(json!({ \"op\": \"test\", \"path\": annotations, \"value\": null }));",
        "    {",
        2_000,
    ),
    bug(
        "pods that a DaemonSet left behind are spared",
        "spot-drain/src/classify.rs",
        "DaemonSets::Exist(uids) if !uids.contains(&owner.uid) => {}",
        "DaemonSets::Exist(uids) if !uids.contains(&owner.uid) && pod.mirror => {}",
        500,
    ),
    bug(
        "what was detached is left behind",
        "spot-drain/src/plan/turn.rs",
        "self.put_back(now, shared, effects);",
        "",
        500,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_there_once() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for bug in BUGS {
            let text = std::fs::read_to_string(root.join(bug.file)).unwrap();
            let places = text.matches(bug.find).count();
            assert_eq!(
                places, 1,
                "{}: {} has its place {places} times",
                bug.name, bug.file
            );
            assert_ne!(bug.find, bug.put, "{}", bug.name);
        }
    }
}
