//! What others do to the cluster meanwhile.

use std::{fmt, time::Duration};

use spot_core::sim::Random;

use super::{Load, Make, Span, one};

/// Something that somebody else does.
#[derive(Clone, Debug)]
pub(in crate::simulation) enum Deed {
    /// A label of the node comes, changes or goes.
    Label { node: String, value: Option<u64> },
    /// An annotation of the node comes, changes or goes.
    Annotate { node: String, value: Option<u64> },
    /// A taint of the node comes or goes.
    Taint { node: String, value: Option<u64> },
    /// The node is cordoned, or uncordoned, by hand.
    Cordon { node: String, cordoned: bool },
    /// Our taint is taken off the node by hand.
    Untaint { node: String },
    /// Some pod of this workload is evicted.
    Evict { load: String },
    /// Some pod of this workload is deleted, with no grace.
    Delete { load: String },
    /// A Deployment gets another number of replicas.
    Scale { load: String, replicas: u64 },
    /// A DaemonSet is deleted, and its pods stay.
    Orphan { load: String },
    /// A namespace is deleted.
    Namespace { name: &'static str },
    /// A budget is changed.
    Budget { load: String, allows: u64 },
    /// Old versions are forgotten: watches and lists from before are answered with 410.
    Compact,
}

impl Deed {
    /// Whether it takes pods away, or changes how many there are to be.
    pub(in crate::simulation) fn is_about_pods(&self) -> bool {
        matches!(
            self,
            Self::Evict { .. }
                | Self::Delete { .. }
                | Self::Scale { .. }
                | Self::Orphan { .. }
                | Self::Namespace { .. }
        )
    }

    pub(super) fn draw(
        random: &mut Random,
        span: Span,
        nodes: &[String],
        loads: &[Load],
    ) -> (Duration, Self) {
        let at = span.moment(random);
        let node = random.pick(nodes).cloned().unwrap_or_default();
        let load = random.pick(loads);
        let name = load.map(|load| load.name.clone()).unwrap_or_default();
        let made = |make| load.is_some_and(|load| load.make == make);
        let value = (random.chance(2, 3)).then(|| random.below(3));
        let deed = match random.below(24) {
            0..4 => Self::Label { node, value },
            4..7 => Self::Annotate { node, value },
            7..11 => Self::Taint { node, value },
            11 => Self::Cordon {
                node,
                cordoned: random.chance(1, 2),
            },
            12 if random.chance(1, 3) => Self::Untaint { node },
            13..16 => Self::Evict { load: name },
            16 => Self::Delete { load: name },
            17 | 18 if made(Make::Deployment) => Self::Scale {
                load: name,
                replicas: random.below(8),
            },
            19 if made(Make::DaemonSet) => Self::Orphan { load: name },
            20 | 22 => Self::Namespace { name: "brief" },
            21 => Self::Budget {
                load: name,
                allows: one(random, &[0, 1, 10], 1),
            },
            _ => Self::Compact,
        };
        (at, deed)
    }

    /// A node that is cordoned by hand before anything happens.
    pub(super) fn cordon_before(random: &mut Random, nodes: &[String]) -> Option<(Duration, Self)> {
        let node = random.pick(nodes)?.clone();
        let cordoned = true;
        Some((Duration::from_millis(1), Self::Cordon { node, cordoned }))
    }

    /// Whether it changes what a handler wrote on this node.
    pub(in crate::simulation) fn is_about_cordon(&self, name: &str) -> bool {
        match self {
            Self::Cordon { node, .. } | Self::Untaint { node } => node == name,
            _ => false,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { node, value } => write!(f, "labels {node}: {value:?}"),
            Self::Annotate { node, value } => write!(f, "annotates {node}: {value:?}"),
            Self::Taint { node, value } => write!(f, "taints {node}: {value:?}"),
            Self::Cordon { node, cordoned } if *cordoned => write!(f, "cordons {node}"),
            Self::Cordon { node, .. } => write!(f, "uncordons {node}"),
            Self::Untaint { node } => write!(f, "takes our taint off {node}"),
            Self::Evict { load } => write!(f, "evicts a pod of {load}"),
            Self::Delete { load } => write!(f, "deletes a pod of {load}, with no grace"),
            Self::Scale { load, replicas } => write!(f, "scales {load} to {replicas}"),
            Self::Orphan { load } => write!(f, "deletes the DaemonSet {load} and leaves its pods"),
            Self::Namespace { name } => write!(f, "deletes the namespace {name}"),
            Self::Budget { load, allows } => {
                write!(f, "sets the budget of {load} to maxUnavailable {allows}")
            }
            Self::Compact => f.write_str("forgets old versions"),
        }
    }
}
