//! Requests that a stolen token must not get through.

use serde_json::{Value, json};
use spot_tests::deploy::{NAME, NAMESPACE};

/// What a thief knows: its own node, another one, and a pod on each.
pub(crate) struct Scene<'a> {
    pub(crate) ours: &'a str,
    pub(crate) other: &'a str,
    /// The namespace of both pods.
    pub(crate) namespace: &'a str,
    /// A pod on our node.
    pub(crate) our_pod: &'a str,
    /// A pod on the other one.
    pub(crate) other_pod: &'a str,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Misuse {
    /// What it would come to.
    pub(crate) what: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Whom it impersonates: user and groups.
    pub(crate) user: Option<String>,
    pub(crate) groups: &'static [&'static str],
    pub(crate) content: &'static str,
    pub(crate) body: Value,
    /// Words of whoever refuses it.
    pub(crate) refused: &'static str,
}

/// What RBAC says.
const NO_RIGHT: &str =
    "is forbidden: User \"system:serviceaccount:kube-system:spot-interrupt-handler\" cannot ";

impl Misuse {
    fn new(what: &'static str, method: &'static str, path: impl Into<String>) -> Self {
        Self {
            what,
            method,
            path: path.into(),
            user: None,
            groups: &[],
            content: "application/json",
            body: Value::Null,
            refused: NO_RIGHT,
        }
    }

    fn get(what: &'static str, path: impl Into<String>) -> Self {
        Self::new(what, "GET", path)
    }

    fn delete(what: &'static str, path: impl Into<String>) -> Self {
        Self::new(what, "DELETE", path)
    }

    fn create(what: &'static str, path: impl Into<String>, body: Value) -> Self {
        let create = Self::new(what, "POST", path);
        Self { body, ..create }
    }

    fn merge(what: &'static str, path: impl Into<String>, body: Value) -> Self {
        let change = Self::new(what, "PATCH", path);
        let content = "application/merge-patch+json";
        Self {
            content,
            body,
            ..change
        }
    }

    fn json_patch(what: &'static str, path: impl Into<String>, body: Value) -> Self {
        let change = Self::merge(what, path, body);
        let content = "application/json-patch+json";
        Self { content, ..change }
    }

    fn apply(what: &'static str, path: impl Into<String>, body: Value) -> Self {
        let path = format!("{}?fieldManager=thief&force=true", path.into());
        let apply = Self::merge(what, path, body);
        let content = "application/apply-patch+yaml";
        Self { content, ..apply }
    }

    fn impersonating(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    fn in_name_of(self, node: &str) -> Self {
        self.impersonating(format!("system:node:{node}"))
    }

    /// Refused already because nobody gave the right.
    pub(crate) fn without_the_right(self) -> Self {
        self.by(NO_RIGHT)
    }

    fn by(mut self, words: &'static str) -> Self {
        self.refused = words;
        self
    }
}

fn node(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

fn pod(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

fn eviction(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name}})
}

fn taint(key: &str, effect: &str) -> Value {
    json!([{"op": "add", "path": "/spec/taints/-",
        "value": {"key": key, "value": "x", "effect": effect}}])
}

fn event(scene: &Scene, host: &str, about: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"namespace": "default", "name": name},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": about, "uid": about},
        "source": {"component": NAME, "host": host},
        "reportingComponent": NAME, "reportingInstance": host,
        "reason": "SpotInterruption", "message": scene.ours, "type": "Normal", "count": 1,
    })
}

/// An event as the handler writes it, but for one thing; `None`: in every way.
pub(crate) fn changed_event(scene: &Scene, name: &str, change: Option<(&str, Value)>) -> Misuse {
    let mut event = event(scene, scene.ours, scene.ours, name);
    if let Some((field, value)) = change {
        let (parent, field) = field.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[field] = value;
    }
    Misuse::create("tells", "/api/v1/namespaces/default/events", event)
}

/// Nodes: other ones, and what is not ours on our own.
pub(crate) fn of_nodes(scene: &Scene) -> Vec<Misuse> {
    [changes(scene), whole(scene)].concat()
}

const OWN: &str = "the handler changes only the node that its token is bound to";

