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
    /// Only those whose name holds one of these
    #[arg(long)]
    only: Vec<String>,
}

/// In so many seeds nothing is wrong where no bug is planted.
const SOUND: u64 = 2_000;

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
    // In the place where the bugs are planted: what the last run left there counts as changed.
    let tree = field.join("tree");
    match copy_parts(&sound, &tree).and_then(|()| lived(&tree, &field, SOUND)) {
        Ok(None) => {}
        Ok(Some((_, how))) => {
            println!("the workspace itself is wrong: {how}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            println!("the workspace itself: {error}");
            return ExitCode::FAILURE;
        }
    }
    let mut missed = 0;
    let is_wanted =
        |bug: &&Bug| args.only.is_empty() || args.only.iter().any(|only| bug.name.contains(only));
    for bug in BUGS.iter().filter(is_wanted) {
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
    lived(&tree, field, bug.within)
}

/// Builds a tree and lives through so many seeds: how many it were until a rule was broken, and how.
fn lived(tree: &Path, field: &Path, within: u64) -> io::Result<Option<(u64, String)>> {
    let built = cargo(tree, field, &["build", "--quiet"]).output()?;
    if !built.status.success() {
        let words = String::from_utf8_lossy(&built.stderr).into_owned();
        return Err(io::Error::other(words));
    }
    let seeds = format!("0..{within}");
    let run = ["run", "--quiet"];
    let lived = cargo(tree, field, &run)
        .args(["--", "--most-wrong", "1", "--seeds", &seeds])
        .output()?;
    let said = String::from_utf8_lossy(&lived.stdout).into_owned();
    // A seed that could not be lived through breaks no rule.
    let is_wrong = |line: &&str| line.starts_with("seed ") && line.contains(": at ");
    let Some(how) = said.lines().find(is_wrong) else {
        return if lived.status.success() {
            Ok(None)
        } else {
            Err(io::Error::other(said))
        };
    };
    let count = said
        .lines()
        .find_map(|line| line.split_once(" seeds,")?.0.parse().ok());
    Ok(Some((count.unwrap_or(within), how.to_owned())))
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

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Copies what has changed, so that only that is built anew, and takes away what is no more.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for gone in entries(to)? {
            let name = gone.file_name().unwrap_or_default();
            if gone.is_file() && !from.join(name).exists() {
                fs::remove_file(gone)?;
            }
        }
        for path in entries(from)? {
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
