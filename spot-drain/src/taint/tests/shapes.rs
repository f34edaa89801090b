//! Nodes of every shape, one after the other.

use super::*;

fn with_annotation(mut node: Value, text: &str) -> Value {
    node["metadata"]["annotations"][MEMORY_ANNOTATION] = text.into();
    node
}

#[test]
fn a_node_without_taints_is_cordoned_tainted_labelled_and_remembers() {
    for spec in [json!({}), json!({"taints": null}), json!({"taints": []})] {
        let after = quarantined(&node(&spec), &drains());
        assert_eq!(after["spec"]["unschedulable"], true);
        assert_eq!(
            taints(&after),
            [our_taint("spot-interruption", "NoSchedule")]
        );
        assert_eq!(after["metadata"]["labels"][EXCLUDE_LABEL], EXCLUDE_VALUE);
        let memory = remembered(&after);
        assert!(memory.cordoned && memory.excluded);
        assert_eq!(memory.boot.as_deref(), Some("b"));
        assert_eq!(memory.instance.as_deref(), Some("i-1"));
    }
}

#[test]
fn foreign_taints_stay_where_they_are_and_ours_follows() {
    let after = quarantined(&node(&json!({"taints": [foreign_taint()]})), &drains());
    let ours = our_taint("spot-interruption", "NoSchedule");
    assert_eq!(taints(&after), [foreign_taint(), ours]);
}

#[test]
fn our_taint_of_another_kind_takes_the_new_value() {
    let before = node(
        &json!({"taints": [our_taint("rebalance-recommendation", "NoSchedule"), foreign_taint()]}),
    );
    let after = quarantined(&before, &drains());
    let ours = our_taint("spot-interruption", "NoSchedule");
    assert_eq!(taints(&after), [ours, foreign_taint()]);
}

#[test]
fn a_taint_with_our_key_and_another_effect_is_another_taint() {
    let other = our_taint("x", "PreferNoSchedule");
    let after = quarantined(&node(&json!({"taints": [other.clone()]})), &drains());
    assert_eq!(
        taints(&after),
        [other, our_taint("spot-interruption", "NoSchedule")]
    );
}

#[test]
fn a_label_of_somebody_else_is_neither_changed_nor_taken_away() {
    for value in ["true", "", "somebody"] {
        let mut before = node(&json!({"taints": [foreign_taint()]}));
        before["metadata"]["labels"][EXCLUDE_LABEL] = value.into();
        let after = quarantined(&before, &drains());
        assert_eq!(after["metadata"]["labels"][EXCLUDE_LABEL], value);
        assert!(!remembered(&after).excluded);
        assert_eq!(released(&after)["metadata"]["labels"][EXCLUDE_LABEL], value);
    }
}

#[test]
fn a_label_with_our_value_that_we_did_not_set_is_not_taken_away() {
    let mut before = node(&json!({}));
    before["metadata"]["labels"][EXCLUDE_LABEL] = EXCLUDE_VALUE.into();
    let after = quarantined(&before, &drains());
    assert!(!remembered(&after).excluded);
    assert_eq!(
        released(&after)["metadata"]["labels"][EXCLUDE_LABEL],
        EXCLUDE_VALUE
    );
}

#[test]
fn load_balancers_are_left_alone_where_that_is_set() {
    let settings = QuarantineSettings {
        exclude_from_load_balancers: false,
        ..by_default()
    };
    let before = node(&json!({"taints": [foreign_taint()]}));
    let patch = quarantine(&facts(&before), &drains(), &settings).unwrap();
    let after = apply(&before, &patch).unwrap();
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert!(!remembered(&after).excluded);
}

#[test]
fn a_node_without_labels_or_annotations_gets_them() {
    for missing in ["labels", "annotations"] {
        for spec in [json!({}), json!({"taints": [foreign_taint()]})] {
            let mut before = node(&spec);
            before["metadata"].as_object_mut().unwrap().remove(missing);
            let after = quarantined(&before, &drains());
            assert!(remembered(&after).excluded, "without {missing}");
            let stays = taints(&after).contains(&foreign_taint());
            assert_eq!(stays, spec.get("taints").is_some(), "without {missing}");
            assert_eq!(released(&after)["metadata"].get(missing), None);
        }
    }
}

