//! AWS's own metadata mock in every mode, and what each does to the node.

use jiff::{SignedDuration, Timestamp};
use spot_core::clock::{SystemClock, WallClock as _};
use spot_tests::{Result, marks::Marks, metadata_mock::MetadataMock, wait::wait_until};

use crate::stage::{A_WHILE, Stage, said, says};

/// What becomes of the node.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is quarantined because of this kind, and empty.
    Drained(&'static str, &'static str),
    /// It is quarantined because of this kind, and its pod stays.
    Cordoned(&'static str),
    /// It is told, and nothing is done.
    Told,
    /// Nothing is to be told.
    Nothing,
}

/// What the mock plays: its subcommand (none: everything at once), its arguments.
struct Mode {
    plays: Option<&'static str>,
    args: Vec<String>,
    flags: Vec<(&'static str, &'static str)>,
    /// Whether it refuses `IMDSv1`, which we never speak.
    v2_only: bool,
    end: End,
}

fn mode(mode: &'static str, args: &[&str], end: End) -> Mode {
    Mode {
        plays: Some(mode),
        args: args.iter().map(ToString::to_string).collect(),
        flags: Vec::new(),
        v2_only: true,
        end,
    }
}

impl Mode {
    /// As the mock is unless told otherwise.
    fn v1_too(mut self) -> Self {
        self.v2_only = false;
        self
    }

    fn flag(mut self, flag: &'static str, value: &'static str) -> Self {
        self.flags.push((flag, value));
        self
    }
}

