//! The rules that are granted are the rules that are used, by the API server's own audit log.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use spot_drain::replacement::MAKE_ANNOTATION;
use spot_imds::sim::Announcement;
use spot_tests::{
    Result,
    audit::Request,
    cluster::{Budget, Cluster, NodeSpec, Workload},
    deploy::{Manifests, NAME, installed::Installed},
    handler::Handler,
    marks::Marks,
    metadata_sim::MetadataSim,
    wait::wait_until,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);
const ACCOUNT: &str = "system:serviceaccount:kube-system:spot-interrupt-handler";
/// What every authenticated user may ask (`system:basic-user`).
const OF_EVERYBODY: &str = "authorization.k8s.io/selfsubjectaccessreviews create";

/// One right: group, resource and verb.
fn right(group: &str, resource: &str, verb: &str) -> String {
    format!("{group}/{resource} {verb}")
}

fn granted(installed: &Installed) -> Result<BTreeSet<String>> {
    let role = installed.object("ClusterRole")?;
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().unwrap().iter();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    assert!(
                        granted.insert(right(&group, &resource, &verb)),
                        "{verb} twice"
                    );
                }
            }
        }
    }
    Ok(granted)
}

/// What it took to be allowed a request.
fn used(request: &Request) -> Vec<String> {
    let resource = if request.subresource.is_empty() {
        request.resource.clone()
    } else {
        format!("{}/{}", request.resource, request.subresource)
    };
    let group = &request.group;
    if request.impersonated.is_none() {
        return vec![right(group, &resource, &request.verb)];
    }
    let lent = format!("impersonate-on:associated-node:{}", request.verb);
    let impersonation = right(
        "authentication.k8s.io",
        "nodes",
        "impersonate:associated-node",
    );
    vec![impersonation, right(group, &resource, &lent)]
}

async fn granted_is_used(installed: &Installed) -> Result<()> {
    let cluster = Cluster::create(&installed.admin()?, "rules").await?;
    let node = cluster.add_node(&NodeSpec::spot("doomed")).await?;
    cluster.add_node(&NodeSpec::on_demand("refuge")).await?;
    cluster.deploy_on(&node, &Workload::new("web", 2)).await?;
    // Its budget has to be met, also where another would be made first.
    let held = Workload::new("held", 1).annotation(MAKE_ANNOTATION, "off");
    cluster.deploy_on(&node, &held).await?;
    cluster.budget(&held, Budget::MinAvailable(1)).await?;
    cluster.wait_budget("held", 0).await?;
    cluster.daemon_set(&Workload::new("agent", 0)).await?;
    let agent = installed.agent(&node).await?;
    let metadata = MetadataSim::of(&node.instance_id)?;
    let mark = installed.plane.audit().mark();
    let ours = || -> Result<Vec<Request>> {
        let mut requests = installed.plane.audit().since(mark)?;
        requests.retain(|r| r.user == ACCOUNT && r.bound_to.as_deref() == Some(&*node.name));
        Ok(requests)
    };

    let handler = Handler::start(&agent.flags(&metadata.url)?).await?;
    handler.hears_notices().await?;
    // Twice the same, so that an event is counted up.
    for _ in 0..2 {
        let reboot = Announcement::maintenance("system-reboot");
        let event = metadata
            .imds
            .announce(reboot.left(Duration::from_secs(600)));
        let drains = |marks: &Marks| marks.memory["phase"] == "draining";
        cluster
            .wait_marks(&node, "a drain", A_WHILE, drains)
            .await?;
        let mut expected = vec!["watch poddisruptionbudgets"];
        if installed.makes_first() {
            expected.push("patch pods");
        }
        wait_until("the budget is met", A_WHILE, async || {
            let requests = ours().map_err(|error| error.to_string())?;
            let kept = requests.iter().filter(|r| !r.uri.contains("dryRun"));
            let asked = |kind: &&str| kept.clone().any(|request| request.kind() == *kind);
            let missing: Vec<_> = expected.iter().filter(|kind| !asked(kind)).collect();
            missing
                .is_empty()
                .then_some(())
                .ok_or(format!("no {missing:?}"))
        })
        .await?;
        metadata.imds.cancel(event);
        cluster
            .wait_marks(&node, "nothing", A_WHILE, Marks::is_none)
            .await?;
    }

    let granted = granted(installed)?;
    let of_everybody = [OF_EVERYBODY.to_owned()].into();
    wait_until(format!("all that {NAME} may do"), A_WHILE, async || {
        let requests = ours().map_err(|error| error.to_string())?;
        // What was refused took no right.
        let taken = requests.iter().filter(|request| request.code != 403);
        let used: BTreeSet<String> = taken.flat_map(used).collect();
        let used = &used - &of_everybody;
        if used == granted {
            return Ok(());
        }
        let (idle, undocumented) = (&granted - &used, &used - &granted);
        Err(format!(
            "never used: {idle:?}, and not granted: {undocumented:?}"
        ))
    })
    .await?;
    let mut refused = ours()?;
    // 422: by a policy; or, of a node, where somebody else had written it.
    refused.retain(|r| r.code == 403 || (r.code == 422 && r.resource != "nodes"));
    assert!(refused.is_empty(), "{refused:?}");
    cluster.delete().await
}

#[tokio::test]
async fn what_is_granted_is_used_and_nothing_else() -> Result<()> {
    let installed = Installed::shared(Manifests::Current).await?;
    Box::pin(granted_is_used(installed)).await
}

#[tokio::test]
async fn what_is_granted_on_older_servers_is_used_and_nothing_else() -> Result<()> {
    let installed = Installed::shared(Manifests::Before136).await?;
    Box::pin(granted_is_used(installed)).await
}

#[tokio::test]
async fn what_make_before_break_is_granted_is_used_and_nothing_else() -> Result<()> {
    let installed = Installed::shared_making_first(Manifests::Current).await?;
    Box::pin(granted_is_used(installed)).await
}

#[tokio::test]
async fn what_make_before_break_is_granted_on_older_servers_is_used_and_nothing_else() -> Result<()>
{
    let installed = Installed::shared_making_first(Manifests::Before136).await?;
    Box::pin(granted_is_used(installed)).await
}
