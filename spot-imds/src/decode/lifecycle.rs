//! `autoscaling/target-lifecycle-state`: what an Auto Scaling group wants of the instance.

use super::{DecodeError, value};

/// The state that an Auto Scaling group is bringing the instance to (EC2 Auto Scaling User
/// Guide, "Retrieve the target lifecycle state through instance metadata").
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifecycleState {
    /// It works.
    InService,
    /// It is set aside, and stays.
    Standby,
    /// It leaves the group, and stays.
    Detached,
    /// It is to end.
    Terminated,
    /// It is in a warm pool, in this state; `Terminated` is to end.
    Warmed(String),
    /// A state that nobody knows.
    Unknown(String),
}

impl LifecycleState {
    /// Whether the instance is to end.
    pub fn is_terminated(&self) -> bool {
        match self {
            Self::Terminated => true,
            Self::Warmed(state) => state.eq_ignore_ascii_case("Terminated"),
            _ => false,
        }
    }
}

/// Reads the body of `autoscaling/target-lifecycle-state`.
///
/// # Errors
/// [`DecodeError`], where it is not one plain word.
///
/// ```
/// use spot_imds::decode::{LifecycleState, lifecycle_state};
///
/// assert_eq!(lifecycle_state(b"InService").unwrap(), LifecycleState::InService);
/// assert!(lifecycle_state(b"Warmed:Terminated").unwrap().is_terminated());
/// ```
pub fn lifecycle_state(body: &[u8]) -> Result<LifecycleState, DecodeError> {
    let state = value(body)?;
    let known = [
        ("InService", LifecycleState::InService),
        ("Standby", LifecycleState::Standby),
        ("Detached", LifecycleState::Detached),
        ("Terminated", LifecycleState::Terminated),
    ];
    let known = known
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&state));
    Ok(match (known, state.split_once(':')) {
        (Some((_, known)), _) => known,
        (None, Some((pool, within))) if pool.eq_ignore_ascii_case("Warmed") => {
            LifecycleState::Warmed(within.to_owned())
        }
        (None, _) => LifecycleState::Unknown(state),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_states_are_an_end_and_no_other() {
        let read = |body: &str| lifecycle_state(body.as_bytes()).unwrap();
        for end in ["Terminated", " Terminated\n", "Warmed:Terminated"] {
            assert!(read(end).is_terminated(), "{end}");
        }
        for other in [
            "InService",
            "Standby",
            "Detached",
            "Warmed:Stopped",
            "Warmed:Running",
            "Warmed:Hibernated",
            "Warmed:Terminating:Wait",
            "Warmed:",
            "Terminating",
            "Terminated:Proceed",
            "Cooled:Terminated",
        ] {
            assert!(!read(other).is_terminated(), "{other}");
        }
        assert_eq!(read("Detached"), LifecycleState::Detached);
        assert_eq!(read("Resting"), LifecycleState::Unknown("Resting".into()));
    }

    #[test]
    fn anything_but_a_word_is_an_error() {
        assert_eq!(lifecycle_state(b""), Err(DecodeError::Empty));
        assert!(lifecycle_state(b"<html>").is_err());
    }
}
