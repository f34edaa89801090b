//! The resources that the simulator serves, and what is particular to each.

/// A resource of the simulated API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `v1 Namespace`.
    Namespace,
    /// `v1 Node`.
    Node,
    /// `v1 Pod`.
    Pod,
    /// `v1 Service`.
    Service,
    /// `v1 PersistentVolumeClaim`, an object without behaviour.
    PersistentVolumeClaim,
    /// `v1 Event`, also served as `events.k8s.io/v1`.
    Event,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// `policy/v1 PodDisruptionBudget`.
    PodDisruptionBudget,
    /// `apps/v1 Deployment`.
    Deployment,
    /// `apps/v1 ReplicaSet`.
    ReplicaSet,
    /// `apps/v1 StatefulSet`.
    StatefulSet,
    /// `apps/v1 DaemonSet`.
    DaemonSet,
    /// `batch/v1 Job`, an object without behaviour.
    Job,
    /// `coordination.k8s.io/v1 Lease`, an object without behaviour.
    Lease,
}

/// What a resource is called and how it behaves.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) name: &'static str,
    pub(crate) short: &'static str,
    pub(crate) namespaced: bool,
    /// Has a `status` subresource, so that its status is not written otherwise.
    pub(crate) status: bool,
    /// Counts changes of its spec in `metadata.generation`.
    pub(crate) generation: bool,
    /// A deletion answers with the object and not with a `Status`.
    pub(crate) returned: bool,
}

const fn row(
    kind: Kind,
    group: &'static str,
    plural: &'static str,
    name: &'static str,
    short: &'static str,
    flags: [bool; 4],
) -> Resource {
    Resource {
        kind,
        group,
        plural,
        name,
        short,
        namespaced: flags[0],
        status: flags[1],
        generation: flags[2],
        returned: flags[3],
    }
}

/// In the order of [`Kind`]; the flags are namespaced, status, generation, returned.
#[rustfmt::skip]
static TABLE: [Resource; 14] = [
    row(Kind::Namespace, "", "namespaces", "Namespace", "ns", [false, true, false, true]),
    row(Kind::Node, "", "nodes", "Node", "no", [false, true, false, false]),
    row(Kind::Pod, "", "pods", "Pod", "po", [true, true, true, true]),
    row(Kind::Service, "", "services", "Service", "svc", [true, true, false, true]),
    row(Kind::PersistentVolumeClaim, "", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", [true, true, false, true]),
    row(Kind::Event, "", "events", "Event", "ev", [true, false, false, false]),
    row(Kind::EndpointSlice, "discovery.k8s.io", "endpointslices", "EndpointSlice", "", [true, false, true, false]),
    row(Kind::PodDisruptionBudget, "policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", [true, true, true, false]),
    row(Kind::Deployment, "apps", "deployments", "Deployment", "deploy", [true, true, true, false]),
    row(Kind::ReplicaSet, "apps", "replicasets", "ReplicaSet", "rs", [true, true, true, false]),
    row(Kind::StatefulSet, "apps", "statefulsets", "StatefulSet", "sts", [true, true, true, false]),
    row(Kind::DaemonSet, "apps", "daemonsets", "DaemonSet", "ds", [true, true, true, false]),
    row(Kind::Job, "batch", "jobs", "Job", "", [true, true, true, false]),
    row(Kind::Lease, "coordination.k8s.io", "leases", "Lease", "", [true, false, false, false]),
];

impl Kind {
    pub(crate) fn resource(self) -> &'static Resource {
        &TABLE[self as usize]
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|resource| resource.kind)
    }

    /// The resource at `/apis/{group}/v1/{plural}`.
    pub(crate) fn find(group: &str, plural: &str) -> Option<Self> {
        let group = if group == "events.k8s.io" { "" } else { group };
        TABLE
            .iter()
            .find(|r| r.group == group && r.plural == plural)
            .map(|r| r.kind)
    }

    /// The groups but for the core one, in the order in which discovery names them.
    pub(crate) fn groups() -> [&'static str; 6] {
        [
            "apps",
            "events.k8s.io",
            "batch",
            "policy",
            "discovery.k8s.io",
            "coordination.k8s.io",
        ]
    }

    /// The field labels that its lists may be selected by, each with the place of its value.
    pub(crate) fn field(self, label: &str) -> Option<&'static str> {
        let fields: &[(&str, &str)] = match self {
            Self::Pod => &[
                ("spec.nodeName", "/spec/nodeName"),
                ("status.phase", "/status/phase"),
                ("spec.restartPolicy", "/spec/restartPolicy"),
                ("spec.schedulerName", "/spec/schedulerName"),
                ("spec.serviceAccountName", "/spec/serviceAccountName"),
                ("status.podIP", "/status/podIP"),
            ],
            Self::Node => &[("spec.unschedulable", "/spec/unschedulable")],
            Self::Namespace => &[("status.phase", "/status/phase")],
            Self::Event => &[
                ("involvedObject.kind", "/involvedObject/kind"),
                ("involvedObject.namespace", "/involvedObject/namespace"),
                ("involvedObject.name", "/involvedObject/name"),
                ("involvedObject.uid", "/involvedObject/uid"),
                ("regarding.kind", "/involvedObject/kind"),
                ("regarding.name", "/involvedObject/name"),
                ("regarding.namespace", "/involvedObject/namespace"),
                ("regarding.uid", "/involvedObject/uid"),
                ("reason", "/reason"),
                ("type", "/type"),
            ],
            _ => &[],
        };
        match label {
            "metadata.name" => Some("/metadata/name"),
            "metadata.namespace" if self.resource().namespaced => Some("/metadata/namespace"),
            _ => fields.iter().find(|(l, _)| *l == label).map(|(_, p)| *p),
        }
    }
}

impl Resource {
    /// `v1` or `group/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            "v1".to_owned()
        } else {
            format!("{}/v1", self.group)
        }
    }

    /// `pods` or `poddisruptionbudgets.policy`, as errors name it.
    pub(crate) fn qualified(&self) -> String {
        qualify(self.plural, self.group)
    }

    /// `Pod` or `PodDisruptionBudget.policy`.
    pub(crate) fn qualified_kind(&self) -> String {
        qualify(self.name, self.group)
    }
}

fn qualify(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds() {
        for (at, resource) in TABLE.iter().enumerate() {
            assert_eq!(resource.kind as usize, at);
        }
    }
}
