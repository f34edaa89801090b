//! Random nodes.

use proptest::prelude::*;

use super::*;

fn taint() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec!["a", "b", "spot-interrupt-handler/interruption"]);
    let effects = prop::sample::select(vec!["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    let values = prop::option::of(prop::sample::select(vec!["x", "spot-interruption"]));
    (keys, effects, values, any::<bool>()).prop_map(|(key, effect, value, added)| {
        let mut taint = json!({"key": key, "effect": effect});
        if let Some(value) = value {
            taint["value"] = value.into();
        }
        if added {
            taint["timeAdded"] = "2026-01-01T00:00:00Z".into();
        }
        taint
    })
}

/// A valid list of taints, or none at all.
fn some_taints() -> impl Strategy<Value = Value> {
    prop::option::of(prop::collection::vec(taint(), 0..5)).prop_map(|taints| {
        let Some(mut taints) = taints else {
            return Value::Null;
        };
        let mut seen: Vec<Value> = Vec::new();
        taints.retain(|taint| {
            let new = !seen.iter().any(|t| is_same_taint(t, taint));
            seen.push(taint.clone());
            new
        });
        Value::from(taints)
    })
}

fn some_map(ours: &'static str, values: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let foreign = prop::collection::btree_map("[a-z~/]{1,5}", "[a-z]{0,3}", 0..3);
    let own = prop::option::of(prop::sample::select(values));
    prop::option::of((foreign, own)).prop_map(move |map| {
        let Some((mut map, own)) = map else {
            return Value::Null;
        };
        map.extend(own.map(|value| (ours.to_owned(), value.to_owned())));
        json!(map)
    })
}

/// A node that somebody else has made what it is; nothing of it is ours.
fn any_node() -> impl Strategy<Value = Value> {
    let labels = some_map(EXCLUDE_LABEL, vec!["", "true"]);
    let annotations = some_map("other/annotation", vec!["x"]);
    (some_taints(), labels, annotations, any::<bool>()).prop_map(
        |(taints, labels, annotations, cordoned)| {
            let mut node = node(&json!({"taints": taints, "unschedulable": cordoned}));
            node["metadata"]["labels"] = labels;
            node["metadata"]["annotations"] = annotations;
            server::normalise(&mut node);
            node
        },
    )
}

fn any_wish() -> impl Strategy<Value = Quarantine> {
    let kinds = prop::sample::select(NoticeKind::ALL.to_vec());
    let phases = prop::sample::select(vec![Phase::Cordoned, Phase::Draining, Phase::Drained]);
    (kinds, phases).prop_map(|(kind, phase)| wish(kind, phase))
}

/// All that is not ours.
fn foreign(node: &Value) -> Value {
    let mut node = node.clone();
    let ours = |t: &Value| t["key"] == Taint::default().key && t["effect"] == "NoSchedule";
    let kept: Vec<Value> = taints(&node).into_iter().filter(|t| !ours(t)).collect();
    node["spec"]["taints"] = kept.into();
    for (map, key) in [
        ("labels", EXCLUDE_LABEL),
        ("annotations", MEMORY_ANNOTATION),
    ] {
        let own = |v: &Value| key == MEMORY_ANNOTATION || v == EXCLUDE_VALUE;
        if let Some(map) = node["metadata"][map].as_object_mut() {
            map.retain(|k, v| k != key || !own(v));
        }
    }
    node["spec"]["unschedulable"] = Value::Null;
    node["metadata"]["resourceVersion"] = Value::Null;
    server::normalise(&mut node);
    node
}

/// Whether a taint is one that a handler of ours writes under some settings.
fn may_be_ours(taint: &Value) -> bool {
    let kind = taint["value"] == "spot-interruption" && taint["effect"] != "NoExecute";
    taint["key"] == Taint::default().key && (taint["effect"] == "NoSchedule" || kind)
}

proptest! {
    #[test]
    fn what_is_foreign_is_unchanged_by_quarantine_and_release(
        node in any_node(), wishes in prop::collection::vec(any_wish(), 1..4),
    ) {
        let mut after = node.clone();
        for wish in &wishes {
            after = quarantined(&after, wish);
            prop_assert_eq!(foreign(&after), foreign(&node));
            prop_assert_eq!(&after["spec"]["unschedulable"], &json!(true));
            let last = quarantine(&facts(&after), wish, &by_default());
            prop_assert_eq!(last, None, "idempotent");
        }
        let ours = our_taint(wishes.last().unwrap().kind.as_str(), "NoSchedule");
        let mut count = 0;
        for taint in taints(&after).iter().filter(|t| is_same_taint(t, &ours)) {
            prop_assert_eq!(&taint["value"], &ours["value"]);
            count += 1;
        }
        prop_assert_eq!(count, 1);
    }

    #[test]
    fn quarantine_and_release_restore_a_node_that_nobody_else_wrote(
        node in any_node(), wishes in prop::collection::vec(any_wish(), 1..4),
    ) {
        // What looks like ours is ours, whoever wrote it.
        prop_assume!(!taints(&node).iter().any(may_be_ours));
        let after = wishes.iter().fold(node.clone(), |n, wish| quarantined(&n, wish));
        let mut restored = released(&after);
        restored["metadata"]["resourceVersion"] = node["metadata"]["resourceVersion"].clone();
        prop_assert_eq!(&restored, &node);
        prop_assert_eq!(release(&facts(&restored), None, &by_default()), None, "idempotent");
    }

    #[test]
    fn settling_is_releasing_but_for_the_memory(
        node in any_node(), wishes in prop::collection::vec(any_wish(), 0..4), last in any_wish(),
    ) {
        let after = wishes.iter().fold(node, |n, wish| quarantined(&n, wish));
        let kept = settled(&after, Some(&last));
        let memory = remembered(&kept);
        prop_assert_eq!(memory.phase, Phase::Settled);
        prop_assert!(!memory.cordoned && !memory.excluded);
        let again = release(&facts(&kept), Some(&last), &by_default());
        prop_assert_eq!(again, None, "idempotent");
        let without = |mut node: Value| {
            if let Some(notes) = node["metadata"]["annotations"].as_object_mut() {
                notes.remove(MEMORY_ANNOTATION);
            }
            node["metadata"]["resourceVersion"] = Value::Null;
            server::normalise(&mut node);
            node
        };
        prop_assert_eq!(without(kept), without(released(&after)));
    }

    #[test]
    fn a_second_patch_from_the_same_read_is_refused_or_changes_nothing(
        node in any_node(), one in any_wish(), other in any_wish(),
    ) {
        let patch = |wish| quarantine(&facts(&node), wish, &by_default()).unwrap();
        let after = apply(&node, &patch(&one)).unwrap();
        if let Ok(twice) = apply(&after, &patch(&other)) {
            prop_assert_eq!(twice, after);
        }
    }

    #[test]
    fn reading_a_node_never_panics(text in "\\PC{0,200}") {
        let mut facts = NodeFacts::default();
        let map = [(MEMORY_ANNOTATION.to_owned(), text)];
        facts.annotations = Some(map.into());
        let _ = (facts.remembered(), release(&facts, None, &by_default()));
        let _ = quarantine(&facts, &drains(), &by_default());
    }
}
