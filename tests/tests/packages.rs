//! The crates as `cargo package` makes them build and pass their own tests outside the workspace:
//! no file is missing from them, and nothing that they need is only here.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use spot_tests::{
    Result,
    process::{Process, Spec},
    scratch::Scratch,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Below our own, and kept: what they depend on is built once.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/packages");
const CRATES: [&str; 4] = ["spot-core", "spot-imds", "spot-drain", "spot-bin"];
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The first build takes minutes on a busy machine.
const LONG: Duration = Duration::from_secs(1_200);
/// What cargo and the toolchain find their own by.
const ENVIRONMENT: [&str; 4] = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

/// Runs a program to its end; what it wrote.
async fn run(scratch: &Scratch, program: &Path, args: &[&str]) -> Result<String> {
    let log = scratch.path().join("log");
    let mut spec = Spec::new("a tool", program, &log).args(args);
    for key in ENVIRONMENT {
        if let Some(value) = std::env::var_os(key) {
            spec = spec.env(key, value);
        }
    }
    let process = Process::start(&spec)?;
    let status = process.wait(LONG).await?;
    let log = process.log();
    assert!(status.success(), "{args:?}: {log}");
    Ok(log)
}

#[tokio::test]
async fn the_packaged_crates_pass_their_own_tests_elsewhere() -> Result<()> {
    let scratch = Scratch::new("packages")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let cargo = Path::new(&cargo);
    let root = format!("{ROOT}/Cargo.toml");
    let packed = format!("{KEPT}/packed");
    let mut pack = vec![
        "package",
        "--no-verify",
        "--allow-dirty",
        "--offline",
        "--quiet",
    ];
    pack.extend(["--manifest-path", &root, "--target-dir", &packed]);
    for name in CRATES {
        pack.extend(["--package", name]);
    }
    run(&scratch, cargo, &pack).await?;

    // In the same place each time, so that only what has changed is built anew.
    let elsewhere = PathBuf::from(KEPT).join("elsewhere");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere).unwrap();
    }
    fs::create_dir_all(&elsewhere).unwrap();
    for name in CRATES {
        let archive = format!("{packed}/package/{name}-{VERSION}.crate");
        let into = elsewhere.to_str().unwrap();
        // Cargo packs all files with one fixed time, by which it would not see that they changed.
        let unpack = ["--touch", "-xzf", &archive, "-C", into];
        run(&scratch, Path::new("tar"), &unpack).await?;
    }
    fs::write(elsewhere.join("Cargo.toml"), workspace()).unwrap();
    fs::copy(format!("{ROOT}/Cargo.lock"), elsewhere.join("Cargo.lock")).unwrap();

    let manifest = elsewhere.join("Cargo.toml");
    let manifest = manifest.to_str().unwrap();
    let target = format!("{KEPT}/target");
    let test = ["test", "--offline", "--quiet", "--manifest-path", manifest];
    let all = [
        "--target-dir",
        &target,
        "--workspace",
        "--features",
        FEATURES,
    ];
    let log = run(&scratch, cargo, &[&test[..], &all].concat()).await?;
    assert!(passed(&log) > 500, "{log}");
    Ok(())
}

/// Those that the tests ask for.
const FEATURES: &str = "spot-core/sim,spot-core/mock,spot-core/clap,spot-core/webhook,\
    spot-imds/sim,spot-imds/clap,spot-drain/sim,spot-drain/mock,spot-drain/clap";

/// A workspace of the crates as they were packaged, each found where a registry would have it.
fn workspace() -> String {
    let at = |name: &str| format!("{name}-{VERSION}");
    let members: Vec<String> = CRATES
        .iter()
        .map(|name| format!("{:?}", at(name)))
        .collect();
    let found: Vec<String> = CRATES
        .iter()
        .map(|name| format!("{name} = {{ path = {:?} }}", at(name)))
        .collect();
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[patch.crates-io]\n{}\n",
        members.join(", "),
        found.join("\n")
    )
}

/// How many tests passed, of all test programs.
fn passed(log: &str) -> u32 {
    let results = log.lines().filter_map(|line| {
        let rest = line.strip_prefix("test result: ok. ")?;
        rest.split(' ').next()?.parse::<u32>().ok()
    });
    results.sum()
}
