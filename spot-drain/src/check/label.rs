//! The label by which a node says how it was bought.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::placement::Host;

/// The label of spot nodes; `lifecycle=Ec2Spot` unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpotLabel {
    /// The label's key; nodes show their life cycle under it.
    pub key: String,
    /// Its value on spot nodes.
    pub value: String,
}

impl Default for SpotLabel {
    fn default() -> Self {
        Self {
            key: "lifecycle".into(),
            value: "Ec2Spot".into(),
        }
    }
}

impl SpotLabel {
    /// Whether the node is a spot node.
    pub fn is_on(&self, node: &Host) -> bool {
        self.life_cycle(node) == Some(self.value.as_str())
    }

    /// The node's life cycle, where it says one.
    pub fn life_cycle<'a>(&self, node: &'a Host) -> Option<&'a str> {
        node.labels.get(&self.key).map(String::as_str)
    }
}

impl fmt::Display for SpotLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// A label that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("write KEY=VALUE, such as {}", SpotLabel::default())]
pub struct SpotLabelError;

impl FromStr for SpotLabel {
    type Err = SpotLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
                Ok(Self {
                    key: key.to_owned(),
                    value: value.to_owned(),
                })
            }
            _ => Err(SpotLabelError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_and_a_value() {
        let label: SpotLabel = "eks.amazonaws.com/capacityType=SPOT".parse().unwrap();
        assert_eq!(label.key, "eks.amazonaws.com/capacityType");
        assert_eq!(label.to_string(), "eks.amazonaws.com/capacityType=SPOT");
        for wrong in ["", "lifecycle", "=Ec2Spot", "lifecycle=", "a==b", "a=b=c"] {
            let said = wrong.parse::<SpotLabel>().unwrap_err().to_string();
            assert_eq!(said, "write KEY=VALUE, such as lifecycle=Ec2Spot");
        }
    }
}
