//! The list of all scenarios.

use super::{
    Number, Scenario,
    Stages::{self, Both, RealOnly, SimulatorOnly},
    budgets, denied, ends, inputs, outages, pods, quarantine, replaced, restarts, rights, times,
    troubles, watches,
};

macro_rules! scenario {
    ($number:expr, $stages:expr, $module:ident::$name:ident, $what:literal) => {
        Scenario {
            number: $number,
            name: stringify!($name),
            what: $what,
            stages: $stages,
            play: |stage| Box::pin($module::$name(stage)),
        }
    };
    ($number:literal, $module:ident::$name:ident, $what:literal) => {
        scenario!(Number::Listed($number), Both, $module::$name, $what)
    };
}

const NO_TOKENS: Stages = RealOnly {
    why: "the simulator knows no tokens",
};
const NO_WEBHOOKS: Stages = RealOnly {
    why: "the simulator has no webhooks: the next row",
};
const NO_PROCESS: Stages = RealOnly {
    why: "a process needs a real clock: the row above",
};
const NO_SOCKET: Stages = RealOnly {
    why: "no connection is refused without a socket",
};
const A_REAL_WEBHOOK: Stages = SimulatorOnly {
    why: "a real webhook answers there: the row above",
};

/// All scenarios, in the order of their numbers.
#[rustfmt::skip]
pub static SCENARIOS: &[Scenario] = &[
    scenario!(1, pods::fifty_take_fifty_requests_and_eight,
        "50 plain pods: one LIST, one WATCH, 50 evictions, at most eight requests besides"),
    scenario!(2, pods::mirror_daemon_set_and_own_pod_stay,
        "Mirror pods, DaemonSets' pods and the handler's own pod are untouched"),
    scenario!(3, pods::the_pod_of_a_daemon_set_that_is_gone_is_evicted,
        "An orphan of a DaemonSet is evicted, with a warning"),
    scenario!(4, pods::daemon_sets_that_cannot_be_looked_up_keep_their_pods,
        "DaemonSets cannot be looked up (403, 500): their pods are skipped and reported"),
    scenario!(5, pods::unmanaged_pods_and_their_empty_dirs_go_with_a_warning,
        "An unmanaged pod with an `emptyDir` is evicted, with a warning for each"),
    scenario!(6, pods::ended_pods_are_not_waited_for,
        "Succeeded and Failed pods hold nothing up"),
    scenario!(7, pods::a_pod_that_is_going_is_waited_for_and_not_evicted,
        "A pod that is terminating already is waited for and not evicted"),
    scenario!(8, times::a_grace_that_is_too_long_is_cut_to_110_s,
        "Grace 600 s in a window of 120 s: 110 s on the wire"),
    scenario!(9, times::a_grace_that_fits_is_not_sent,
        "Grace 5 s: none on the wire"),
    scenario!(10, times::a_grace_of_none_is_never_sent,
        "Grace 0 in the spec: none on the wire"),
    scenario!(11, budgets::a_closed_budget_is_named_and_nothing_deleted,
        "A budget blocks to the end: named in the report, no DELETE, the rest goes"),
    scenario!(12, budgets::delete_at_deletes_when_it_was_said_to,
        "The same with `DeleteAt`: DELETE at the computed time, never early"),
    scenario!(13, budgets::an_opened_budget_is_used_within_a_second,
        "A budget opens late: used within 1 s where budgets may be watched"),
    scenario!(13, budgets::without_a_watch_an_opened_budget_is_used_within_five_seconds,
        "The same without the right to watch budgets: within 5 s and the pause's jitter"),
    scenario!(14, budgets::two_budgets_over_a_pod_are_told_and_the_others_go,
        "Two budgets over a pod: misconfigured, and the others finish"),
    scenario!(15, budgets::stale_numbers_are_not_waited_for_as_long_as_asked,
        "A budget's status is stale and 10 s are asked for: the wait is capped"),
    scenario!(16, budgets::unready_pods_go_where_their_budget_lets_them,
        "Unready pods: held by `IfHealthyBudget`, gone with `AlwaysAllow`"),
    scenario!(17, replaced::a_pod_made_again_elsewhere_is_untouched,
        "A StatefulSet's pod is made again elsewhere while it is retried: the new one is untouched"),
    scenario!(18, replaced::a_pod_made_again_and_pending_is_untouched,
        "The same, and the new one finds no node"),
    scenario!(19, replaced::an_eviction_of_the_former_pod_spares_the_new_one,
        "The eviction of a pod that was replaced unseen: the UID protects the new one"),
    scenario!(20, replaced::pods_of_a_namespace_that_is_going_go_by_themselves,
        "A namespace goes while its pods are evicted: waited for, no missing right suspected"),
    scenario!(21, rights::without_the_right_to_evict_it_says_so_soon,
        "RBAC without `pods/eviction`: forbidden fast, the quarantine stays"),
    scenario!(22, rights::without_the_right_to_cordon_it_drains,
        "RBAC without `nodes` patch: said, and the drain proceeds"),
    scenario!(23, replaced::a_pod_that_is_bound_after_the_list_is_evicted,
        "A pod is bound after the LIST: evicted, by the watch"),
    scenario!(24, quarantine::twenty_writers_and_we_all_have_our_taints,
        "20 others write taints while the node is quarantined: all 21 are there, ours once"),
    scenario!(25, quarantine::a_node_without_taints_gets_ours_and_loses_it,
        "A node without taints gets ours, and loses it on release"),
    scenario!(26, restarts::a_handler_killed_after_any_request_is_carried_on,
        "A handler is killed after its 0th, 1st, … 11th request: the next converges, one taint, no pod evicted twice"),
    scenario!(Number::Listed(26), NO_PROCESS, restarts::the_shipping_binary_killed_twice_converges,
        "The shipping binary, killed with SIGKILL after the cordon and on its return"),
    scenario!(27, ends::what_is_still_going_at_the_end_is_told,
        "A finalizer, and a dead kubelet: terminating at the deadline, with what holds it"),
    scenario!(28, outages::what_an_outage_held_up_goes_when_it_is_over,
        "The API server resets everything from T+5 to T+25: what waited goes within 2 s of its return"),
    scenario!(29, ends::a_black_hole_under_way_does_not_hold_it,
        "A black hole from T+4 to the end: it returns by its end, and does not hammer"),
    scenario!(30, troubles::an_overload_is_not_taken_for_a_budget,
        "A storm of plain-text 429s: not called a budget, `Retry-After` heard, then drained"),
    scenario!(31, watches::an_expired_watch_is_made_up_for_by_a_list,
        "The watch expires (410) having missed deletions: one more LIST shows them"),
    scenario!(32, watches::a_watch_that_never_speaks_is_noticed,
        "The watch stalls silently from its beginning: noticed within 15 s"),
    scenario!(32, watches::a_watch_that_stops_speaking_is_noticed,
        "The same after it told that the pods are going, with graces of 30 s"),
    scenario!(33, troubles::a_reset_after_the_eviction_evicts_once,
        "The connection is reset after the eviction took effect: one eviction in effect"),
    scenario!(34, troubles::a_slow_server_that_fails_often_is_drained,
        "4 s of latency and 20 % 503: drained within 60 s, requests bounded"),
    scenario!(34, troubles::at_five_seconds_of_latency_it_still_progresses,
        "5.1 s of latency and 20 % 503: drained within 60 s, requests bounded"),
    scenario!(Number::Listed(35), NO_TOKENS, rights::a_rotated_token_is_read_again,
        "The token is rotated and the old one revoked: it is read again"),
    scenario!(36, quarantine::a_wall_clock_that_jumps_moves_no_deadline,
        "The wall clock jumps by ±60 s during a drain: the deadline stays"),
    scenario!(37, times::in_a_short_window_all_go_in_one_wave,
        "A window of 30 s, mixed graces, critical pods: one wave, all evictions within 2 s"),
    scenario!(38, budgets::a_budget_of_one_lets_110_pods_go_one_by_one,
        "110 pods under one budget of one: serial progress, one prober"),
    scenario!(Number::Listed(39), NO_WEBHOOKS, denied::the_words_of_a_webhook_are_in_the_report,
        "A validating webhook denies evictions, with 400 and with 403: its words are in the report"),
    scenario!(Number::Listed(39), A_REAL_WEBHOOK, denied::the_words_of_a_refusal_are_in_the_report,
        "The same from answers as a webhook's are"),
    scenario!(40, quarantine::a_dry_run_changes_no_resource_version,
        "A dry run of quarantine and drain: no `resourceVersion` changes"),

    scenario!(Number::Outage, Both, ends::a_black_hole_from_the_start_does_not_hold_it,
        "A black hole from the start: it returns by its end and says that it saw nothing"),
    scenario!(Number::Outage, Both, outages::a_black_hole_that_ends_is_found_to_have_ended,
        "A black hole from T+3 to T+13, a pod bound and a budget gone in it: all is found within 40 s of its end"),
    scenario!(Number::Outage, NO_SOCKET, outages::refused_connections_from_4_to_24_s,
        "Connections are refused from T+4 to T+24: every pod is evicted before or within 2 s of the return"),
    scenario!(Number::Outage, Both, outages::a_server_that_knows_nobody_for_a_while,
        "401 to everything for 6 s: drained then"),
    scenario!(Number::Outage, Both, watches::watches_that_cannot_be_had,
        "No watch can be opened (500): lists tell what has gone"),
    scenario!(Number::Outage, Both, watches::watches_that_always_break,
        "Every watch is reset after 300 ms"),
    scenario!(Number::Outage, Both, watches::events_that_come_twice_and_late,
        "Every event comes twice and a second late: no pod is evicted twice"),
    scenario!(Number::Outage, Both, ends::a_drain_that_is_cancelled_evicts_nothing_more,
        "The notice is taken back: no request after the drain's return"),
    scenario!(Number::Outage, Both, ends::a_nearer_deadline_ends_it_sooner,
        "The deadline comes nearer: it returns by the new end"),

    scenario!(Number::BadInput, Both, inputs::an_annotation_that_says_nothing_known,
        "A drain annotation that cannot be read: evicted, with a warning"),
    scenario!(Number::BadInput, Both, inputs::budgets_that_select_nothing_or_cannot_be_read,
        "A budget with an impossible selector, and lists of budgets that make no sense"),
    scenario!(Number::BadInput, Both, inputs::graces_that_are_negative_or_absurd,
        "Graces below zero, of centuries and of the largest number there is"),
    scenario!(Number::BadInput, Both, inputs::a_node_that_is_deleted_half_way,
        "The node is deleted half-way through: the rest is evicted all the same"),
];
