//! A policy of the cluster that denies evictions (scenario 39).

use crate::wire::Call;
use spot_drain::{report::PodOutcome, sim::Injection};

use super::{
    Stage,
    drained::Drained,
    script::{Rule, Script, answer},
    secs,
};
use crate::{
    Result,
    cluster::{Node, Workload},
    webhook::Webhook,
};

const WORDS: &str = "no evictions on a Friday";

/// One pod that is denied with 400, one that is denied with 403, and one that is not.
async fn three_pods(stage: &Stage) -> Result<Node> {
    let (doomed, _other) = stage.two_nodes().await?;
    for name in ["bad", "forbidden", "allowed"] {
        let workload = Workload::new(name, 1).exit_after(0.2);
        stage.cluster.deploy_on(&doomed, &workload).await?;
    }
    Ok(doomed)
}

fn verdict(pod: &str) -> Option<(u16, String)> {
    let code = match pod.split('-').next() {
        Some("bad") => 400,
        Some("forbidden") => 403,
        _ => return None,
    };
    Some((code, WORDS.to_owned()))
}

fn has_its_words(drained: &Drained) -> Result<()> {
    assert_eq!(
        drained.pod("allowed")?.outcome,
        PodOutcome::Gone,
        "{drained}"
    );
    let denied = drained.pod("bad")?;
    assert!(
        matches!(denied.outcome, PodOutcome::Denied { status: 400, .. }),
        "{}",
        denied.outcome
    );
    assert!(
        denied.outcome.to_string().contains(WORDS),
        "{}",
        denied.outcome
    );
    // A 403 of its own choice: the right to evict is there, as a review tells.
    let forbidden = drained.pod("forbidden")?.outcome.to_string();
    assert!(forbidden.contains(WORDS), "{forbidden}");
    assert_eq!(drained.calls(Call::Review).len(), 1);
    for app in ["bad", "forbidden"] {
        let tries = drained.evictions(app).len();
        assert!((2..=5).contains(&tries), "{app}: {tries} tries in 12 s");
    }
    Ok(())
}

pub(super) async fn the_words_of_a_webhook_are_in_the_report(stage: &Stage) -> Result<()> {
    let (plane, _) = stage.real_parts()?;
    let doomed = three_pods(stage).await?;
    let _webhook = Webhook::start(plane, &stage.cluster, verdict).await?;
    let drained = stage.drain(&doomed).window(12).run().await?;
    has_its_words(&drained)
}

pub(super) async fn the_words_of_a_refusal_are_in_the_report(stage: &Stage) -> Result<()> {
    let doomed = three_pods(stage).await?;
    let denies = Rule::decided(|request, _| {
        let path = request.uri().path();
        let pod = path.rsplit('/').nth(1).unwrap_or_default();
        let Some((code, words)) = verdict(pod) else {
            return Injection::none();
        };
        let message = format!("admission webhook \"friday.example\" denied the request: {words}");
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "code": code,
        });
        answer(code, None, status.to_string())
    });
    stage.set_faults(Script::new().rule(denies.on([Call::Evict])));
    let drained = stage.drain(&doomed).window(12).run().await?;
    assert!(drained.took() > secs(8), "it is tried to the end");
    has_its_words(&drained)
}
