//! Kubelets: pods start, become ready, and end within their grace or are killed.

use std::time::Duration;

use serde_json::{Value, json};
use spot_core::clock::Now;
use tokio::time::Instant;

use super::World;
use super::agenda::Work;
use super::timing::{EXIT_AFTER, NEVER, READY_AFTER, START_AFTER, timing};
use crate::sim::json::{
    is_ended, is_ready, is_terminating, list, number, set, set_condition, stamp, text,
};
use crate::sim::kind::Kind;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum How {
    /// By itself, within its grace.
    Exited,
    /// Killed, because the grace had run out.
    Killed,
    /// Without a signal: its pod was removed with no grace.
    Removed,
    /// With its machine.
    Lost,
}

/// The end of a pod's process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Its pod, `namespace/name`.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// Its node.
    pub node: String,
    /// When.
    pub at: Instant,
    /// How.
    pub how: How,
    /// The grace that it was given; `None` where it got no signal.
    pub grace: Option<Duration>,
    /// The time that it would have needed.
    pub needed: Duration,
}

/// A pod's process on its node.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pod: String,
    node: String,
    bound: Instant,
    /// When SIGTERM came, and with which grace: a later, shorter one is not heard.
    stopping: Option<(Instant, Duration)>,
    running: bool,
    needs: Duration,
}

