//! Proof beforehand.

use super::*;
use crate::armed::Verdict;

/// Says the next of what it was told to find, and good of the last link after that.
struct Check {
    finds: Mutex<VecDeque<Option<Vec<Finding>>>>,
    asked: mpsc::UnboundedSender<Option<Instance>>,
}

#[async_trait]
impl SelfCheck for Check {
    async fn check(&self, instance: Option<Instance>) -> Vec<Finding> {
        self.asked.send(instance).unwrap();
        let next = self.finds.lock().unwrap().pop_front();
        match next {
            None => vec![Finding::holds(Link::Eviction)],
            Some(Some(findings)) => findings,
            Some(None) => pending().await,
        }
    }
}

/// A handler that checks itself every ten minutes, finding this first.
fn rig(finds: Vec<Option<Vec<Finding>>>) -> (Rig, mpsc::UnboundedReceiver<Option<Instance>>) {
    let (asked, checks) = mpsc::unbounded_channel();
    let finds = Mutex::new(finds.into());
    let check = Check { finds, asked };
    (
        Rig::with(Node::default(), |handler| handler.self_check(check)),
        checks,
    )
}

async fn checked(rig: &mut Rig) -> Arc<Armed> {
    match rig.event(|o| matches!(o, Occurrence::Checked(_))).await {
        Occurrence::Checked(armed) => armed,
        other => panic!("{other:?}"),
    }
}

fn broken() -> Vec<Finding> {
    vec![Finding::broken(
        Link::Quarantine,
        "may not patch nodes",
        "grant it",
    )]
}

#[tokio::test(start_paused = true)]
async fn the_chain_is_checked_soon_after_the_start_and_every_interval() {
    let (mut rig, mut checks) = rig(vec![]);
    rig.say(Signal::Identified(Instance::new("i-1")));
    rig.say(Signal::Health(SourceHealth::Good));
    let armed = checked(&mut rig).await;
    assert!(armed.is_armed(), "{armed:?}");
    assert!(rig.elapsed() <= secs(30), "{:?}", rig.elapsed());
    assert_eq!(checks.recv().await.unwrap(), Some(Instance::new("i-1")));
    for _ in 0..5 {
        let before = rig.elapsed();
        rig.say(Signal::Health(SourceHealth::Good));
        checked(&mut rig).await;
        let pause = rig.elapsed().saturating_sub(before);
        assert!(pause >= secs(600) && pause <= secs(660), "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_is_not_ready_until_it_is_mended() {
    let (mut rig, _checks) = rig(vec![Some(broken())]);
    rig.say(Signal::Health(SourceHealth::Good));
    assert!(!checked(&mut rig).await.is_armed());
    let missing = rig.readiness.borrow().missing.clone();
    assert_eq!(
        missing,
        ["quarantine is broken: may not patch nodes; grant it"]
    );
    // Sources say that they are good again and again.
    tokio::time::sleep(secs(540)).await;
    rig.say(Signal::Health(SourceHealth::Good));
    assert!(checked(&mut rig).await.is_armed());
    assert!(rig.readiness.borrow().ready);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_heard_is_a_broken_link() {
    let (mut rig, _checks) = rig(vec![]);
    let armed = checked(&mut rig).await;
    let broken: Vec<_> = armed.broken().map(|found| found.link).collect();
    assert_eq!(broken, [Link::Notices]);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_given_up_and_found_broken() {
    let (mut rig, _checks) = rig(vec![None]);
    rig.say(Signal::Health(SourceHealth::Good));
    let armed = checked(&mut rig).await;
    let found: Vec<_> = armed.broken().map(ToString::to_string).collect();
    assert!(found[0].contains("did not end within 60 s"), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_during_a_check_does_not_wait_for_it() {
    let (mut rig, mut checks) = rig(vec![None]);
    checks.recv().await;
    let before = rig.elapsed();
    rig.interrupt();
    let _never = rig.drain().await;
    assert_eq!(rig.elapsed(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_checked_while_a_drain_runs() {
    let (mut rig, mut checks) = rig(vec![]);
    rig.interrupt();
    let end = rig.drain().await;
    tokio::time::sleep(secs(3_000)).await;
    assert!(checks.try_recv().is_err());
    end.send(DrainOutcome::Complete).unwrap();
    checked(&mut rig).await;
    let of_link = |armed: &Armed, link| {
        let found = armed.findings.iter().find(|f| f.link == link);
        found.map(|f| f.verdict.clone())
    };
    let armed = checked(&mut rig).await;
    assert_eq!(of_link(&armed, Link::Eviction), Some(Verdict::Holds));
}

#[tokio::test(start_paused = true)]
async fn no_interval_is_no_check() {
    let (asked, mut checks) = mpsc::unbounded_channel();
    let finds = Mutex::default();
    let check = Check { finds, asked };
    let rig = Rig::with(Node::default(), |handler| {
        handler.self_check(check).self_check_interval(None)
    });
    tokio::time::sleep(secs(100_000)).await;
    assert!(checks.try_recv().is_err());
    drop(rig);
}
