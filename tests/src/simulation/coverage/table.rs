//! What was covered, as a table for each phase.

use std::fmt;

use super::{Coverage, FAULTS, PHASES, REPLIES};

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in PHASES {
            write!(f, "{:<22}", format!("{phase:?}"))?;
            for index in 1..=REPLIES.len() {
                write!(f, "{index:>7}")?;
            }
            writeln!(f)?;
            for fault in FAULTS {
                write!(f, "{fault:<22}")?;
                for reply in REPLIES {
                    write!(f, "{:>7}", self.times((phase, fault, reply)))?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "Of replies to evictions, each in a phase in which its drain had met the fault:"
        )?;
        for (reply, index) in REPLIES.iter().zip(1..) {
            writeln!(f, "{index:>4} {reply}")?;
        }
        Ok(())
    }
}
