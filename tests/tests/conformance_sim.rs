//! The simulator answers as the real API server does, but for the documented limits.

use spot_tests::{
    Result,
    conformance::{SimTarget, groups, run},
};

#[tokio::test(start_paused = true)]
async fn the_simulator_answers_as_the_real_server() -> Result<()> {
    let report = run(&SimTarget::new(), &groups()).await?;
    println!("simulator\n{report}");
    assert_eq!(report.overcome(), [""; 0], "no longer limits");
    let wrong: Vec<_> = report.wrong().iter().map(|outcome| outcome.case).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}
