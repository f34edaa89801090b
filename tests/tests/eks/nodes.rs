//! The guide's `kubectl` commands, on a real control plane with nodes as the template labels them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use spot_tests::{
    Result,
    cluster::{Cluster, NodeSpec},
    control_plane::ControlPlane,
    eks::{
        FIXTURES,
        guide::Guide,
        shell::{Printed, Shell},
    },
    handler,
    tools::{Tool, Tools},
};
use tokio::time::sleep;

use crate::module::HANDLER;

pub(crate) const JOIN: [&str; 1] = ["wait-for-nodes"];
pub(crate) const LISTS: [&str; 4] = [
    "nodes",
    "nodes-by-lifecycle",
    "pods-on-spot",
    "plugin-lists",
];
pub(crate) const APPLICATION: [&str; 4] = [
    "deploy-application",
    "plugin-check",
    "application-address",
    "delete-application",
];

pub(crate) const KIND: [&str; 1] = ["prepare-kind"];

const JOINED: &str = "kubectl get nodes --selector=lifecycle --output=name";
/// Nothing but what names a node: what kind makes of a container.
const WORKER: &str = r#"kubectl create -f - <<<'{"apiVersion": "v1", "kind": "Node", "metadata":
  {"name": "kind-worker", "labels": {"kubernetes.io/hostname": "kind-worker"}}}'"#;
/// Who is deployed, and what a rehearsal is told.
const DEPLOYED: &str = r#"echo "$HANDLER $AS_NODE"
container='{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].args}'
kubectl get --namespace kube-system daemonset/spot-interrupt-handler --output="jsonpath=$container""#;

/// What is left of what the guide makes in a cluster.
const LEFT: &str = "kubectl get deployments,poddisruptionbudgets --output=name";

#[tokio::test]
async fn nodes_and_pods_are_listed_and_the_application_comes_and_goes() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let cluster = Cluster::create(&plane.client("admin")?, "guide").await?;
    let spot_1 = cluster.add_node(&NodeSpec::spot("spot-1")).await?.name;
    let spot_2 = cluster.add_node(&NodeSpec::spot("spot-2")).await?.name;

    let shell = shell(plane).await?;
    let guide = Guide::read()?;
    // One joins late.
    let joined = shell.follow(&guide).blocks(&JOIN)?.own("joined", JOINED);
    let late = async {
        sleep(Duration::from_secs(2)).await;
        cluster.add_node(&NodeSpec::on_demand("on-demand")).await
    };
    let (joined, on_demand) = tokio::try_join!(joined.run(), late)?;
    assert_eq!(joined.by("joined").lines().count(), 3);
    let on_demand = on_demand.name;

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
        .blocks(&["delete-application"])?
        .own("left", LEFT)
        .run()
        .await?;

    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let listed: Vec<_> = printed.by("nodes").lines().skip(1).map(words).collect();
    let soft = ["spotInstance", "true", "PreferNoSchedule"];
    for expected in [
        [on_demand.as_str(), "OnDemand", "<none>", "<none>", "<none>"],
        [spot_1.as_str(), "Ec2Spot", soft[0], soft[1], soft[2]],
        [spot_2.as_str(), "Ec2Spot", soft[0], soft[1], soft[2]],
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
    assert_eq!(printed.by("left"), "");
    older_clusters_and_those_of_kind(&shell, &guide).await?;
    cluster.delete().await
}

async fn shell(plane: &ControlPlane) -> Result<Shell> {
    let tools = Tools::ensure(&[Tool::Kubectl]).await?;
    let kubectl = tools.path(Tool::Kubectl);
    let programs = [kubectl.as_path(), handler::plugin().await?];
    let programs = programs.into_iter().filter_map(Path::parent);
    let stand_ins = [PathBuf::from(FIXTURES).join("stand-ins")];
    let path = stand_ins.into_iter().chain(programs.map(Into::into));
    Ok(Shell::new(path).env("KUBECONFIG", plane.kubeconfig("admin")?))
}

/// The guide's other ways to a handler: before 1.36, and with an image that kind has loaded.
async fn older_clusters_and_those_of_kind(shell: &Shell, guide: &Guide) -> Result<()> {
    let older = shell
        .clone()
        .env("KUBERNETES_VERSION", "1.35")
        .env("IMAGE", "registry.invalid/spot-interrupt-handler:0.1.0");
    let printed = older
        .follow(guide)
        .blocks(&HANDLER)?
        .own("deployed", DEPLOYED)
        .blocks(&["delete-handler"])?
        .run()
        .await?;
    let deployed = printed.by("deployed");
    let expected = "../../deploy/manifests/before-1.36.yaml false\n\
                    registry.invalid/spot-interrupt-handler:0.1.0 ";
    assert!(deployed.starts_with(expected), "{deployed}");
    assert!(!deployed.contains("--impersonate-node=true"), "{deployed}");
    assert_eq!(printed.by("handler-pods").lines().count(), 3);

    let printed = shell
        .follow(guide)
        .own("worker", WORKER)
        .blocks(&KIND)?
        .blocks(&HANDLER[..1])?
        .own("deployed", DEPLOYED)
        .blocks(&["delete-handler"])?
        .own("delete worker", "kubectl delete node kind-worker")
        .run()
        .await?;
    let said = printed.by("prepare-kind");
    assert!(said.contains("kind load image-archive kind.tar"), "{said}");
    assert!(said.contains("node/kind-worker labeled"), "{said}");
    assert_eq!(printed.exported("KUBERNETES_VERSION"), "1.36");
    let deployed = printed.by("deployed");
    let expected = "../../deploy/manifests/spot-interrupt-handler.yaml true\n\
                    spot-interrupt-handler:0.1.0 ";
    assert!(deployed.starts_with(expected), "{deployed}");
    assert!(deployed.contains("--impersonate-node=true"), "{deployed}");
    Ok(())
}

#[tokio::test]
async fn the_clusters_version_decides_how_the_handler_is_deployed() -> Result<()> {
    let guide = Guide::read()?;
    let current = ("spot-interrupt-handler.yaml", "true");
    let older = ("before-1.36.yaml", "false");
    for (version, (file, as_node)) in [
        ("1.29", older),
        ("1.30", older),
        ("1.35", older),
        ("1.36", current),
        ("1.39", current),
        ("1.40", current),
    ] {
        let shell = Shell::new([]).env("KUBERNETES_VERSION", version);
        // The commands are all that is asked about.
        let printed = shell
            .follow(&guide)
            .own("kubectl", "kubectl() { cat >/dev/null; }")
            .blocks(&HANDLER[..1])?
            .run()
            .await?;
        let handler = format!("../../deploy/manifests/{file}");
        assert_eq!(printed.exported("HANDLER"), handler, "{version}");
        assert_eq!(printed.exported("AS_NODE"), as_node, "{version}");
    }
    Ok(())
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
