//! Rights and tokens (scenarios 21, 22 and 35).

use crate::wire::{Call, OnTheWire as _};
use spot_core::observer::Occurrence;
use spot_drain::{cluster::Cluster as Connection, report::PodOutcome};

use super::{
    Handling, Stage,
    quarantine::{is_cordoned, taints},
    script::{Rule, Script, answer},
    secs,
    stage::Rights,
};
use crate::{
    Error, Result, cluster::Workload, control_plane::ControlPlane, error::Context as _,
    marks::TAINT, scratch::Scratch,
};

pub(super) async fn without_the_right_to_evict_it_says_so_soon(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 10);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let rights = Rights::all().without("create", "pods/eviction");
    let begun = tokio::time::Instant::now();
    let handling = Handling::start(stage, &doomed, &rights, stage.clock()).await?;
    handling.interrupt(begun + secs(30)).await?;
    let (report, ended) = handling.drained(secs(40)).await?;
    assert!(
        ended - begun < secs(5) + stage.noise(),
        "{:?}",
        ended - begun
    );
    let forbidden = |outcome: &PodOutcome| matches!(outcome, PodOutcome::Forbidden { .. });
    assert!(
        report.pods.iter().all(|pod| forbidden(&pod.outcome)),
        "{report}"
    );
    assert_eq!(report.pods.len(), 10, "{report}");
    assert!(
        report.to_string().contains("create pods/eviction"),
        "{report}"
    );
    let reviews = stage
        .requests()
        .into_iter()
        .filter(|r| r.call() == Call::Review);
    // A server that has just started knows nobody's rights: one answer is not believed.
    assert_eq!(reviews.count(), 2);
    assert_eq!(taints(stage, &doomed, TAINT).await?.len(), 1, "quarantined");
    assert!(is_cordoned(stage, &doomed).await?);
    Ok(())
}

pub(super) async fn without_the_right_to_cordon_it_drains(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    // Or the pods would come back.
    stage.cluster.cordon(&doomed.name, true).await?;
    let rights = Rights::all().without("patch", "nodes");
    let begun = tokio::time::Instant::now();
    let handling = Handling::start(stage, &doomed, &rights, stage.clock()).await?;
    handling.interrupt(begun + secs(20)).await?;
    let (report, _) = handling.drained(secs(30)).await?;
    let gone = report
        .pods
        .iter()
        .filter(|pod| pod.outcome == PodOutcome::Gone);
    assert_eq!(gone.count(), 3, "{report}");
    let refused = |what: &Occurrence| match what {
        Occurrence::NodeFailed(error) => error.describe().contains("not allowed to patch nodes"),
        _ => false,
    };
    assert!(
        handling.events().iter().any(refused),
        "{:?}",
        handling.events()
    );
    assert_eq!(taints(stage, &doomed, TAINT).await?.len(), 0);
    Ok(())
}

/// The token of a user of the control plane.
fn token(plane: &ControlPlane, user: &str) -> Result<String> {
    let path = plane.kubeconfig(user)?;
    let text = std::fs::read_to_string(&path).context("read a kubeconfig")?;
    let config: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::Usage(error.to_string()))?;
    let token = config["users"][0]["user"]["token"].as_str();
    token
        .map(String::from)
        .ok_or_else(|| Error::Usage(format!("no token of {user}")))
}

pub(super) async fn a_rotated_token_is_read_again(stage: &Stage) -> Result<()> {
    let (plane, proxy) = stage.real_parts()?;
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let user = plane.take_handler_user()?;
    let (old, new) = (
        token(plane, &user)?,
        token(plane, &plane.take_handler_user()?)?,
    );
    let scratch = Scratch::new("token")?;
    let file = scratch.path().join("token");
    std::fs::write(&file, &old).context("write the token")?;
    let mut config = proxy.towards(&plane.config(&user)?)?;
    config.auth_info.token = None;
    config.auth_info.token_file = Some(file.display().to_string());
    let connection = Connection::connect(config).map_err(|e| Error::Usage(e.to_string()))?;

    // It is the evictions that find the old token revoked; the new one is there by then.
    let revoked = format!("Bearer {old}");
    let refuse = Rule::decided(move |request, _| {
        let sent = request.headers().get(http::header::AUTHORIZATION);
        if sent.is_some_and(|sent| sent == revoked.as_str()) {
            answer(401, None, "token revoked")
        } else {
            spot_drain::sim::Injection::none()
        }
    });
    stage.set_faults(Script::new().rule(refuse.on([Call::Evict])));
    let drain = stage.drain(&doomed).through(connection);
    std::fs::write(&file, &new).context("rotate the token")?;
    let drained = drain.run().await?;
    let refused = drained
        .evictions("web")
        .iter()
        .filter(|r| r.status == Some(401))
        .count();
    assert!(refused > 0, "the old token was used first");
    assert!(drained.all_gone("web", 3), "{drained}");
    assert!(
        drained.took() < secs(8) + stage.noise(),
        "{:?}",
        drained.took()
    );
    Ok(())
}