/// So far from now, as the mock wants it.
fn from_now(seconds: i64) -> String {
    let then = SystemClock
        .now()
        .saturating_add(SignedDuration::from_secs(seconds));
    let then = then.unwrap_or(Timestamp::MAX).as_second();
    Timestamp::from_second(then)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

/// Plays it and looks at the node.
async fn play(name: &str, mode: Mode) -> Result<()> {
    let stage = Stage::new(name).await?;
    let mock = MetadataMock::start(
        &stage.node.instance_id,
        mode.plays,
        &mode.args,
        mode.v2_only,
    );
    let mock = mock.await?;
    let handler = stage.handler(&mock.url(), &mode.flags).await?;
    says(&handler, "notices can be heard").await?;
    let what = format!("{:?} of {:?} {:?}", mode.end, mode.plays, mode.args);
    match mode.end {
        End::Drained(kind, action) => {
            let drained = |marks: &Marks| marks.is(kind, "drained");
            let marks = stage
                .cluster
                .wait_marks(&stage.node, &what, A_WHILE, drained);
            let marks = marks.await?;
            assert_eq!(marks.memory["notice"]["action"], action, "{what}");
            assert!(marks.excluded, "{what}: load balancers leave it out");
            wait_until(format!("{what}: empty"), A_WHILE, async || {
                match stage.pods_left().await {
                    Ok(0) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await?;
            assert_eq!(said(&handler, "drain started"), 1, "{what}");
        }
        End::Cordoned(kind) => {
            let cordoned = |marks: &Marks| marks.is(kind, "cordoned");
            stage
                .cluster
                .wait_marks(&stage.node, &what, A_WHILE, cordoned)
                .await?;
            assert_eq!(stage.pods_left().await?, 1, "{what}");
        }
        End::Told => {
            says(&handler, "notice").await?;
            assert!(stage.cluster.marks(&stage.node).await?.is_none(), "{what}");
        }
        End::Nothing => {
            assert_eq!(said(&handler, "notice"), 0, "{what}");
            assert!(stage.cluster.marks(&stage.node).await?.is_none(), "{what}");
        }
    }
    stage.cluster.delete().await
}

const SPOT: &str = "spot-interruption";
const NO_REBALANCE: &str = "--rebalance-delay-sec=100000";
const NO_SPOT: &str = "--mock-delay-sec=100000";

#[tokio::test]
async fn spot_with_a_time() -> Result<()> {
    for action in ["terminate", "stop"] {
        let args = [
            &format!("--action={action}"),
            &format!("--time={}", from_now(40)),
        ];
        let args = args.map(String::as_str);
        play("spot-time", mode("spot", &args, End::Drained(SPOT, action))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn spot_with_a_time_that_moves() -> Result<()> {
    for action in ["terminate", "stop"] {
        let end = End::Drained(SPOT, action);
        let moves = mode("spot", &[&format!("--action={action}")], end);
        play("spot-moves", moves.v1_too()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_hibernation_leaves_no_time_and_takes_the_pods_with_it() -> Result<()> {
    for time in [None, Some(format!("--time={}", from_now(60)))] {
        let stage = Stage::new("hibernate").await?;
        let args: Vec<_> = ["--action=hibernate".to_owned()]
            .into_iter()
            .chain(time)
            .collect();
        let mock = MetadataMock::start(&stage.node.instance_id, Some("spot"), &args, true).await?;
        let handler = stage.handler(&mock.url(), &[]).await?;
        let drained = |marks: &Marks| marks.is(SPOT, "drained");
        let marks = stage
            .cluster
            .wait_marks(&stage.node, "the end", A_WHILE, drained)
            .await?;
        assert_eq!(marks.memory["notice"]["action"], "hibernate");
        let finished = says(&handler, "drain finished").await?;
        assert!(finished["elapsed"].as_f64() < Some(2.0), "{finished}");
        stage.cluster.delete().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rebalance_recommendation() -> Result<()> {
    let kind = "rebalance-recommendation";
    let time = format!("--rebalance-rec-time={}", from_now(-60));
    play("rebalance-told", mode("spot", &[NO_SPOT], End::Told)).await?;
    let cordons = "rebalance-recommendation=cordon,min-age=0s";
    let drains = "rebalance-recommendation=drain,min-age=0s";
    for args in [&[NO_SPOT][..], &[NO_SPOT, &time]] {
        let told = mode("spot", args, End::Cordoned(kind)).flag("--on", cordons);
        play("rebalance-cordon", told).await?;
    }
    let drained = mode("spot", &[NO_SPOT, &time], End::Drained(kind, "none"));
    play("rebalance-drain", drained.flag("--on", drains)).await?;
    // The interruption is weightier.
    let both = mode(
        "spot",
        &["--action=terminate"],
        End::Drained(SPOT, "terminate"),
    );
    play("rebalance-and-spot", both.flag("--on", cordons)).await
}

#[tokio::test]
async fn scheduled_events_of_every_code() -> Result<()> {
    for (code, action) in [
        ("instance-stop", "stop"),
        ("instance-retirement", "terminate"),
        ("instance-reboot", "reboot"),
        ("system-reboot", "reboot"),
        ("system-maintenance", "maintain"),
    ] {
        let end = End::Drained("scheduled-maintenance", action);
        play("event", mode("events", &[&format!("--code={code}")], end)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn scheduled_events_of_every_state_and_for_later() -> Result<()> {
    for state in ["completed", "canceled"] {
        let state = format!("--state={state}");
        play("event-over", mode("events", &[&state], End::Nothing)).await?;
    }
    let later = format!("--not-before={}", from_now(7_200));
    play("event-later", mode("events", &[&later], End::Told)).await?;
    let soon = format!("--not-before={}", from_now(60));
    let drained = End::Drained("scheduled-maintenance", "reboot");
    play("event-soon", mode("events", &[&soon], drained)).await
}

#[tokio::test]
async fn an_auto_scaling_termination() -> Result<()> {
    let end = End::Drained("asg-termination", "terminate");
    play("asg", mode("asglifecycle", &[], end)).await?;
    play("asg-v1", mode("asglifecycle", &[], end).v1_too()).await?;
    let not_yet = ["--asg-termination-delay-sec=100000"];
    play(
        "asg-in-service",
        mode("asglifecycle", &not_yet, End::Nothing),
    )
    .await
}

#[tokio::test]
async fn everything_at_once() -> Result<()> {
    let everything = Mode {
        plays: None,
        args: Vec::new(),
        flags: Vec::new(),
        v2_only: true,
        end: End::Drained(SPOT, "terminate"),
    };
    play("root", everything).await?;
    let everything = Mode {
        plays: None,
        args: Vec::new(),
        flags: Vec::new(),
        v2_only: false,
        end: End::Drained(SPOT, "terminate"),
    };
    play("root-v1", everything).await?;
    let quiet = Mode {
        plays: None,
        args: [NO_SPOT, NO_REBALANCE, "--asg-termination-delay-sec=100000"]
            .map(String::from)
            .into(),
        flags: Vec::new(),
        v2_only: true,
        end: End::Nothing,
    };
    play("root-quiet", quiet).await
}
