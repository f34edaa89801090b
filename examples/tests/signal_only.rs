//! The first example: what it prints, and what it needs.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn it_saves_its_work_in_time() {
    let output = Command::new(env!("CARGO_BIN_EXE_signal-only"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "  0 s  running on i-0123456789abcdef0
  0 s  a notice would be heard
 40 s  a notice would not be heard (overloaded): the metadata service asks for patience with \
/latest/meta-data/spot/instance-action (503); wait; if it lasts, have fewer processes of this \
instance ask less often
 50 s  a notice would be heard
 90 s  terminate in 120 s
 91 s  finished the batch at hand
 94 s  saved: 13 batches are done
"
    );
}

#[test]
fn a_url_that_is_none_is_an_error_that_says_what_to_write() {
    let output = Command::new(env!("CARGO_BIN_EXE_signal-only"))
        .arg("nowhere")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("http://169.254.169.254"), "{said}");
}

#[test]
fn there_is_no_kubernetes_in_its_tree() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("spot-imds"), "{tree}");
    assert!(output.status.success());
    let unwanted = ["kube", "k8s-openapi", "spot-drain", "rustls"];
    let found = tree
        .lines()
        .filter(|l| unwanted.iter().any(|u| l.starts_with(u)));
    assert_eq!(found.collect::<Vec<_>>(), Vec::<&str>::new());
}
