//! The kinds of reasons, by name.

use std::str::FromStr;

/// Writes each name once.
macro_rules! kinds {
    ($($kind:ident = $name:literal),+ $(,)?) => {
        /// The kinds of [`Reason`](super::Reason)s, by which findings are chosen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ReasonKind {
            $(
                #[doc = concat!("[`Reason::", stringify!($kind), "`](super::Reason::", stringify!($kind), ").")]
                $kind,
            )+
        }

        impl ReasonKind {
            /// All of them, the gravest first.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The name in tables, in JSON and in arguments.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    BudgetClosed = "budget-closed",
    TwoBudgets = "two-budgets",
    Grace = "grace",
    NoRoom = "no-room",
    Denied = "denied",
    Crowded = "crowded",
    BudgetSlow = "budget-slow",
    SoleReplica = "sole-replica",
    MadeFirst = "made-first",
    NotMadeFirst = "not-made-first",
    Unmanaged = "unmanaged",
    Orphan = "orphan",
    EmptyDir = "empty-dir",
    Annotation = "annotation",
    OptedOut = "opted-out",
    Untried = "untried",
    BudgetStale = "budget-stale",
    LeftAlone = "left-alone",
    Awaited = "awaited",
    Waits = "waits",
    Last = "last",
    Volumes = "volumes",
}

/// A name that no kind has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("write one of {}", names())]
pub struct ReasonKindError;

fn names() -> String {
    let names = ReasonKind::ALL.iter().map(|kind| kind.as_str());
    names.collect::<Vec<_>>().join(", ")
}

impl FromStr for ReasonKind {
    type Err = ReasonKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = Self::ALL.iter().copied();
        let mut named = all.filter(|kind| kind.as_str() == text);
        named.next().ok_or(ReasonKindError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_name_and_another_word_is_told_all_of_them() {
        for kind in ReasonKind::ALL {
            assert_eq!(kind.as_str().parse::<ReasonKind>().unwrap(), *kind);
        }
        for wrong in ["", "EmptyDir", "empty-dir ", "all"] {
            let said = wrong.parse::<ReasonKind>().unwrap_err().to_string();
            assert!(said.starts_with("write one of budget-closed, two-budgets, "));
            assert!(said.contains(", empty-dir, "), "{said}");
        }
    }
}