impl World {
    /// Follows the object of one pod.
    pub(super) fn sync_pod(&mut self, key: &str, now: Now) {
        let Some(pod) = self.api.store.get(Kind::Pod, key).cloned() else {
            return;
        };
        let node = text(&pod, "/spec/nodeName").to_owned();
        let known = self.api.store.get(Kind::Node, &node).is_some();
        if node.is_empty() || !known || !self.pace.kubelets || self.silent.contains_key(&node) {
            return;
        }
        let uid = text(&pod, "/metadata/uid").to_owned();
        let needs = timing(&pod, EXIT_AFTER, self.pace.exit);
        let process = self
            .processes
            .entry(uid.clone())
            .or_insert_with(|| Process {
                pod: key.to_owned(),
                node,
                bound: now.instant,
                stopping: None,
                running: false,
                needs,
            });
        let bound = process.bound;
        if is_terminating(&pod) {
            let grace = number(&pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
            let (since, grace) = *process.stopping.get_or_insert((now.instant, grace));
            let takes = if process.running {
                process.needs
            } else {
                Duration::ZERO
            };
            let end = since + takes.min(grace);
            if end > now.instant {
                self.agenda.add(end, Work::Pod(key.to_owned()));
            } else {
                self.finish(&uid, &pod, grace, now);
            }
            return;
        }
        if is_ended(&pod) {
            return;
        }
        let (start, ready) = (
            timing(&pod, START_AFTER, self.pace.start),
            timing(&pod, READY_AFTER, Duration::ZERO),
        );
        let runs = bound + start;
        if runs > now.instant {
            if start < NEVER {
                self.agenda.add(runs, Work::Pod(key.to_owned()));
            }
            return;
        }
        process.running = true;
        let never = ready >= NEVER;
        let ready = runs + ready;
        let mut next = (*pod).clone();
        run(&mut next, now);
        if ready > now.instant {
            if !never {
                self.agenda.add(ready, Work::Pod(key.to_owned()));
            }
        } else if !is_ready(&next) {
            be_ready(&mut next, true, now);
        }
        self.api.store.replace(Kind::Pod, next);
    }

    /// A pod that is part of the fixture: it has been running for a while.
    pub(super) fn settle_pod(&mut self, key: &str, now: Now) {
        let Some(pod) = self.api.store.get(Kind::Pod, key).cloned() else {
            return;
        };
        let node = text(&pod, "/spec/nodeName").to_owned();
        if node.is_empty() {
            return;
        }
        let process = Process {
            pod: key.to_owned(),
            node,
            bound: now.instant,
            stopping: None,
            running: true,
            needs: timing(&pod, EXIT_AFTER, self.pace.exit),
        };
        let uid = text(&pod, "/metadata/uid").to_owned();
        self.processes.insert(uid, process);
        let mut next = (*pod).clone();
        run(&mut next, now);
        let never = crate::sim::json::annotation(&pod, READY_AFTER) == Some("never");
        be_ready(&mut next, !never, now);
        self.api.store.replace(Kind::Pod, next);
    }

    /// The process has ended; its object goes, unless finalizers keep it.
    fn finish(&mut self, uid: &str, pod: &Value, grace: Duration, now: Now) {
        let Some(process) = self.processes.remove(uid) else {
            return;
        };
        let killed = process.running && process.needs > grace;
        if process.running {
            let how = if killed { How::Killed } else { How::Exited };
            self.record(uid, &process, now.instant, how, Some(grace));
        }
        if killed {
            let words = "Container runtime did not kill the pod within specified grace period.";
            self.report(pod, "ExceededGracePeriod", words, now);
        }
        let mut ended = pod.clone();
        let phase = if killed { "Failed" } else { "Succeeded" };
        set(&mut ended, &["status", "phase"], phase);
        be_ready(&mut ended, false, now);
        let ended = self.api.store.replace(Kind::Pod, ended);
        if list(&ended, "/metadata/finalizers").is_empty() {
            self.api.end(Kind::Pod, &ended, Some(0), now);
        }
    }

    fn record(
        &mut self,
        uid: &str,
        process: &Process,
        at: Instant,
        how: How,
        grace: Option<Duration>,
    ) {
        self.ended.push(Ended {
            pod: process.pod.clone(),
            uid: uid.to_owned(),
            node: process.node.clone(),
            at,
            how,
            grace,
            needed: process.needs,
        });
    }

    /// A pod's object is gone; whatever of it still runs is no longer wanted.
    pub(super) fn forget_pod(&mut self, uid: &str, at: Instant) {
        if let Some(process) = self.processes.remove(uid)
            && process.running
        {
            self.record(uid, &process, at, How::Removed, None);
        }
    }

    /// The kubelet of a node goes silent: its pods run on, and none of them starts or ends.
    pub fn stop_kubelet(&mut self, node: &str, at: Instant) {
        self.advance(at);
        self.silent.insert(node.to_owned(), at);
        self.agenda
            .add(at + self.pace.node_lost, Work::Node(node.to_owned()));
    }

    /// The kubelet of a node is back.
    pub fn start_kubelet(&mut self, node: &str, at: Instant) {
        self.advance(at);
        self.silent.remove(node);
        self.agenda.add(at, Work::Node(node.to_owned()));
        let pods: Vec<String> = self
            .api
            .store
            .all(Kind::Pod)
            .iter()
            .filter(|(_, pod)| text(pod, "/spec/nodeName") == node)
            .map(|(key, _)| key.clone())
            .collect();
        for pod in pods {
            self.agenda.add(at, Work::Pod(pod));
        }
    }

    /// The machine of a node is gone, and all processes on it without a word. Its objects
    /// stay, as they do until somebody notices.
    pub fn stop_machine(&mut self, node: &str, at: Instant) {
        self.stop_kubelet(node, at);
        let on_it: Vec<String> = self
            .processes
            .iter()
            .filter(|(_, process)| process.node == node)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in on_it {
            if let Some(process) = self.processes.remove(&uid)
                && process.running
            {
                let grace = process.stopping.map(|(_, grace)| grace);
                self.record(&uid, &process, at, How::Lost, grace);
            }
        }
    }

    /// An event about a pod, as the kubelet reports it.
    fn report(&mut self, pod: &Value, reason: &str, message: &str, now: Now) {
        let (namespace, name) = (
            text(pod, "/metadata/namespace"),
            text(pod, "/metadata/name"),
        );
        let stem = format!("{name}.");
        let called = self.api.store.free_name(Kind::Event, namespace, &stem);
        let time = stamp(now.wall);
        let event = json!({ "kind": "Event", "apiVersion": "v1",
            "metadata": { "namespace": namespace, "name": called },
            "involvedObject": { "kind": "Pod", "apiVersion": "v1", "namespace": namespace,
                "name": name, "uid": pod["metadata"]["uid"] },
            "type": "Warning", "reason": reason, "message": message, "count": 1,
            "firstTimestamp": time, "lastTimestamp": time,
            "source": { "component": "kubelet", "host": pod["spec"]["nodeName"] } });
        self.api.store.insert(Kind::Event, event, now.wall);
    }
}

/// The containers run.
fn run(pod: &mut Value, now: Now) {
    if text(pod, "/status/phase") == "Running" {
        return;
    }
    set(pod, &["status", "phase"], "Running");
    set(pod, &["status", "startTime"], stamp(now.wall));
    let uid = text(pod, "/metadata/uid").to_owned();
    let ip = format!("10.{}.{}.{}", byte(&uid, 0), byte(&uid, 2), byte(&uid, 4));
    set(pod, &["status", "podIP"], ip.as_str());
    set(pod, &["status", "podIPs"], json!([{ "ip": ip }]));
    set_condition(pod, "PodScheduled", "True", ("", ""), now.wall);
    set_condition(pod, "Initialized", "True", ("", ""), now.wall);
}

/// A byte of a UID, so that addresses follow from the seed.
fn byte(uid: &str, at: usize) -> u8 {
    uid.get(at..at + 2)
        .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        .unwrap_or(1)
}

pub(super) fn be_ready(pod: &mut Value, ready: bool, now: Now) {
    let (status, reason) = match (ready, is_ended(pod)) {
        (true, _) => ("True", ""),
        (false, true) => ("False", "PodCompleted"),
        (false, false) => ("False", "ContainersNotReady"),
    };
    for condition in ["Ready", "ContainersReady"] {
        set_condition(pod, condition, status, (reason, ""), now.wall);
    }
    let containers: Vec<Value> = list(pod, "/spec/containers")
        .iter()
        .map(|container| {
            json!({ "name": container["name"], "image": container["image"], "imageID": "",
                "ready": ready, "started": !is_ended(pod), "restartCount": 0 })
        })
        .collect();
    set(pod, &["status", "containerStatuses"], containers);
}
