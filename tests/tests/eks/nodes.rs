//! The guide's `kubectl` commands, on a real control plane with nodes as the template labels them.

use spot_tests::{
    Result,
    cluster::{Cluster, NodeSpec},
    control_plane::ControlPlane,
    eks::{guide::Guide, shell::Shell},
    tools::{Tool, Tools},
};

pub(crate) const LISTS: [&str; 3] = ["nodes", "nodes-by-lifecycle", "pods-on-spot"];
pub(crate) const APPLICATION: [&str; 3] = [
    "deploy-application",
    "application-address",
    "delete-application",
];

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
    let shell =
        Shell::new(kubectl.parent().map(Into::into)).env("KUBECONFIG", plane.kubeconfig("admin")?);
    let guide = Guide::read()?;
    let printed = shell
        .follow(&guide)
        .blocks(&LISTS)?
        .blocks(&["deploy-application", "application-address"])?
        .own("pods", guide.commands("pods-on-spot")?)
        .blocks(&["delete-application"])?
        .own(
            "left",
            "kubectl get deployments,poddisruptionbudgets --output=name",
        )
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
    assert_eq!(printed.by("left"), "");
    cluster.delete().await
}
