//! The shipping binary, unchanged, empties a node of the simulator over a socket and a node of
//! the real control plane, and asks both for the same.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use spot_core::notice::InstanceAction;
use spot_drain::sim::{Budget as SimBudget, Node, Sim, Workload as SimWorkload, World};
use spot_imds::sim::{Imds, Server};
use spot_tests::{
    Error, Result,
    cluster::{Budget, Workload},
    control_plane::ControlPlane,
    handler::{Flags, Handler, binary},
    interruption::{Interruption, Workshop},
    scratch::Scratch,
};
use tokio::{net::TcpListener, time::Instant};

/// The workload on both: three services, one of them with a budget that has room for all, and
/// an agent on every node.
const SERVICES: [&str; 3] = ["frontend", "crystal", "nodejs"];
const GUARDED: &str = "crystal";
const REPLICAS: u32 = 3;
const EXIT_AFTER: f64 = 1.0;
/// Time for the handler to come up, and what the notice leaves.
const SOON: Duration = Duration::from_secs(4);
const LEFT: Duration = Duration::from_secs(60);
/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(90);

const NODE: &str = "spot-1";
const INSTANCE: &str = "i-0123456789abcdef0";

/// What a handler asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// About its node, in this order.
    node: Vec<String>,
    /// About the node's pods, in this order.
    pods: Vec<String>,
    /// What goes out at the same time, and how often: evictions and look-ups.
    at_once: BTreeMap<String, u32>,
    /// The last of all.
    last: String,
}

impl Asked {
    /// Of requests to a control plane where our node is called `node`.
    fn of(requests: impl IntoIterator<Item = (String, String)>, node: &str) -> Self {
        let mut asked = Self::default();
        for (method, uri) in requests {
            let line = format!("{method} {}", plain(&uri, node));
            asked.last.clone_from(&line);
            if line.contains("/eviction") {
                *asked.at_once.entry(line).or_default() += 1;
            } else if line.contains("/nodes/") {
                asked.node.push(line);
            } else if line.contains("/pods") {
                asked.pods.push(line);
            } else {
                *asked.at_once.entry(line).or_default() += 1;
            }
        }
        asked.overtake();
        asked
    }

    /// The handler looks at its node at the start, and again once it knows its instance; that
    /// look takes the place of the first, which is sent or not as the two services race.
    fn overtake(&mut self) {
        if let [first, second, ..] = &self.node[..]
            && first == second
            && first.starts_with("GET ")
        {
            self.node.remove(0);
        }
    }
}

/// A path and query without what the cluster has chosen: names and versions.
fn plain(uri: &str, node: &str) -> String {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut before = "";
    let path = path.split('/').map(|part| {
        let plain = match before {
            "nodes" if part == node => "NODE".to_owned(),
            "namespaces" => "NAMESPACE".to_owned(),
            // The name of its workload is what its pods' names begin with.
            "pods" => format!("{}-POD", part.split('-').next().unwrap_or_default()),
            _ => part.to_owned(),
        };
        before = part;
        plain
    });
    let mut query: Vec<_> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("resourceVersion", version)) if version != "0" => "resourceVersion=V".to_owned(),
            Some(("fieldSelector", selector)) => {
                let selector = selector.replace("%3D", "=");
                match selector.strip_suffix(node) {
                    Some(start) => format!("fieldSelector={start}NODE"),
                    None => format!("fieldSelector={selector}"),
                }
            }
            _ => pair.to_owned(),
        })
        .collect();
    query.sort();
    format!("{} {}", path.collect::<Vec<_>>().join("/"), query.join("&"))
}

/// The HTTP method behind a verb of the audit log.
fn method(verb: &str) -> &'static str {
    match verb {
        "get" | "list" | "watch" => "GET",
        "create" => "POST",
        "patch" => "PATCH",
        "update" => "PUT",
        "delete" => "DELETE",
        _ => "another",
    }
}

/// The drain has ended completely, and that is written down.
async fn is_over(handler: &Handler) -> Result<()> {
    let finished = |line: &Value| line["message"] == "drain finished";
    let line = handler
        .wait_for_log("the end of the drain", A_WHILE, finished)
        .await?;
    assert_eq!(line["outcome"], "complete", "{line}");
    let written =
        |line: &Value| line["message"] == "node cordoned and tainted" && line["phase"] == "Drained";
    handler
        .wait_for_log("that the end is written down", A_WHILE, written)
        .await
        .map(drop)
}

/// What it asks the real control plane for.
async fn of_the_real_one() -> Result<Asked> {
    let plane = ControlPlane::shared().await?;
    let replicas = usize::try_from(REPLICAS).unwrap_or(usize::MAX);
    let shop = Workshop::create(plane, "same", replicas, EXIT_AFTER).await?;
    let guarded = shop.services.iter().find(|s| s.name() == GUARDED);
    let guarded = guarded.ok_or_else(|| Error::Usage(format!("no service {GUARDED}")))?;
    let room = i32::try_from(REPLICAS).unwrap_or(i32::MAX);
    let budget = Budget::MaxUnavailable(REPLICAS);
    shop.cluster.budget(guarded, budget).await?;
    shop.cluster.wait_budget(GUARDED, room).await?;
    shop.cluster.daemon_set(&Workload::new("agent", 0)).await?;
    // One on each node of the workshop.
    shop.cluster.wait_ready("agent", 3).await?;
    let notice = Interruption::announce(plane, &shop.doomed, SOON, LEFT, |flags| flags).await?;
    is_over(&notice.handler).await?;
    let requests = notice.requests(plane).await?;
    let requests = requests
        .into_iter()
        .map(|r| (method(&r.verb).to_owned(), r.uri));
    let asked = Asked::of(requests, &shop.doomed.name);
    shop.cluster.delete().await?;
    Ok(asked)
}