fn changes(scene: &Scene) -> Vec<Misuse> {
    let (ours, other) = (node(scene.ours), node(scene.other));
    let cordon = json!({"spec": {"unschedulable": true}});
    let memory = json!({"metadata": {"annotations": {"spot-interrupt-handler/memory": "{}"}}});
    let labels = "of a node's labels the handler changes only the one for load balancers";
    let value = "with its own value only";
    let taints = "of a node's taints the handler changes only";
    let annotations = "of a node's annotations the handler changes only its own memory";
    let spec = "the handler changes only its taints and whether it is schedulable";
    let load_balancers = "node.kubernetes.io/exclude-from-external-load-balancers";
    let labelled = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    vec![
        Misuse::merge("cordons another node", &other, cordon).by(OWN),
        Misuse::merge("has another node forget", &other, memory).by(OWN),
        Misuse::json_patch(
            "taints another node under our key",
            &other,
            taint("spot-interrupt-handler/interruption", "NoSchedule"),
        )
        .by(OWN),
        Misuse::json_patch(
            "evicts all by a taint of our own key",
            &ours,
            taint("spot-interrupt-handler/interruption", "NoExecute"),
        )
        .by(taints),
        Misuse::json_patch(
            "adds a foreign taint",
            &ours,
            taint("example.com/x", "NoSchedule"),
        )
        .by(taints),
        Misuse::merge(
            "removes others' taints",
            &ours,
            json!({"spec": {"taints": []}}),
        )
        .by(taints),
        Misuse::merge(
            "makes it a control plane's node",
            &ours,
            labelled("node-role.kubernetes.io/control-plane", "".into()),
        )
        .by(labels),
        Misuse::merge(
            "removes a foreign label",
            &ours,
            labelled("lifecycle", Value::Null),
        )
        .by(labels),
        Misuse::merge(
            "takes it from load balancers in another's name",
            &ours,
            labelled(load_balancers, "somebody".into()),
        )
        .by(value),
        Misuse::merge(
            "adds a foreign annotation",
            &ours,
            json!({"metadata": {"annotations": {"example.com/x": "y"}}}),
        )
        .by(annotations),
        Misuse::merge(
            "keeps it from being deleted",
            &ours,
            json!({"metadata": {"finalizers": ["example.com/x"]}}),
        )
        .by(spec),
        Misuse::merge(
            "has it deleted with something else",
            &ours,
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap",
                "name": "x", "uid": "x"}]}}),
        )
        .by(spec),
        Misuse::merge(
            "changes its status",
            format!("{ours}/status"),
            json!({"status": {"capacity": {"cpu": "1000"}}}),
        ),
        Misuse::merge(
            "remembers a cordon that there is not, to take back one that is to come",
            &ours,
            json!({"metadata": {"annotations": {"spot-interrupt-handler/memory": CORDONED}}}),
        )
        .by("the handler remembers a cordon only where it made it and it stands"),
    ]
}

/// A memory that says that the cordon is ours.
pub(crate) const CORDONED: &str = r#"{"v":1,"cordoned":true}"#;

/// Nodes as a whole: made, deleted, listed.
fn whole(scene: &Scene) -> Vec<Misuse> {
    let (ours, other) = (node(scene.ours), node(scene.other));
    vec![
        Misuse::delete("deletes our node", &ours),
        Misuse::delete("deletes another node", &other),
        Misuse::delete("deletes all nodes", "/api/v1/nodes"),
        Misuse::create(
            "makes a node",
            "/api/v1/nodes",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "made-up"}}),
        ),
        Misuse::apply(
            "makes a node by applying it",
            node("made-up"),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "made-up"}}),
        )
        .by("handler"),
        Misuse::apply(
            "takes over another node by applying it",
            &other,
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": scene.other},
                "spec": {"unschedulable": true}}),
        )
        .by(OWN),
        Misuse::get("lists the nodes", "/api/v1/nodes"),
        Misuse::get(
            "reads a kubelet's figures",
            format!("{other}/proxy/stats/summary"),
        ),
    ]
}

