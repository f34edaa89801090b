//! `kubectl spot` against a simulated cluster on a port: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "fixtures of tests")]

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use spot_drain::sim::{Budget, Node, Sim, Workload, World};
use tokio::net::TcpListener;
use tokio::time::Instant;

fn world() -> World {
    let spot = |name| {
        Node::new(name).label("lifecycle", "Ec2Spot").taint(
            "spotInstance",
            "true",
            "PreferNoSchedule",
        )
    };
    let stateful = |name| Workload::stateful_set(name).replicas(2).namespace("shop");
    World::builder()
        .node(spot("spot-1"))
        .node(spot("spot-2"))
        .node(Node::new("other-1").label("lifecycle", "OnDemand"))
        .node(Node::new("old-1"))
        .workload(
            stateful("web")
                .on("spot-1")
                .on("other-1")
                .budget(Budget::min_available("2")),
        )
        .workload(stateful("cart").on("spot-2").on("other-1"))
        .workload(
            Workload::bare("report")
                .namespace("batch")
                .grace(600)
                .on("spot-1"),
        )
        .build(Instant::now())
}

/// Serves the cluster while the plugin runs with such arguments.
fn run(world: fn() -> World, args: &[&str]) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kubeconfig = kubeconfig(port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-spot"));
        command
            .args(args)
            .env_clear()
            .env("KUBECONFIG", &kubeconfig);
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
        let sim = Sim::new(world());
        let output = tokio::select! {
            output = ran => output.unwrap(),
            never = sim.serve(listener) => match never {},
        };
        std::fs::remove_file(kubeconfig).unwrap();
        output
    })
}

