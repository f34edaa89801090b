//! The whole module on a real control plane of its own: nodes as their user data asks for them, the
//! handler, the application, an interruption, a rehearsal of one, and the end of it all.

use std::{collections::BTreeSet, path::Path, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::Value;
use spot_tests::{
    Error, Result,
    cluster::{Cluster, Node, NodeSpec},
    control_plane::{ControlPlane, Part},
    deploy::{Manifests, NAMESPACE, agent::Agent, installed::Installed},
    eks::{
        guide::Guide,
        machine::{Image, Machine},
        shell::{Printed, Shell, Walk},
        template::Template,
    },
    error::Context as _,
    handler::{self, Flags, Handler},
    metadata_mock::{Action, MetadataMock, TWO_MINUTES},
    tools::{Tool, Tools},
    trail::Trail,
    wait::wait_until,
};

pub(crate) const HANDLER: [&str; 3] = ["deploy-handler", "wait-for-handler", "handler-pods"];
pub(crate) const REHEARSAL: [&str; 3] = ["rehearse", "what-happened", "end-rehearsal"];
pub(crate) const CLEAN_UP: [&str; 1] = ["delete-handler"];

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(90);
/// Time for the handler to come up before the notice shows.
const SOON: Duration = Duration::from_secs(3);
const SERVICES: [&str; 3] = ["ecsdemo-frontend", "ecsdemo-crystal", "ecsdemo-nodejs"];
/// What a pod's processes take to end: their own hook waits for ten seconds, here it is three.
const SLOWER: &str = r#"for name in frontend crystal nodejs; do
  kubectl patch deployment "ecsdemo-$name" --patch \
    '{"spec": {"template": {"metadata": {"annotations": {"spot-tests/exit-after": "3"}}}}}'
  kubectl rollout status "deployment/ecsdemo-$name" --timeout=2m
done"#;
/// Pods of nodes that are gone are collected within a minute or two.
const GONE: &str = "
kubectl wait --for=delete pods --all --timeout=60s
kubectl wait --for=delete pods --namespace=kube-system --timeout=160s \\
  --selector=app.kubernetes.io/name=spot-interrupt-handler";
/// Everything that one of the guide's files, or the handler itself, has made.
const LEFT: &str = r"
kubectl get deployments,services,poddisruptionbudgets,pods --output=name |
  grep -v '^service/kubernetes$' || true
kubectl get all,serviceaccounts,configmaps,secrets --namespace kube-system --output=name |
  grep -i -e spot -e handler || true
kubectl get clusterroles,clusterrolebindings,validatingadmissionpolicies,priorityclasses \
  --output=name | grep spot-interrupt-handler || true
kubectl get validatingadmissionpolicybindings --output=name | grep spot-interrupt-handler || true
kubectl get nodes --output=jsonpath='{range .items[*]}{.metadata.annotations}{.spec}{end}' |
  grep -o 'spot-interrupt-handler/[a-z]*' || true
";

/// The workshop's cluster and a reader of the guide.
struct Module {
    installed: Installed,
    cluster: Cluster,
    shell: Shell,
    guide: Guide,
    spot: [Node; 2],
    other: Node,
}

impl Module {
    async fn prepare() -> Result<Self> {
        handler::binary().await?; // built before a notice shows
        let plane = ControlPlane::start().await?;
        let cluster = Cluster::create(&plane.client("admin")?, "workshop").await?;
        let spot = [NodeSpec::spot("spot-1"), NodeSpec::spot("spot-2")];
        let spot = [
            cluster.add_node(&spot[0]).await?,
            cluster.add_node(&spot[1]).await?,
        ];
        let other = cluster.add_node(&NodeSpec::on_demand("on-demand")).await?;
        let kubectl = Tools::ensure(&[Tool::Kubectl]).await?.path(Tool::Kubectl);
        let shell = Shell::new(kubectl.parent().map(Path::to_path_buf))
            .env("KUBECONFIG", plane.kubeconfig("admin")?)
            .env("KUBERNETES_VERSION", "1.36")
            .env("IMAGE", "registry.invalid/spot-interrupt-handler:0.1.0");
        let installed = Installed {
            plane,
            manifests: Manifests::Current,
            objects: Manifests::Current.objects()?,
        };
        Ok(Self {
            installed,
            cluster,
            shell,
            guide: Guide::read()?,
            spot,
            other,
        })
    }

    /// Goes on in the guide, where the last commands that were [kept](Self::keep) left off.
    fn walk(&self) -> Walk<'_> {
        let namespace = self.cluster.namespace();
        let ours = format!("kubectl config set-context --current --namespace={namespace}");
        self.shell.follow(&self.guide).own("namespace", &ours)
    }

    /// Keeps what the guide's commands have exported.
    fn keep(&mut self, printed: &Printed) {
        self.shell = self.shell.clone().after(printed);
    }

    /// Where the pods of a service are.
    async fn nodes_of(&self, service: &str) -> Result<BTreeSet<String>> {
        let pods = self.cluster.wait_ready(service, 3).await?;
        let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        Ok(pods.iter().filter_map(node).collect())
    }

    /// Waits until every deployment is at full strength, with no pod on `node`.
    async fn recovered(&self, node: &Node) -> Result<()> {
        for service in SERVICES {
            let nodes = self.nodes_of(service).await?;
            assert!(!nodes.contains(&node.name), "{service}: {nodes:?}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_module_from_the_handler_to_nothing() -> Result<()> {
    let mut module = Box::pin(Module::prepare()).await?;
    labelled_as_asked(&module).await?;

    let printed = module
        .walk()
        .blocks(&HANDLER)?
        .blocks(&["deploy-application"])?
        .run()
        .await?;
    module.keep(&printed);
    let lines = printed.by("handler-pods").lines().skip(1);
    let on: BTreeSet<_> = lines
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    let spot = module.spot.each_ref().map(|node| node.name.as_str());
    assert_eq!(on, BTreeSet::from(spot), "on spot nodes and no others");
    let frontend = module.nodes_of(SERVICES[0]).await?;
    assert!(!frontend.contains(&module.other.name), "{frontend:?}");

    let doomed = module.spot[0].clone();
    occupied(&module, &doomed).await?;
    interrupted(&module, &doomed).await?;
    module.cluster.remove_node(&doomed.name).await?; // the machine has ended
    Box::pin(rehearsed(&mut module)).await?;
    with_no_spot_node(&module).await?;

    let printed = module
        .walk()
        .blocks(&["delete-application"])?
        .blocks(&CLEAN_UP)?
        .own("gone", GONE)
        .own("left", LEFT)
        .run()
        .await?;
    assert_eq!(printed.by("left"), "");
    Ok(())
}

/// Nodes have the labels and taints that the user data's arguments ask a kubelet for.
async fn labelled_as_asked(module: &Module) -> Result<()> {
    let [spot, _] = &module.spot;
    for (node, life_cycle) in [(spot, "spot"), (&module.other, "on-demand")] {
        let machine = Machine::new(Image::Al2023)?.metadata("instance-life-cycle", life_cycle)?;
        let user_data = Template::read()
            .await?
            .user_data(&[("ClusterName", "workshop")])?;
        let booted = machine.boot(&user_data).await?;
        let document = booted.document()?;
        let flags = document["spec"]["kubelet"]["flags"].as_array();
        let asked: BTreeSet<&str> = flags
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();

        let node = module.cluster.node(&node.name).await?;
        let label = format!("--node-labels=lifecycle={}", node.labels()["lifecycle"]);
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        let taints = taints.iter().map(|taint| {
            let value = taint.value.as_deref().unwrap_or_default();
            format!(
                "--register-with-taints={}={value}:{}",
                taint.key, taint.effect
            )
        });
        let has: BTreeSet<String> = taints.chain([label]).collect();
        assert_eq!(asked, has.iter().map(String::as_str).collect());
    }
    Ok(())
}

/// All pods of all services are on one node, and no pod of an earlier rollout is left: what an
/// interruption is shown with has something to lose in each of them.
async fn occupied(module: &Module, doomed: &Node) -> Result<()> {
    let others = module.spot.iter().chain([&module.other]);
    let others: Vec<_> = others.filter(|node| node.name != doomed.name).collect();
    for node in &others {
        module.cluster.cordon(&node.name, true).await?;
    }
    module.walk().own("slower", SLOWER).run().await?;
    for node in &others {
        module.cluster.cordon(&node.name, false).await?;
    }
    let api = module.cluster.api::<Pod>();
    wait_until("the end of earlier pods", A_WHILE, async || {
        let pods = api.list(&ListParams::default()).await;
        let pods = pods.map_err(|error| error.to_string())?;
        let ending = |pod: &&Pod| pod.metadata.deletion_timestamp.is_some();
        match pods.iter().filter(ending).count() {
            0 => Ok(()),
            ending => Err(format!("{ending} are ending")),
        }
    })
    .await?;
    for service in SERVICES {
        let nodes = module.nodes_of(service).await?;
        assert_eq!(nodes, BTreeSet::from([doomed.name.clone()]), "{service}");
    }
    Ok(())
}

/// AWS's mock gives notice; the real binary is the DaemonSet's pod, with that pod's own token.
async fn interrupted(module: &Module, doomed: &Node) -> Result<()> {
    let agent = module.installed.agent(doomed).await?;
    let before = module.cluster.pods_on(&doomed.name).await?.len();
    assert_eq!(before, 3 * SERVICES.len());
    let trail = Trail::start(&module.cluster).await?;
    let metadata =
        MetadataMock::spot(&doomed.instance_id, Action::Terminate, TWO_MINUTES, SOON).await?;
    let handler = Handler::start(&agent.flags(&metadata.url())?).await?;
    let finished = drained(&handler).await?;
    assert_eq!(finished["outcome"], "complete", "{finished}");
    assert!(finished["slack"].as_f64() > Some(30.0), "{finished}");

    module.recovered(doomed).await?;
    // Its two watches may be behind what was just read. An endpoint that left too late stays so.
    wait_until(
        "endpoints that left before their pods",
        A_WHILE,
        async || match (trail.gone(), trail.gone_too_early()) {
            (gone, early) if gone == before && early.is_empty() => Ok(()),
            (gone, early) => Err(format!("{gone} of {before} pods, too early: {early:?}")),
        },
    )
    .await?;
    planted(module, &trail).await
}

/// The trail can tell: a pod that is killed without a grace is gone before its endpoint, for certain
/// while nobody looks after endpoints. (The API server marks such a pod before it removes it, and a
/// quick controller comes between the two.)
async fn planted(module: &Module, trail: &Trail) -> Result<()> {
    let pods = module.cluster.wait_ready(SERVICES[1], 3).await?;
    let killed = pods[0].name_any();
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    let api = module.cluster.api::<Pod>();
    let plane = &module.installed.plane;
    plane.pause(Part::ControllerManager)?;
    let deleted = api.delete(&killed, &at_once).await;
    deleted.context("kill a pod")?;
    wait_until("the end of a pod", A_WHILE, async || {
        trail
            .is_gone(&killed)
            .then_some(())
            .ok_or("not yet".to_owned())
    })
    .await?;
    assert_eq!(trail.gone_too_early(), [killed]);
    plane.resume(Part::ControllerManager)?;
    module.nodes_of(SERVICES[1]).await.map(drop)
}

/// The guide's rehearsal. No kubelet runs its two containers, so they are run here.
async fn rehearsed(module: &mut Module) -> Result<()> {
    let printed = module.walk().blocks(&REHEARSAL[..1])?.run().await?;
    module.keep(&printed);
    let node = printed.exported("NODE").to_owned();
    let left = module.spot.iter().find(|spot| spot.name == node);
    let left = left.ok_or_else(|| Error::Usage(format!("not a spot node: {node}")))?;
    let pods: Api<Pod> = Api::namespaced(module.installed.admin()?, NAMESPACE);
    let pod = pods.get("spot-rehearsal").await.context("the rehearsal")?;

    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut args = containers.filter_map(|container| container.args.clone());
    let simulate = args.nth(1).unwrap_or_default();
    let elsewhere = ["--listen", "--after"];
    let kept = simulate
        .into_iter()
        .filter(|arg| !elsewhere.iter().any(|flag| arg.starts_with(flag)));
    let metadata = Flags::raw(kept)
        .with("--listen", "127.0.0.1:0")
        .with("--after", "3s");
    let metadata = Handler::start(&metadata).await?;
    let url = wait_until("the simulated metadata's address", A_WHILE, async || {
        let said = metadata.process().log();
        let url = said.split_once("--metadata-url ");
        let url = url.and_then(|(_, url)| url.lines().next().map(str::to_owned));
        url.ok_or(said)
    })
    .await?;
    let agent = Agent::of(&module.installed, pod).await?;
    let handler = Handler::start(&agent.flags(&url)?).await?;
    let finished = drained(&handler).await?;
    assert_eq!(finished["outcome"], "complete", "{finished}");
    handler.process().terminate()?;
    handler.process().wait(A_WHILE).await?;
    module.recovered(left).await?;

    let printed = module.walk().blocks(&REHEARSAL[1..])?.run().await?;
    let told = printed.by("what-happened");
    for reason in ["SpotInterruption", "CordonAndDrain"] {
        assert!(told.contains(reason), "{told}");
    }
    let node = module.cluster.node(&node).await?;
    let taints = node
        .spec
        .clone()
        .and_then(|spec| spec.taints)
        .unwrap_or_default();
    assert_eq!(taints.len(), 1, "{taints:?}");
    assert!(!format!("{node:?}").contains("spot-interrupt-handler"));
    Ok(())
}

/// With no Spot node the frontend runs all the same.
async fn with_no_spot_node(module: &Module) -> Result<()> {
    let restart = "kubectl rollout restart deployment/ecsdemo-frontend
kubectl rollout status deployment/ecsdemo-frontend --timeout=2m";
    let gone = "kubectl delete nodes --selector=lifecycle=Ec2Spot";
    module
        .walk()
        .own("gone", gone)
        .own("restart", restart)
        .run()
        .await?;
    let nodes = module.nodes_of(SERVICES[0]).await?;
    assert_eq!(nodes, BTreeSet::from([module.other.name.clone()]));
    Ok(())
}

/// The log's line about the end of the drain.
async fn drained(handler: &Handler) -> Result<Value> {
    let finished = |line: &Value| line["message"] == "drain finished";
    handler
        .wait_for_log("the end of the drain", TWO_MINUTES, finished)
        .await
}
