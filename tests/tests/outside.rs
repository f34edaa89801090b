//! A crate outside the workspace tests its own controller with the simulators and its units
//! with the mocks: no Go, no cluster, no network.

use std::{collections::BTreeSet, path::Path, time::Duration};

use spot_tests::{
    Result,
    process::{Process, Spec},
    scratch::Scratch,
};

const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/outside");
/// Below our own, and kept: what it depends on is built once.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/outside");
/// The first build takes minutes on a busy machine.
const LONG: Duration = Duration::from_secs(900);
/// What cargo and the toolchain find their own by.
const ENVIRONMENT: [&str; 4] = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

#[tokio::test]
async fn a_crate_outside_tests_itself_with_simulators_and_mocks() -> Result<()> {
    let scratch = Scratch::new("outside")?;
    let log = scratch.path().join("cargo.log");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(CRATE).join("Cargo.toml");
    let mut spec = Spec::new("cargo", Path::new(&cargo), &log)
        .args(["test", "--offline", "--locked", "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", TARGET);
    for key in ENVIRONMENT {
        if let Some(value) = std::env::var_os(key) {
            spec = spec.env(key, value);
        }
    }
    let process = Process::start(&spec)?;
    let status = process.wait(LONG).await?;
    let log = process.log();
    assert!(status.success(), "{log}");
    // The simulators' three and the mocks' six.
    assert!(passed(&log) >= 9, "{log}");
    Ok(())
}

/// How many tests passed, of all of the crate's test programs.
fn passed(log: &str) -> u32 {
    let results = log.lines().filter_map(|line| {
        let rest = line.strip_prefix("test result: ok. ")?;
        rest.split(' ').next()?.parse::<u32>().ok()
    });
    results.sum()
}

#[test]
fn its_lock_holds_no_version_that_the_workspace_has_not() {
    let read = |path: &str| std::fs::read_to_string(Path::new(CRATE).join(path)).unwrap();
    let (ours, its) = (
        packages(&read("../../Cargo.lock")),
        packages(&read("Cargo.lock")),
    );
    assert!(its.len() > 50);
    let others: Vec<_> = its
        .difference(&ours)
        .filter(|package| !package.starts_with("outside "))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// `name version` of every package of a lock file.
fn packages(lock: &str) -> BTreeSet<String> {
    let entries = lock.split("[[package]]").skip(1);
    let field = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim_matches([' ', '=', '"']).to_owned())
    };
    entries
        .filter_map(|entry| {
            let (name, version) = (field(entry, "name")?, field(entry, "version")?);
            Some(format!("{name} {version}"))
        })
        .collect()
}
