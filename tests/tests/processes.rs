//! The harness itself: processes, and what becomes of them.

use std::time::Duration;

use spot_tests::{
    Result,
    clock::wall_now,
    cluster::{Cluster, NodeSpec, Workload},
    control_plane::{ControlPlane, Part},
    metadata_mock::{Action, MetadataMock},
    process::{Process, Spec},
    resources,
    scratch::Scratch,
    tools::cache_dir,
    wait::wait_until,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_api_server_can_be_paused_stopped_and_started_again() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let cluster = Cluster::create(&plane.client("admin")?, "outage").await?;
    cluster.add_node(&NodeSpec::spot("only")).await?;
    let look = || tokio::time::timeout(Duration::from_secs(2), cluster.pods("web"));

    plane.pause(Part::ApiServer)?;
    assert!(look().await.is_err(), "a paused API server answered");
    plane.resume(Part::ApiServer)?;
    assert!(look().await.is_ok_and(|pods| pods.is_ok()));

    plane.kill(Part::ApiServer)?;
    assert!(
        look().await.is_ok_and(|pods| pods.is_err()),
        "a dead API server answered"
    );
    plane.restart(Part::ApiServer).await?;
    // Not from memory: controllers, scheduler and kubelets have found it again.
    cluster.deploy(&Workload::new("web", 2)).await?;
    cluster.wait_ready("web", 2).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_running_when_a_process_is_killed() -> Result<()> {
    // A process of its own, with a control plane of its own, that cannot clean up.
    let scratch = Scratch::new("orphans")?;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_control-plane"));
    let mut spec = Spec::new("control-plane", program, &scratch.path().join("log"));
    for (key, value) in [
        (
            "XDG_CACHE_HOME",
            cache_dir()?.parent().map(std::path::Path::to_owned),
        ),
        (
            "KUBEBUILDER_ASSETS",
            std::env::var_os("KUBEBUILDER_ASSETS").map(Into::into),
        ),
        ("TMPDIR", Some(std::env::temp_dir())),
    ] {
        if let Some(value) = value {
            spec = spec.env(key, value);
        }
    }
    let process = Process::start(&spec)?;
    let parts = wait_until("a control plane", 2 * A_WHILE, async || {
        let log = process.log();
        let pids = |line: &str| line.split_once(": process ")?.1.parse::<u32>().ok();
        let pids: Vec<u32> = log.lines().filter_map(pids).collect();
        let ready = log.contains("ready; end it with Ctrl-C");
        if ready { Ok(pids) } else { Err(log) }
    })
    .await?;
    assert_eq!(parts.len(), Part::ALL.len());
    assert!(
        parts.iter().all(|pid| resources::is_alive(*pid)),
        "{parts:?}"
    );
    process.kill()?;
    wait_until("end of all parts", A_WHILE, async || {
        let alive: Vec<_> = parts
            .iter()
            .filter(|pid| resources::is_alive(**pid))
            .collect();
        if alive.is_empty() {
            Ok(())
        } else {
            Err(format!("alive: {alive:?}"))
        }
    })
    .await
}

#[tokio::test]
async fn a_process_outlives_the_thread_that_started_it() -> Result<()> {
    let scratch = Scratch::new("thread")?;
    let log = scratch.path().join("log");
    let spec = Spec::new("sleep", std::path::Path::new("sleep"), &log).arg("60");
    let started = std::thread::spawn(move || {
        let process = Process::start(&spec);
        // Until the child has asked for its signal.
        std::thread::sleep(Duration::from_millis(500));
        process
    })
    .join();
    let process = started.expect("the thread ends well")?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(process.is_running(), "{:?}", process.exit_status());
    let pid = process.pid();
    process.pause()?;
    drop(process);
    assert!(!resources::is_alive(pid));
    Ok(())
}

#[tokio::test]
async fn memory_and_processor_time_are_read() -> Result<()> {
    let own = std::process::id();
    assert!(resources::resident_bytes(own)? > 1 << 20);
    assert!(resources::peak_resident_bytes(own)? >= resources::resident_bytes(own)? / 2);
    let share = resources::cpu_share(own, Duration::from_millis(200)).await?;
    assert!((0.0..64.0).contains(&share), "{share}");
    Ok(())
}

#[tokio::test]
async fn the_metadata_mock_shows_one_notice_with_a_fixed_time() -> Result<()> {
    let mock = MetadataMock::spot("i-0a", Action::Stop, A_WHILE, Duration::from_secs(2)).await?;
    assert_eq!(mock.get("instance-id").await?, (200, "i-0a".into()));
    assert_eq!(mock.get("instance-life-cycle").await?, (200, "spot".into()));
    assert_eq!(mock.get("spot/instance-action").await?.0, 404);
    let notice = wait_until("a notice", A_WHILE, async || {
        match mock
            .get("spot/instance-action")
            .await
            .map_err(|error| error.to_string())?
        {
            (200, notice) => Ok(notice),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    assert!(notice.contains(r#""stop""#), "{notice}");
    let times = mock.notice().unwrap();
    assert!(
        notice.contains(&times.deadline.to_string()),
        "{notice} {times:?}"
    );
    assert!(wall_now() >= times.shows_at);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(mock.get("spot/instance-action").await?, (200, notice));
    Ok(())
}