/// What the node's identity is not lent for.
pub(crate) fn in_others_names(scene: &Scene) -> Vec<Misuse> {
    let (ours, other) = (node(scene.ours), node(scene.other));
    let us = scene.ours;
    let cordon = json!({"spec": {"unschedulable": true}});
    let pods = "/api/v1/pods";
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    let selected = |node: &str| format!("{pods}?fieldSelector=spec.nodeName%3D{node}");
    let evicted = |name| format!("{}/eviction", pod(scene.namespace, name));
    let mut impersonates_all =
        Misuse::get("acts as an administrator", secrets).impersonating("admin");
    impersonates_all.groups = &["system:masters"];
    vec![
        impersonates_all.by("cannot impersonate"),
        Misuse::get("acts as the controller manager", secrets)
            .impersonating("system:kube-controller-manager")
            .by("cannot impersonate"),
        Misuse::get("acts as another service account", secrets)
            .impersonating("system:serviceaccount:kube-system:default")
            .by("cannot impersonate"),
        Misuse::get("reads another node as that node", &other)
            .in_name_of(scene.other)
            .by("cannot impersonate"),
        Misuse::get("lists another node's pods as it", selected(scene.other))
            .in_name_of(scene.other)
            .by("cannot impersonate"),
        Misuse::create(
            "evicts another node's pod as that node",
            evicted(scene.other_pod),
            eviction(scene.namespace, scene.other_pod),
        )
        .in_name_of(scene.other)
        .by("cannot impersonate"),
        Misuse::create(
            "evicts another node's pod as our node",
            evicted(scene.other_pod),
            eviction(scene.namespace, scene.other_pod),
        )
        .in_name_of(us)
        .by("can only evict pods with spec.nodeName set to itself"),
        Misuse::get("reads another node as ours", &other)
            .in_name_of(us)
            .by("forbidden"),
        Misuse::get("lists all pods as our node", pods)
            .in_name_of(us)
            .by("can only list/watch pods with spec.nodeName field selector"),
        Misuse::get("watches all pods as our node", format!("{pods}?watch=true"))
            .in_name_of(us)
            .by("can only list/watch pods with spec.nodeName field selector"),
        Misuse::get("lists another node's pods as ours", selected(scene.other))
            .in_name_of(us)
            .by("can only list/watch pods with spec.nodeName field selector"),
        Misuse::get("reads secrets as our node", secrets)
            .in_name_of(us)
            .by("forbidden"),
        Misuse::merge("cordons as our node", &ours, cordon)
            .in_name_of(us)
            .by("cannot impersonate"),
        Misuse::delete(
            "deletes a pod as our node",
            pod(scene.namespace, scene.our_pod),
        )
        .in_name_of(us)
        .by("cannot impersonate"),
        Misuse::merge(
            "rewrites a pod's status as our node",
            format!("{}/status", pod(scene.namespace, scene.our_pod)),
            json!({"status": {"phase": "Failed"}}),
        )
        .in_name_of(us)
        .by("cannot impersonate"),
        Misuse::create(
            "has a token made as our node",
            "/api/v1/namespaces/kube-system/serviceaccounts/default/token",
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
        )
        .in_name_of(us)
        .by("cannot impersonate"),
    ]
}

/// Pods, as ourselves: on servers that lend the node's identity.
pub(crate) fn of_pods(scene: &Scene) -> Vec<Misuse> {
    let evicted = |name| format!("{}/eviction", pod(scene.namespace, name));
    vec![
        Misuse::get("lists all pods", "/api/v1/pods"),
        Misuse::get("watches all pods", "/api/v1/pods?watch=true"),
        Misuse::create(
            "evicts another node's pod",
            evicted(scene.other_pod),
            eviction(scene.namespace, scene.other_pod),
        ),
        Misuse::create(
            "evicts a pod of our node",
            evicted(scene.our_pod),
            eviction(scene.namespace, scene.our_pod),
        ),
        Misuse::get("reads another node", node(scene.other)),
    ]
}

