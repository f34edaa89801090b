//! The facts of the conformance suite hold on the real API server.

use spot_tests::{
    Result,
    conformance::{RealTarget, groups, record, run},
};

/// Set to write what the real server answers as the facts.
const RECORD: &str = "SPOT_TESTS_RECORD";

#[tokio::test]
async fn the_real_server_answers_as_recorded() -> Result<()> {
    let groups = groups();
    let report = run(&RealTarget::start().await?, &groups).await?;
    if std::env::var_os(RECORD).is_some() {
        return record(&report, &groups);
    }
    println!("real API server\n{report}");
    // Limits are the simulator's: here everything is as recorded.
    let wrong: Vec<_> = report
        .outcomes()
        .filter(|outcome| !outcome.differences.is_empty())
        .map(|outcome| (outcome.case, &outcome.differences))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
