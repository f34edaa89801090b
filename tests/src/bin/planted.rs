//! Plants one bug after the other in a copy of the workspace, and counts the seeds until the
//! simulation finds it: `cargo run -p spot-tests --bin planted`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Parser;
use spot_tests::planted::{BUGS, Bug};

/// Counts the seeds until planted bugs are found
#[derive(Parser)]
struct Planted {
    /// Only those whose name holds this
    #[arg(long, default_value = "")]
    only: String,
}

/// What a build needs.
const PARTS: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    "spot-core",
    "spot-imds",
    "spot-drain",
    "spot-bin",
    "examples",
    "tests",
];

fn main() -> ExitCode {
    let args = Planted::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let field = root.join("target/planted");
    // What is edited meanwhile is of no concern.
    let sound = field.join("sound");
    if let Err(error) = copy_parts(&root, &sound) {
        println!("the workspace could not be copied: {error}");
        return ExitCode::FAILURE;
    }
    let mut missed = 0;
    let bugs = BUGS.iter().filter(|bug| bug.name.contains(&args.only));
    for bug in bugs {
        match found(&sound, &field, bug) {
            Ok(Some((seeds, how))) => println!("{seeds:>6}  {}\n        {how}", bug.name),
            Ok(None) => {
                missed += 1;
                println!("NOT in {} seeds: {}", bug.within, bug.name);
            }
            Err(error) => {
                missed += 1;
                println!("{}: {error}", bug.name);
            }
        }
    }
    if missed > 0 {
        println!("{missed} bugs were not found");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The seeds until it was found, and by what.
fn found(sound: &Path, field: &Path, bug: &Bug) -> io::Result<Option<(u64, String)>> {
    let tree = field.join("tree");
    copy_parts(sound, &tree)?;
    let file = tree.join(bug.file);
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replacen(bug.find, bug.put, 1))?;
    let built = cargo(&tree, field, &["build", "--quiet"]).output()?;
    if !built.status.success() {
        let words = String::from_utf8_lossy(&built.stderr).into_owned();
        return Err(io::Error::other(words));
    }
    let seeds = format!("0..{}", bug.within);
    let run = ["run", "--quiet"];
    let lived = cargo(&tree, field, &run)
        .args(["--", "--most-wrong", "1", "--seeds", &seeds])
        .output()?;
    let said = String::from_utf8_lossy(&lived.stdout).into_owned();
    let Some(how) = said.lines().find(|line| line.starts_with("seed ")) else {
        return Ok(None);
    };
    let count = said
        .lines()
        .find_map(|line| line.split_once(" seeds,")?.0.parse().ok());
    Ok(Some((count.unwrap_or(bug.within), how.to_owned())))
}

fn cargo(tree: &Path, field: &Path, command: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", field.join("build"))
        .args(command)
        .args(["--profile", "planted", "--package", "spot-tests"])
        .args(["--bin", "simulate"]);
    cargo
}

fn copy_parts(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    PARTS
        .iter()
        .try_for_each(|part| copy(&from.join(part), &to.join(part)))
}

/// Copies what has changed, so that only that is built anew.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        let entries: io::Result<Vec<PathBuf>> =
            fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect();
        for path in entries? {
            if let Some(name) = path.file_name().filter(|name| *name != "target") {
                copy(&path, &to.join(name))?;
            }
        }
        return Ok(());
    }
    let new = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    fs::write(to, new)
}
