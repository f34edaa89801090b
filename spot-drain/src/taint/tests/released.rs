//! What a release takes back, what it leaves, and what it leaves written down.

use super::*;

#[test]
fn a_taint_of_ours_that_nothing_remembers_is_released() {
    let before = node(
        &json!({"unschedulable": true, "taints": [our_taint("x", "NoSchedule"), foreign_taint()]}),
    );
    let after = released(&before);
    assert_eq!(taints(&after), [foreign_taint()]);
    assert_eq!(
        after["spec"]["unschedulable"], true,
        "the cordon may be somebody else's"
    );
}

#[test]
fn what_is_released_needs_no_patch() {
    let after = quarantined(&node(&json!({})), &drains());
    assert_eq!(quarantine(&facts(&after), &drains(), &by_default()), None);
    let never = node(&json!({"taints": [foreign_taint()]}));
    assert_eq!(release(&facts(&never), None, &by_default()), None);
    let once = settled(&after, Some(&drains()));
    let again = release(&facts(&once), Some(&drains()), &by_default());
    assert_eq!(again, None);
}

#[test]
fn what_is_dealt_with_stays_remembered_and_nothing_else() {
    for spec in [json!({}), json!({"taints": [foreign_taint()]})] {
        let before = node(&spec);
        let after = settled(&quarantined(&before, &drains()), Some(&drains()));
        let memory = remembered(&after);
        assert_eq!(memory.phase, Phase::Settled);
        assert_eq!(memory.notice.id, drains().notice);
        assert_eq!(memory.boot.as_deref(), Some("b"));
        assert_eq!(memory.instance.as_deref(), Some("i-1"));
        assert!(!memory.cordoned && !memory.excluded);
        assert_eq!(after["spec"], before["spec"]);
        assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
        assert_eq!(after["metadata"]["annotations"]["foreign"], "kept");
    }
}

#[test]
fn a_node_that_nobody_quarantined_can_be_settled() {
    for missing in ["none", "annotations"] {
        let mut before = node(&json!({"unschedulable": true}));
        before["metadata"].as_object_mut().unwrap().remove(missing);
        let after = settled(&before, Some(&drains()));
        assert_eq!(remembered(&after).phase, Phase::Settled, "{missing}");
        assert_eq!(after["spec"], before["spec"], "{missing}");
    }
}

#[test]
fn a_notice_after_one_that_is_settled_is_quarantined_as_the_first() {
    let first = quarantined(&node(&json!({})), &drains());
    let between = settled(&first, Some(&drains()));
    let second = quarantined(&between, &drains());
    let memory = remembered(&second);
    assert!(memory.cordoned && memory.excluded);
    assert_eq!(memory.phase, Phase::Draining);
    assert_eq!(second["spec"], first["spec"]);
    assert_eq!(released(&second)["spec"], node(&json!({}))["spec"]);
}

#[test]
fn a_cordon_that_somebody_makes_after_one_is_settled_never_becomes_ours() {
    let first = quarantined(&node(&json!({})), &drains());
    let mut between = settled(&first, Some(&drains()));
    between["spec"]["unschedulable"] = true.into();
    let second = quarantined(&between, &drains());
    assert!(!remembered(&second).cordoned);
    assert_eq!(released(&second)["spec"]["unschedulable"], true);
    let settled = settled(&second, Some(&drains()));
    assert_eq!(settled["spec"]["unschedulable"], true);
}

#[test]
fn the_cordon_of_another_instance_or_boot_is_ours_to_take_back() {
    let before = quarantined(&node(&json!({})), &drains());
    let other = drains().on_instance("i-2");
    for (boot, wish) in [("b", &other), ("c", &drains())] {
        let mut now = before.clone();
        now["status"]["nodeInfo"]["bootID"] = boot.into();
        assert_eq!(released(&now)["spec"].get("unschedulable"), None);
        let later = quarantined(&now, wish);
        assert!(remembered(&later).cordoned, "{boot}");
        assert_eq!(released(&later)["spec"].get("unschedulable"), None);
    }
}

#[test]
fn a_taint_with_our_key_that_we_never_write_is_left() {
    let others = [
        our_taint("by-hand", "PreferNoSchedule"),
        our_taint("spot-interruption", "NoExecute"),
    ];
    let after = quarantined(&node(&json!({"taints": others})), &drains());
    assert_eq!(taints(&after).len(), 3);
    assert_eq!(taints(&released(&after)), others);
}

#[test]
fn a_taint_from_before_its_effect_was_changed_goes_while_a_quarantine_is_remembered() {
    let earlier = QuarantineSettings {
        taint: format!("{}:PreferNoSchedule", Taint::default().key)
            .parse()
            .unwrap(),
        ..by_default()
    };
    let before = node(&json!({}));
    let patch = quarantine(&facts(&before), &drains(), &earlier).unwrap();
    let mut after = apply(&before, &patch).unwrap();
    assert_eq!(taints(&released(&after)), [] as [Value; 0]);
    // A graver notice comes first: the taint's value is no longer the memory's kind.
    let graver = wish(NoticeKind::AsgTermination, Phase::Draining);
    after = quarantined(&after, &graver);
    assert_eq!(taints(&after).len(), 2);
    assert_eq!(taints(&released(&after)), [] as [Value; 0]);
}

#[test]
fn a_taint_with_the_other_effect_that_nothing_accounts_for_is_left() {
    let other = our_taint("spot-interruption", "PreferNoSchedule");
    let before = node(&json!({"taints": [other]}));
    assert_eq!(release(&facts(&before), None, &by_default()), None);
    let settled = settled(&before, Some(&drains()));
    assert_eq!(taints(&settled), taints(&before));
    assert_eq!(taints(&released(&settled)), taints(&before));
}

#[test]
fn a_memory_that_cannot_be_read_is_not_written_over_by_one_that_is_settled() {
    let mut before = node(&json!({"taints": [our_taint("x", "NoSchedule")]}));
    before["metadata"]["annotations"][MEMORY_ANNOTATION] = r#"{"v":2}"#.into();
    let patch = release(&facts(&before), Some(&drains()), &by_default());
    assert_eq!(patch, None);
}