/// Changes of pods. With make before break a policy refuses them, and without it nobody may change
/// any.
pub(crate) fn changes_of_pods(scene: &Scene) -> Vec<Misuse> {
    let ours = pod(scene.namespace, scene.our_pod);
    let other = pod(scene.namespace, scene.other_pod);
    let own = "the handler changes only pods on the node that its token is bound to";
    let labels = "of a pod's labels the handler changes only pod-template-hash";
    let annotations =
        "of a pod's annotations the handler changes only what says that it detached it";
    let rest = "of a pod the handler changes a label and an annotation, and nothing else";
    let metadata = |field: &str, value: Value| json!({"metadata": {field: value}});
    let unhashed = json!([{"op": "remove", "path": "/metadata/labels/pod-template-hash"}]);
    let mut misuses = vec![
        Misuse::json_patch("detaches another node's pod", &other, unhashed).by(own),
        Misuse::merge(
            "says that another node's pod is detached",
            &other,
            metadata(
                "annotations",
                json!({"spot-interrupt-handler/detached": "{}"}),
            ),
        )
        .by(own),
        Misuse::apply(
            "takes over another node's pod by applying it",
            &other,
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": scene.other_pod, "labels": {"pod-template-hash": "x"}}}),
        )
        .by(own),
        Misuse::merge(
            "has another Service select our pod",
            &ours,
            metadata("labels", json!({"app": "x"})),
        )
        .by(labels),
        Misuse::merge(
            "takes our pod from its Service",
            &ours,
            metadata("labels", json!({"app": null})),
        )
        .by(labels),
        Misuse::merge(
            "adds a foreign annotation to our pod",
            &ours,
            metadata("annotations", json!({"example.com/x": "y"})),
        )
        .by(annotations),
        Misuse::merge(
            "decides for our pod what its owner decides",
            &ours,
            metadata(
                "annotations",
                json!({"spot-interrupt-handler/drain": "skip"}),
            ),
        )
        .by(annotations),
        Misuse::merge(
            "keeps our pod from being deleted",
            &ours,
            metadata("finalizers", json!(["example.com/x"])),
        )
        .by(rest),
        Misuse::merge(
            "gives our pod to somebody",
            &ours,
            metadata(
                "ownerReferences",
                json!([{"apiVersion": "v1", "kind": "ConfigMap",
                "name": "x", "uid": "x"}]),
            ),
        )
        .by(rest),
        Misuse::json_patch(
            "runs another image in our pod",
            &ours,
            json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "thief"}]),
        )
        .by(rest),
        Misuse::merge(
            "ends our pod after a while",
            &ours,
            json!({"spec": {"activeDeadlineSeconds": 1}}),
        )
        .by(rest),
        Misuse::json_patch(
            "has our pod tolerate all taints",
            &ours,
            json!([{"op": "add", "path": "/spec/tolerations/-", "value": {"operator": "Exists"}}]),
        )
        .by(rest),
    ];
    misuses.extend(detachments(&ours));
    misuses
}

/// Detaching our own pod, and putting it back, in another's name.
fn detachments(ours: &str) -> Vec<Misuse> {
    let metadata = |field: &str, value: Value| json!({"metadata": {field: value}});
    let hash = "the handler removes pod-template-hash, and puts back only what it removed";
    let written = "the handler writes on a pod only which pod-template-hash it removed";
    let of_another = json!({"spot-interrupt-handler/detached": r#"{"hash":"another"}"#});
    vec![
        Misuse::merge(
            "has another ReplicaSet select our pod",
            ours,
            metadata("labels", json!({"pod-template-hash": "another"})),
        )
        .by(hash),
        Misuse::merge(
            "says that our pod was another's",
            ours,
            metadata("annotations", of_another.clone()),
        )
        .by(written),
        Misuse::merge(
            "detaches our pod and says that it was another's",
            ours,
            json!({"metadata": {"labels": {"pod-template-hash": null}, "annotations": of_another}}),
        )
        .by(written),
    ]
}

/// What the right to change pods does not reach.
pub(crate) fn beside_pods(scene: &Scene) -> Vec<Misuse> {
    let ours = pod(scene.namespace, scene.our_pod);
    let made = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "made-up"},
        "spec": {"nodeName": scene.ours, "containers": [{"name": "x", "image": "x"}]}});
    vec![
        Misuse::apply(
            "makes a pod by applying it",
            pod(scene.namespace, "made-up"),
            made,
        )
        .by("handler"),
        Misuse::merge(
            "says that a pod has failed",
            format!("{ours}/status"),
            json!({"status": {"phase": "Failed"}}),
        ),
        Misuse::merge(
            "runs a debugger in a pod",
            format!("{ours}/ephemeralcontainers"),
            json!({"spec": {"ephemeralContainers": [{"name": "x", "image": "x"}]}}),
        ),
        Misuse::merge(
            "gives a pod more memory",
            format!("{ours}/resize"),
            json!({"spec": {"containers": []}}),
        ),
        Misuse::get("lists all ReplicaSets", "/apis/apps/v1/replicasets"),
        Misuse::get("lists all Deployments", "/apis/apps/v1/deployments"),
        Misuse::merge(
            "scales a workload",
            format!(
                "/apis/apps/v1/namespaces/{}/deployments/web",
                scene.namespace
            ),
            json!({"spec": {"replicas": 0}}),
        ),
    ]
}

