//! Where packets of the metadata service may make one hop only, and a pod is two away.

use std::{ffi::OsStr, path::Path, time::Duration};

use spot_tests::{
    Result,
    image::Image,
    process::{Process, Spec},
    python::Python,
    scratch::Scratch,
    wait::wait_until,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/hops.sh");

/// Runs an image in a pod's network, a router away from a metadata service whose answers may
/// make so many hops, until its log says something; the log. `more` for the script, and for the
/// environment.
pub(crate) async fn says(
    image: &Image,
    hops: u8,
    more: &[&OsStr],
    env: &[(&str, &str)],
    words: &str,
) -> Result<String> {
    // Nobody is there: what is asked here is what it says of the metadata service.
    let kubeconfig = "{apiVersion: v1, kind: Config, current-context: none, \
        clusters: [{name: none, cluster: {server: 'http://127.0.0.1:1'}}], \
        users: [{name: none, user: {}}], \
        contexts: [{name: none, context: {cluster: none, user: none}}]}";
    image.mount("/kubeconfig", kubeconfig)?;
    let python = Python::ensure().await?;
    let log = Scratch::new("hops")?;
    let spec = Spec::new("the pod", Path::new("unshare"), &log.path().join("log"))
        .args(["--map-root-user", "--net", "--mount", "--pid", "--fork"])
        .args(["--kill-child", "bash"])
        .arg(SCRIPT)
        .arg(image.root())
        .arg(hops.to_string())
        .arg(python.program("python"))
        .args(more);
    let spec = env
        .iter()
        .fold(spec, |spec, (key, value)| spec.env(key, value));
    let process = Process::start(&spec)?;
    let log = wait_until(words, A_WHILE, async || {
        let log = process.log();
        if log.contains(words) || !process.is_running() {
            Ok(log)
        } else {
            Err(log)
        }
    })
    .await?;
    process.kill()?;
    Ok(log)
}

#[tokio::test]
async fn one_hop_is_too_few_and_the_error_names_what_to_set() -> Result<()> {
    let words = "http-put-response-hop-limit to 2 or use hostNetwork";
    let log = says(&super::shipped().await?, 1, &[], &[], words).await?;
    assert!(log.contains(words), "{log}");
    assert!(!log.contains("notices can be heard"), "{log}");
    Ok(())
}

#[tokio::test]
async fn two_hops_are_enough() -> Result<()> {
    let log = says(
        &super::shipped().await?,
        2,
        &[],
        &[],
        "notices can be heard",
    )
    .await?;
    assert!(log.contains("notices can be heard"), "{log}");
    assert!(!log.contains("hop-limit"), "{log}");
    Ok(())
}