#[test]
fn a_cordon_of_somebody_else_is_never_taken_back() {
    let before = node(&json!({"unschedulable": true, "taints": [foreign_taint()]}));
    let after = quarantined(&before, &drains());
    assert!(!remembered(&after).cordoned);
    let later = quarantined(&after, &wish(NoticeKind::SpotInterruption, Phase::Drained));
    let released = released(&later);
    assert_eq!(released["spec"]["unschedulable"], true);
    assert_eq!(taints(&released), [foreign_taint()]);
}

#[test]
fn a_cordon_of_ours_stays_ours_through_every_phase() {
    let mut after = quarantined(&node(&json!({})), &drains());
    for phase in [Phase::Drained, Phase::Cordoned] {
        after = quarantined(&after, &wish(NoticeKind::ScheduledMaintenance, phase));
        let memory = remembered(&after);
        assert!(memory.cordoned && memory.excluded && memory.phase == phase);
    }
    assert_eq!(released(&after)["spec"].get("unschedulable"), None);
}

#[test]
fn a_memory_of_another_version_is_left_alone_with_all_that_it_may_stand_for() {
    let newer = quarantined(&node(&json!({})), &drains());
    let newer = newer["metadata"]["annotations"][MEMORY_ANNOTATION]
        .as_str()
        .unwrap();
    let newer = newer.replace(r#""v":1"#, r#""v":2"#);
    for text in [&newer, r#"{"v":2,"what":"ever"}"#, "not JSON", r#"{"v":1}"#] {
        let before = with_annotation(node(&json!({"taints": [foreign_taint()]})), text);
        let after = quarantined(&before, &drains());
        assert_eq!(after["metadata"]["annotations"][MEMORY_ANNOTATION], text);
        assert_eq!(
            after["spec"]["unschedulable"], true,
            "the node is quarantined all the same"
        );
        assert_eq!(quarantined(&after, &drains()), after, "idempotent");
        assert_eq!(release(&facts(&after), None, &by_default()), None);
    }
}

#[test]
fn somebody_who_cordons_between_read_and_patch_keeps_his_cordon() {
    for spec in [json!({}), json!({"taints": [foreign_taint()]})] {
        let before = node(&spec);
        let patch = quarantine(&facts(&before), &drains(), &by_default()).unwrap();
        let cordoned = server_write(&before, |n| n["spec"]["unschedulable"] = true.into());
        assert!(apply(&cordoned, &patch).is_err());
        let again = quarantined(&cordoned, &drains());
        assert_eq!(released(&again)["spec"]["unschedulable"], true);
    }
}

#[test]
fn somebody_who_labels_between_read_and_patch_keeps_his_label() {
    for spec in [json!({}), json!({"taints": [foreign_taint()]})] {
        let before = node(&spec);
        let patch = quarantine(&facts(&before), &drains(), &by_default()).unwrap();
        let set = |n: &mut Value| n["metadata"]["labels"][EXCLUDE_LABEL] = "true".into();
        let labelled = server_write(&before, set);
        assert!(apply(&labelled, &patch).is_err(), "{spec}");
    }
}

#[test]
fn a_memory_that_is_written_between_read_and_patch_is_not_written_over() {
    for spec in [
        json!({"unschedulable": true}),
        json!({"unschedulable": true, "taints": [foreign_taint()]}),
    ] {
        let before = node(&spec);
        let patch = quarantine(&facts(&before), &drains(), &by_default()).unwrap();
        let theirs = server_write(&before, |n| *n = with_annotation(n.clone(), r#"{"v":2}"#));
        assert!(apply(&theirs, &patch).is_err(), "{spec}");
    }
}

#[test]
fn a_heartbeat_between_read_and_patch_disturbs_no_append() {
    let before = node(&json!({"taints": [foreign_taint()]}));
    let patch = quarantine(&facts(&before), &drains(), &by_default()).unwrap();
    let other = json!({"key": "other", "effect": "NoExecute"});
    let beaten = server_write(&before, |n| {
        n["spec"]["taints"].as_array_mut().unwrap().push(other);
    });
    let after = apply(&beaten, &patch).unwrap();
    assert_eq!(taints(&after).len(), 3);
}

#[test]
fn of_two_handlers_that_read_the_same_the_second_is_refused_and_then_has_nothing_to_do() {
    let specs = [
        json!({}),
        json!({"taints": [foreign_taint()]}),
        json!({"unschedulable": true}),
        json!({"unschedulable": true, "taints": [foreign_taint()]}),
        json!({"taints": [our_taint("rebalance-recommendation", "NoSchedule")]}),
        json!({"unschedulable": true, "taints": [our_taint("spot-interruption", "NoSchedule")]}),
    ];
    for spec in specs {
        let before = node(&spec);
        let patch = || quarantine(&facts(&before), &drains(), &by_default()).unwrap();
        let after = apply(&before, &patch()).unwrap();
        let second = apply(&after, &patch());
        assert!(
            matches!(second, Err(Refused::Conflict | Refused::Invalid)),
            "{spec}"
        );
        assert_eq!(
            quarantine(&facts(&after), &drains(), &by_default()),
            None,
            "{spec}"
        );
    }
}

#[test]
fn a_node_that_was_made_anew_under_the_same_name_is_not_touched() {
    for spec in [json!({}), json!({"taints": [foreign_taint()]})] {
        let before = node(&spec);
        let patch = quarantine(&facts(&before), &drains(), &by_default()).unwrap();
        let anew = server_write(&before, |n| n["metadata"]["uid"] = "other".into());
        assert!(apply(&anew, &patch).is_err(), "{spec}");
    }
}

/// Another writer's change.
fn server_write(node: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut node = node.clone();
    change(&mut node);
    let version = node["metadata"]["resourceVersion"].as_str().unwrap();
    node["metadata"]["resourceVersion"] = format!("1{version}").into();
    node
}

#[test]
fn a_taint_is_read_from_its_text_and_back() {
    for text in ["a:NoSchedule", "example.com/a_b.c:PreferNoSchedule"] {
        assert_eq!(text.parse::<Taint>().unwrap().to_string(), text);
    }
    assert!(matches!(
        "a:NoExecute".parse::<Taint>(),
        Err(TaintError::NoExecute)
    ));
    let long = format!("{}:NoSchedule", "a".repeat(64));
    for text in [
        "",
        "a",
        "a:",
        ":NoSchedule",
        "a:Sometimes",
        "-a:NoSchedule",
        "A/b/c:NoSchedule",
        "A.com/b:NoSchedule",
        &long,
    ] {
        assert!(
            matches!(text.parse::<Taint>(), Err(TaintError::Form)),
            "{text}"
        );
    }
}

#[test]
fn the_instance_is_the_last_part_of_the_provider_id() {
    let of = |id: Option<&str>| NodeFacts {
        provider_id: id.map(Into::into),
        ..NodeFacts::default()
    };
    assert_eq!(of(Some("aws:///us-east-1a/i-1")).instance(), Some("i-1"));
    for none in [None, Some("aws:///us-east-1a/")] {
        assert_eq!(of(none).instance(), None);
    }
}

#[test]
fn what_was_seen_as_done_and_undone_since_makes_the_patch_fail() {
    let mut seen = quarantined(&node(&json!({"taints": [foreign_taint()]})), &drains());
    // Something is left to write, so that there is a patch.
    seen["metadata"]["annotations"] = json!({"other": "x"});
    let patch = |node: &Value| {
        let facts: NodeFacts = serde_json::from_value(node.clone()).unwrap();
        quarantine(&facts, &drains(), &QuarantineSettings::default()).unwrap()
    };
    assert!(server::apply(&seen, &patch(&seen)).is_ok());
    for (undo, value) in [
        ("/spec/unschedulable", Value::Null),
        ("/spec/taints", json!([foreign_taint()])),
        ("/metadata/labels", json!({})),
    ] {
        let mut now = seen.clone();
        *now.pointer_mut(undo).unwrap() = value;
        assert!(server::apply(&now, &patch(&seen)).is_err(), "{undo}");
    }
}
