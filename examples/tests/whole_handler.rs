//! The whole handler: what its observer prints.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn its_observer_hears_of_everything() {
    let output = Command::new(env!("CARGO_BIN_EXE_whole-handler"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let (course, end) = said.split_at(said.find(" s  drain complete").unwrap());
    assert!(
        course.starts_with(
            "  0.0 s  we run on i-0123456789abcdef0
  0.0 s  notices can be heard
  0.0 s  spot-1 is that instance
  6.8 s  a notice now would be acted on
 10.0 s  spot-interruption: terminate in 120 s; drain
 10.0 s  drain for spot-interruption
 10.0 s  node cordoned and tainted (Draining)
"
        ),
        "{said}"
    );
    // How long it takes is the drain's affair, as long as it is in time.
    let took: f64 = course.lines().last().unwrap().trim().parse().unwrap();
    assert!((18.0..130.0).contains(&took), "{said}");
    let end: Vec<&str> = end.lines().collect();
    assert_eq!(
        end[0],
        " s  drain complete, of 6 pods {\"gone\": 5, \"skipped\": 1}"
    );
    assert!(
        end[1].ends_with("node cordoned and tainted (Drained)"),
        "{said}"
    );
    assert_eq!(end.len(), 2, "{said}");
}