/// The same cluster, simulated.
fn simulated() -> Sim {
    let taint = |node: Node| node.taint("spotInstance", "true", "PreferNoSchedule");
    let doomed = Node::new(NODE).provider_id(&format!("aws:///eu-west-1a/{INSTANCE}"));
    let mut world = World::builder()
        .node(taint(doomed))
        .node(taint(Node::new("spot-2")))
        .node(Node::new("on-demand-1"))
        .workload(SimWorkload::daemon_set("agent"));
    for name in SERVICES {
        let mut service = SimWorkload::deployment(name)
            .replicas(REPLICAS)
            .on(NODE)
            .grace(30)
            .exit_after(&EXIT_AFTER.to_string())
            .service();
        if name == GUARDED {
            service = service.budget(SimBudget::max_unavailable(&REPLICAS.to_string()));
        }
        world = world.workload(service);
    }
    Sim::new(world.build(Instant::now()))
}

/// What it asks the simulator for, over a socket.
async fn of_the_simulator() -> Result<Asked> {
    let io = |what: &str, source| Error::Io {
        what: what.to_owned(),
        source,
    };
    binary().await?; // built before the clock runs
    let sim = simulated();
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|e| io("listen", e))?;
    let address = listener.local_addr().map_err(|e| io("listen", e))?;
    let imds = Imds::builder()
        .instance(INSTANCE)
        .spot_notice(SOON, InstanceAction::Terminate, LEFT)
        .build()
        .shared();
    let any = ([127, 0, 0, 1], 0).into();
    let metadata = Server::bind(imds, any).map_err(|e| io("listen", e))?;
    let metadata_url = metadata.url();

    let scratch = Scratch::new("simulator")?;
    let kubeconfig = scratch.path().join("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_for(&format!("http://{address}")))
        .map_err(|e| io("write a kubeconfig", e))?;
    let drained = async {
        let handler = Handler::start(&Flags::run(NODE, &kubeconfig, &metadata_url)).await?;
        is_over(&handler).await
    };
    tokio::select! {
        done = drained => done?,
        never = sim.serve(listener) => match never {},
        () = metadata.run(std::future::pending()) => {}
    }
    let requests = sim.requests().into_iter().map(|r| {
        let uri = format!("{}?{}", r.path, r.query);
        (r.method, uri)
    });
    Ok(Asked::of(requests, NODE))
}

/// A kubeconfig for a server that asks nobody who they are.
fn kubeconfig_for(server: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: sim
clusters: [{{ name: sim, cluster: {{ server: \"{server}\" }} }}]
users: [{{ name: nobody, user: {{}} }}]
contexts: [{{ name: sim, context: {{ cluster: sim, user: nobody }} }}]
"
    )
}

#[tokio::test]
async fn it_asks_the_simulator_for_what_it_asks_the_real_control_plane() -> Result<()> {
    let simulated = of_the_simulator().await?;
    let real = of_the_real_one().await?;
    println!("{simulated:#?}");
    assert_eq!(simulated, real);
    // Equal, and not because nothing was asked for.
    let evictions = |service: &str| {
        let all = simulated.at_once.iter();
        let of_it = all.filter(|(line, _)| line.contains(&format!("/pods/{service}-POD/eviction")));
        of_it.map(|(_, times)| times).sum::<u32>()
    };
    assert_eq!(SERVICES.map(evictions), [REPLICAS; 3], "{simulated:#?}");
    assert_eq!(evictions("agent"), 0);
    let methods = simulated.node.iter().map(|line| line.split(' ').next());
    let written = methods.filter(|m| *m == Some("PATCH")).count();
    assert_eq!(written, 2, "{simulated:#?}");
    assert!(simulated.last.starts_with("PATCH "), "{simulated:#?}");
    Ok(())
}

#[test]
fn the_look_that_is_overtaken_counts_no_more_than_once() {
    let asked = |methods: &[&str]| {
        let requests = methods
            .iter()
            .map(|m| ((*m).to_owned(), "/api/v1/nodes/a".to_owned()));
        Asked::of(requests, "a").node
    };
    let once = asked(&["GET", "PATCH", "PATCH"]);
    assert_eq!(once, asked(&["GET", "GET", "PATCH", "PATCH"]));
    assert_ne!(once, asked(&["GET", "GET", "GET", "PATCH", "PATCH"]));
    assert_ne!(once, asked(&["GET", "PATCH", "GET", "PATCH"]));
}

#[test]
fn what_a_cluster_chooses_is_no_difference() {
    let list = "/api/v1/pods?fieldSelector=spec.nodeName%3Dns-1-a&resourceVersion=0";
    assert_eq!(
        plain(list, "ns-1-a"),
        "/api/v1/pods fieldSelector=spec.nodeName=NODE&resourceVersion=0"
    );
    assert_eq!(
        plain("/api/v1/namespaces/n/pods/web-1-x/eviction", "a"),
        "/api/v1/namespaces/NAMESPACE/pods/web-POD/eviction "
    );
    assert_eq!(
        plain("/api/v1/nodes/b?resourceVersion=7", "a"),
        "/api/v1/nodes/b resourceVersion=V"
    );
}