/// All the rest of a cluster.
pub(crate) fn of_the_rest(scene: &Scene) -> Vec<Misuse> {
    let ours = pod(scene.namespace, scene.our_pod);
    let namespaced = |api: &str, what: &str| format!("{api}/namespaces/{}/{what}", scene.namespace);
    let events = "the handler's events are its own";
    let about = "the handler's events are about its own node";
    vec![
        Misuse::get("reads a pod", &ours),
        Misuse::delete("deletes a pod", &ours),
        Misuse::delete("deletes all pods", namespaced("/api/v1", "pods")),
        Misuse::create(
            "makes a pod",
            namespaced("/api/v1", "pods"),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
                "spec": {"containers": [{"name": "x", "image": "x"}]}}),
        ),
        Misuse::get("runs a command in a pod", format!("{ours}/exec?command=sh")),
        Misuse::get("reads a pod's log", format!("{ours}/log")),
        Misuse::get("reads all secrets", "/api/v1/secrets"),
        Misuse::get("reads all config maps", "/api/v1/configmaps"),
        Misuse::create(
            "has a token made",
            "/api/v1/namespaces/kube-system/serviceaccounts/default/token",
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
        ),
        Misuse::merge(
            "gives itself rights",
            format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}"),
            json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
        ),
        Misuse::delete(
            "removes the policy that holds it",
            format!(
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{NAME}-nodes"
            ),
        ),
        Misuse::merge(
            "runs on every node",
            format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{NAME}"),
            json!({"spec": {"template": {"spec": {"nodeSelector": null}}}}),
        ),
        Misuse::merge(
            "opens a budget",
            namespaced("/apis/policy/v1", "poddisruptionbudgets/web"),
            json!({"spec": {"minAvailable": 0}}),
        ),
        Misuse::create(
            "tells of another node",
            "/api/v1/namespaces/default/events",
            event(scene, scene.ours, scene.other, "about-another"),
        )
        .by(about),
        Misuse::create(
            "tells in another node's name",
            "/api/v1/namespaces/default/events",
            event(scene, scene.other, scene.ours, "by-another"),
        )
        .by(events),
        Misuse::merge(
            "rewrites another's event",
            format!("/api/v1/namespaces/default/events/{}", scene.other),
            json!({"source": {"component": NAME, "host": scene.ours},
                "reportingComponent": NAME, "reportingInstance": scene.ours,
                "involvedObject": {"name": scene.ours}}),
        )
        .by("the handler changes only its own events"),
        Misuse::get("reads events", "/api/v1/events"),
    ]
}

/// Events that are the handler's but for one thing.
pub(crate) fn events(scene: &Scene) -> Vec<Misuse> {
    let theirs = "the handler's events are its own";
    let about = "the handler's events are about its own node, pods and ReplicaSets";
    let held = "the handler's events have no finalizers, no owners and no related objects";
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]);
    let changes: [(_, _, Value, _); 7] = [
        (
            "keeps a namespace from being deleted by an event",
            "/metadata/finalizers",
            json!(["example.com/x"]),
            held,
        ),
        (
            "has an event deleted with something",
            "/metadata/ownerReferences",
            owner,
            held,
        ),
        (
            "tells of what is related",
            "/related",
            json!({"apiVersion": "v1", "kind": "Node", "name": scene.other}),
            held,
        ),
        (
            "tells as another program",
            "/reportingComponent",
            "kubelet".into(),
            theirs,
        ),
        (
            "tells as another instance",
            "/reportingInstance",
            scene.other.into(),
            theirs,
        ),
        (
            "tells of a workload",
            "/involvedObject/kind",
            "Deployment".into(),
            about,
        ),
        ("tells of nothing", "/involvedObject/kind", "".into(), about),
    ];
    let misuse = |(what, field, value, refused)| Misuse {
        what,
        ..changed_event(scene, "changed", Some((field, value))).by(refused)
    };
    changes.into_iter().map(misuse).collect()
}
