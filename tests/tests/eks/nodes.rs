//! The guide's `kubectl` commands, on a real control plane with nodes as the template labels them.

use std::path::Path;

use spot_tests::{
    Result,
    cluster::{Cluster, NodeSpec},
    control_plane::ControlPlane,
    eks::{
        guide::Guide,
        shell::{Printed, Shell},
    },
    handler,
    tools::{Tool, Tools},
};

pub(crate) const LISTS: [&str; 4] = [
    "nodes",
    "nodes-by-lifecycle",
    "pods-on-spot",
    "plugin-lists",
];
pub(crate) const HANDLER: [&str; 5] = [
    "name-image",
    "deploy-handler",
    "handler-pods",
    "handler-events",
    "delete-handler",
];
pub(crate) const APPLICATION: [&str; 4] = [
    "deploy-application",
    "plugin-check",
    "application-address",
    "delete-application",
];

/// The image that the DaemonSet runs.
const IMAGE: &str = "kubectl --namespace kube-system get daemonset spot-interrupt-handler \
    --output jsonpath='{.spec.template.spec.containers[0].image}'";
/// What is left of what the guide makes in a cluster.
const LEFT: &str = "\
kubectl get deployments,poddisruptionbudgets --output=name
kubectl get --ignore-not-found --output=name clusterrole/spot-interrupt-handler \
    clusterrolebinding/spot-interrupt-handler \
    validatingadmissionpolicy/spot-interrupt-handler-nodes \
    validatingadmissionpolicy/spot-interrupt-handler-events
kubectl --namespace kube-system get --ignore-not-found --output=name \
    daemonset/spot-interrupt-handler serviceaccount/spot-interrupt-handler";

#[tokio::test]
async fn nodes_and_pods_are_listed_and_the_application_comes_and_goes() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let cluster = Cluster::create(&plane.client("admin")?, "guide").await?;
    let spot_1 = cluster.add_node(&NodeSpec::spot("spot-1")).await?.name;
    let spot_2 = cluster.add_node(&NodeSpec::spot("spot-2")).await?.name;
    let on_demand = cluster.add_node(&NodeSpec::on_demand("on-demand")).await?;
    let on_demand = on_demand.name;

    let tools = Tools::ensure(&[Tool::Kubectl]).await?;
    let kubectl = tools.path(Tool::Kubectl);
    let programs = [kubectl.as_path(), handler::plugin().await?];
    let programs = programs.into_iter().filter_map(Path::parent);
    let shell = Shell::new(programs.map(Into::into)).env("KUBECONFIG", plane.kubeconfig("admin")?);
    let guide = Guide::read()?;
    let printed = shell
        .follow(&guide)
        .blocks(&LISTS)?
        .blocks(&["deploy-application", "application-address", "plugin-check"])?
        .own("pods", guide.commands("pods-on-spot")?)
        .own("plugin-pods", "kubectl spot pods --output json")
        .own(
            "plugin-json",
            "kubectl spot check --output json || test $? = 1",
        )
        .blocks(&HANDLER[..4])?
        .own("image", IMAGE)
        .blocks(&["delete-application", "delete-handler"])?
        .own("left", LEFT)
        .run()
        .await?;

    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let listed: Vec<_> = printed.by("nodes").lines().skip(1).map(words).collect();
    let soft = ["spotInstance", "PreferNoSchedule"];
    for expected in [
        [on_demand.as_str(), "OnDemand", "<none>", "<none>"],
        [spot_1.as_str(), "Ec2Spot", soft[0], soft[1]],
        [spot_2.as_str(), "Ec2Spot", soft[0], soft[1]],
    ] {
        assert!(listed.iter().any(|line| *line == expected), "{listed:?}");
    }
    let both: Vec<_> = printed
        .by("nodes-by-lifecycle")
        .lines()
        .map(words)
        .collect();
    let names: Vec<_> = both.iter().map(|line| line[0].as_str()).collect();
    assert_eq!(names, ["NAME", &spot_1, &spot_2, "NAME", &on_demand]);

    assert_eq!(printed.by("pods-on-spot"), "");
    let pods: Vec<_> = printed.by("pods").lines().map(words).collect();
    let frontend = pods
        .iter()
        .filter(|pod| pod[1].starts_with("ecsdemo-frontend-"));
    assert_eq!((pods.len(), frontend.count()), (3, 3), "{pods:?}");
    let of_plugin = printed.json("plugin-pods")?;
    let of_plugin = of_plugin["pods"].as_array().into_iter().flatten();
    let mut of_plugin: Vec<_> = of_plugin.filter_map(|pod| pod["name"].as_str()).collect();
    let mut of_kubectl: Vec<_> = pods.iter().map(|pod| pod[1].as_str()).collect();
    of_plugin.sort_unstable();
    of_kubectl.sort_unstable();
    assert_eq!(of_plugin, of_kubectl);
    the_plugin_says_what_is_there(&printed, [&spot_1, &spot_2], &on_demand)?;
    let handlers = printed.by("handler-pods");
    let of_handlers: Vec<_> = handlers.lines().map(words).collect();
    let mut on: Vec<_> = of_handlers.iter().map(|pod| pod[6].as_str()).collect();
    on.sort_unstable();
    assert_eq!(on, [&spot_1, &spot_2], "{handlers}");
    let image = "registry.example/spot-interrupt-handler:0.1.0";
    assert_eq!(printed.by("image"), image);
    assert_eq!(printed.by("left"), "");
    cluster.delete().await
}

/// The lists and the check of the plugin.
fn the_plugin_says_what_is_there(printed: &Printed, spot: [&str; 2], other: &str) -> Result<()> {
    let lists = printed.by("plugin-lists");
    let taint = "Ready    spotInstance=true:PreferNoSchedule";
    let line = |node: &str, rest: &str| {
        lists
            .lines()
            .any(|line| line.starts_with(node) && line.contains(rest))
    };
    for node in spot {
        assert!(line(node, "Ec2Spot") && line(node, taint), "{lists}");
    }
    assert!(line(other, "OnDemand") && line(other, "<none>"), "{lists}");
    assert!(lists.contains("2 of 3 nodes are spot nodes (label lifecycle=Ec2Spot)"));
    assert!(lists.contains("0 pods on 2 spot nodes"), "{lists}");

    let said = printed.by("plugin-check");
    println!("{said}");
    assert!(said.contains("Not considered: affinity"), "{said}");
    let checked = printed.json("plugin-json")?;
    assert_eq!(checked["nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        checked["unknown"].as_array().map(Vec::len),
        Some(0),
        "{checked}"
    );
    Ok(())
}
