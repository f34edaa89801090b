//! The demo tells its story in order and leaves nothing behind.

use std::process::Command;

#[test]
fn the_demo_saves_a_node() {
    let out = Command::new(env!("CARGO_BIN_EXE_spot-interrupt-handler"))
        .arg("demo")
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mut rest = said.as_str();
    for expected in [
        "pods on spot-1: 11; spot-2: 0; on-demand-1: 0",
        "notice: spot-interruption, terminate, in 119 s",
        "spot-1 is cordoned and tainted",
        "spot-1 (cordoned)",
        "the drain is complete",
        "drain complete after",
        "11 gone, 1 skipped",
        "To try next",
    ] {
        let at = rest
            .find(expected)
            .unwrap_or_else(|| panic!("no {expected:?} in\n{rest}"));
        rest = &rest[at + expected.len()..];
    }
}