fn kubeconfig(port: u16) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kubeconfig-{port}"));
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "sim",
        "clusters": [{"name": "sim", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": "sim", "user": {}}],
        "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}]});
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// What it printed, and its exit code.
fn said(args: &[&str]) -> (String, i32) {
    let output = run(world, args);
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    (
        String::from_utf8(text).unwrap(),
        output.status.code().unwrap(),
    )
}

fn json_of(args: &[&str]) -> (Value, i32) {
    let (text, code) = said(&[args, &["-o", "json"]].concat());
    (
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")),
        code,
    )
}

#[test]
fn nodes_are_listed_by_their_life_cycle_with_their_taints() {
    let expected = "\
NODE      LIFECYCLE   STATUS   TAINTS
spot-1    Ec2Spot     Ready    spotInstance=true:PreferNoSchedule
spot-2    Ec2Spot     Ready    spotInstance=true:PreferNoSchedule
other-1   OnDemand    Ready    <none>
old-1     <none>      Ready    <none>

2 of 4 nodes are spot nodes (label lifecycle=Ec2Spot)
";
    assert_eq!(said(&["nodes"]), (expected.to_owned(), 0));
    let (json, code) = json_of(&["nodes", "-l", "lifecycle=Ec2Spot"]);
    assert_eq!((json["nodes"].as_array().unwrap().len(), code), (2, 0));
    assert_eq!(
        json["nodes"][0],
        json!({"name": "spot-1", "life_cycle": "Ec2Spot", "spot": true, "ready": true,
            "cordoned": false, "taints": [{"key": "spotInstance", "value": "true",
                "effect": "PreferNoSchedule"}]})
    );
}

#[test]
fn pods_on_spot_nodes_are_listed() {
    let expected = "\
NODE     NAMESPACE   POD        STATUS   GRACE   OWNER
spot-1   batch       report-0   Ready    600s    <none>
spot-1   shop        web-0      Ready    30s     StatefulSet/web
spot-2   shop        cart-0     Ready    30s     StatefulSet/cart

3 pods on 2 spot nodes (label lifecycle=Ec2Spot)
";
    assert_eq!(said(&["pods", "-A"]), (expected.to_owned(), 0));
    let (json, _) = json_of(&["pods", "-n", "shop", "-l", "app=web"]);
    assert_eq!(json["pods"].as_array().unwrap().len(), 1);
    assert_eq!(json["pods"][0]["name"], "web-0");
    let (json, _) = json_of(&["pods", "--spot-label", "lifecycle=OnDemand"]);
    let names: Vec<_> = json["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(names, ["cart-1", "web-1"]);
}

#[test]
fn a_check_says_what_is_wrong_where_and_what_helps() {
    let expected = "\
NODE     ENOUGH   PODS   PROBLEMS   WARNINGS   NOTES
spot-1   no       2      2          1          0
spot-2   yes      1      0          0          0

SEVERITY   NODE     POD              REASON          MESSAGE
problem    spot-1   batch/report-0   grace           its grace of 600 s is cut to 110 s
problem    spot-1   shop/web-0       budget-closed   PodDisruptionBudget web allows no disruption
warning    spot-1   batch/report-0   unmanaged       no controller brings it back

What helps:
  budget-closed: give the workload more replicas than its budget needs, or let the budget allow one disruption
  grace: shorten terminationGracePeriodSeconds to what fits, and have the process save its state by then
  unmanaged: let a controller own the pod, such as a Deployment

A notice of 120 s has room for graces of 110 s. Spot nodes: label lifecycle=Ec2Spot.
Not considered: affinity, topology spread, host ports, priorities and the zones of volumes; more than one node taken away at once.
";
    assert_eq!(said(&["check"]), (expected.to_owned(), 1));
    let (json, code) = json_of(&["check", "--dry-run-evictions"]);
    assert_eq!(code, 1);
    let reasons: Vec<_> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["reason"])
        .collect();
    assert_eq!(reasons, ["grace", "budget-closed", "unmanaged"]);
    assert!(
        json["findings"][1]["words"]
            .as_str()
            .unwrap()
            .contains("healthy"),
        "{json}"
    );
    assert!(
        json["not_considered"]
            .as_str()
            .unwrap()
            .contains("affinity")
    );
}

#[test]
fn verdicts_are_of_the_findings_that_are_shown() {
    let node = |args: &[&str]| {
        let (text, _) = said(&[&["check", "spot-1"], args].concat());
        let line = text.lines().nth(1).unwrap_or_default();
        let words = line.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    assert_eq!(node(&[]), ["spot-1", "no", "2", "2", "1", "0"]);
    let shop = node(&["-n", "shop"]);
    assert_eq!(shop, ["spot-1", "no", "2", "1", "0", "0"]);
    let ignored = node(&["-n", "shop", "--ignore", "budget-closed"]);
    assert_eq!(ignored, ["spot-1", "yes", "2", "0", "0", "0"]);
    let both = ["--ignore", "budget-closed", "--ignore", "grace"];
    assert_eq!(node(&both), ["spot-1", "yes", "2", "0", "1", "0"]);
    let (json, code) = json_of(&[&["check", "spot-1"][..], &both].concat());
    assert_eq!((&json["nodes"][0]["enough"], code), (&json!("yes"), 1));
}

#[test]
fn the_exit_code_tells_findings_from_none_and_from_what_could_not_be_done() {
    let code = |args: &[&str]| said(&[&["check"], args].concat()).1;
    assert_eq!(code(&["spot-2"]), 0);
    assert_eq!(code(&["-n", "shop", "--ignore", "budget-closed"]), 0);
    assert_eq!(code(&["-n", "batch", "--ignore", "grace"]), 1);
    assert_eq!(
        code(&["-n", "batch", "--ignore", "grace", "--fail-on", "problem"]),
        0
    );
    assert_eq!(
        code(&["--notice", "11m", "-n", "batch", "--fail-on", "problem"]),
        0
    );
    for (args, line) in [
        (["check", "other-1"], "other-1 is no spot node"),
        (
            ["check", "--spot-label=a=b"],
            "no node has the label a=b; write --spot-label KEY=VALUE",
        ),
    ] {
        let (text, code) = said(&args);
        assert!(
            text.starts_with(&format!("error: {line}")) && code == 69,
            "{code} {text}"
        );
    }
    for args in [
        &["check", "--notice", "soon"][..],
        &["nodes", "--spot-label", "spot"],
        &["check", "--ignore", "emptydir"],
    ] {
        let (text, code) = said(args);
        assert!(
            text.contains("write ") && text.lines().count() == 1,
            "{text}"
        );
        assert_eq!(code, 64);
    }
    let (text, _) = said(&["check", "--ignore", "emptydir"]);
    assert!(
        text.contains("emptydir") && text.contains(" empty-dir, "),
        "{text}"
    );
}

#[test]
fn a_cluster_that_cannot_be_read_is_told_from_one_with_findings() {
    fn guarded() -> World {
        let mut world = world();
        world.api_mut().access.deny("list", "pods");
        world
    }
    let output = run(guarded, &["check"]);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{line}");
    assert!(
        line.contains("not allowed to list pods") && line.contains("grant list"),
        "{line}"
    );
    let absent = Command::new(env!("CARGO_BIN_EXE_kubectl-spot"))
        .args(["nodes", "--kubeconfig", "/nowhere"])
        .env_clear()
        .output();
    assert_eq!(absent.unwrap().status.code(), Some(64));
}
