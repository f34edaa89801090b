//! `spot-interrupt-handler simulate`, as a user starts it.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spot-interrupt-handler"));
    command.arg("simulate").args(arguments).stdin(Stdio::null());
    command
}

fn outcome(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// A running simulator, killed when dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(&[&["--listen", "127.0.0.1:0"], arguments].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
        }
        let (_, address) = said.split_once("--metadata-url http://").unwrap();
        let address = address.lines().next().unwrap().to_owned();
        Self {
            child,
            out,
            address,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn ask(&self, method: &str, path: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} /latest/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n\r\n"
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn get(&self, path: &str) -> String {
        let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60";
        let reply = self.ask("PUT", "api/token", ttl);
        let token = reply.rsplit("\r\n").next().unwrap();
        let token = format!("X-aws-ec2-metadata-token: {token}");
        self.ask("GET", &format!("meta-data/{path}"), &token)
    }

    /// Sends a signal and says how it ended.
    fn end(&mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_serves_a_notice_tells_of_it_and_ends_well() {
    let mut simulator = Running::start(&[
        "--after",
        "0s",
        "--action",
        "stop",
        "--instance-id",
        "i-0abc",
    ]);
    assert!(simulator.get("instance-id").ends_with("\r\n\r\ni-0abc"));
    assert!(
        simulator
            .get("instance-life-cycle")
            .ends_with("\r\n\r\nspot")
    );
    assert!(
        simulator
            .ask("GET", "meta-data/instance-id", "x: y")
            .contains("401")
    );
    let shown = simulator.line();
    assert!(
        shown.contains("notice shows: spot-interruption, stop at "),
        "{shown}"
    );
    let notice = simulator.get("spot/instance-action");
    assert!(notice.contains(r#"{"action":"stop","time":""#), "{notice}");
    let read = simulator.line();
    assert!(
        read.contains("notice read for the first time: spot-interruption"),
        "{read}"
    );
    assert_eq!(simulator.end("-TERM"), Some(0));
}

#[test]
fn before_its_time_nothing_is_announced() {
    let mut simulator = Running::start(&["--after", "1h", "--kind", "asg-termination"]);
    assert!(
        simulator
            .get("spot/instance-action")
            .starts_with("HTTP/1.1 404")
    );
    let state = simulator.get("autoscaling/target-lifecycle-state");
    assert!(state.ends_with("\r\n\r\nInService"), "{state}");
    assert_eq!(simulator.end("-INT"), Some(0));
}

#[test]
fn what_cannot_be_used_is_64_and_one_line() {
    let taken = Running::start(&[]);
    for (arguments, tip) in [
        (&["--after", "soon"][..], "write a duration such as 30s"),
        (
            &["--listen", "1338"],
            "an address and a port such as 127.0.0.1:1338",
        ),
        (&["--kind", "flood"], "one of spot-interruption"),
        (&["--action", "vaporise"], "terminate, stop, hibernate"),
        (&["--time", "late"], "fixed, moving"),
        (&["--instance-id", "a b"], "write one word"),
        (
            &["--kind", "asg-termination", "--notice", "2m"],
            "leave it out",
        ),
        (
            &["--listen", &taken.address],
            "an address of this host that is free",
        ),
    ] {
        let outcome = outcome(arguments);
        let said = String::from_utf8(outcome.stderr).unwrap();
        assert_eq!(outcome.status.code(), Some(64), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(tip), "{said}");
        assert!(outcome.stdout.is_empty());
    }
}
