//! Amounts of resources, in thousandths.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Amounts by the name of their resource (`cpu`, `memory`, `pods`, …), in thousandths of its unit:
/// half a processor is 500, a kibibyte 1,024,000.
///
/// Amounts of more than 18 petabytes count as that much; one that cannot be read counts as none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, Written>")]
pub struct Resources(BTreeMap<String, u64>);

/// A quantity as somebody wrote it, not always as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(f64),
    Other(serde::de::IgnoredAny),
}

impl From<BTreeMap<String, Written>> for Resources {
    fn from(written: BTreeMap<String, Written>) -> Self {
        let read = |text: Written| match text {
            Written::Text(text) => thousandths(&text),
            Written::Number(number) => thousandths(&number.to_string()),
            Written::Other(_) => None,
        };
        let amounts = written.into_iter();
        Self(amounts.filter_map(|(k, v)| Some((k, read(v)?))).collect())
    }
}

impl Resources {
    /// An amount written as a Kubernetes quantity, such as `250m` or `1Gi`, besides those that are
    /// there.
    #[must_use]
    pub fn with(mut self, name: &str, quantity: &str) -> Self {
        let amount = thousandths(quantity).unwrap_or_default();
        self.0.insert(name.to_owned(), amount);
        self
    }

    /// How much there is of a resource, in thousandths.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The amounts, in thousandths.
    pub fn amounts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(super) fn set(&mut self, name: &str, amount: u64) {
        self.0.insert(name.to_owned(), amount);
    }

    /// As much more.
    pub(super) fn add(&mut self, other: &Self) {
        for (name, amount) in other.amounts() {
            let all = self.of(name).saturating_add(amount);
            self.set(name, all);
        }
    }

    /// As much less; there is never less than nothing.
    pub(super) fn take(&mut self, other: &Self) {
        for (name, amount) in other.amounts() {
            if let Some(left) = self.0.get_mut(name) {
                *left = left.saturating_sub(amount);
            }
        }
    }

    /// Of each the larger one.
    pub(super) fn at_least(&mut self, other: &Self) {
        for (name, amount) in other.amounts() {
            self.set(name, self.of(name).max(amount));
        }
    }

    /// The first resource of which `wanted` has more than this.
    pub(super) fn lacks<'a>(&self, wanted: &'a Self) -> Option<&'a str> {
        let mut wanted = wanted.amounts();
        wanted.find_map(|(name, amount)| (amount > self.of(name)).then_some(name))
    }
}

/// Reads a quantity (Kubernetes API, `Quantity`), rounded up to a thousandth.
fn thousandths(text: &str) -> Option<u64> {
    let text = text.trim().strip_prefix('+').unwrap_or(text.trim());
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = text.split_at(digits.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (binary, power) = match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let mut amount = digits.saturating_mul(1 << binary);
    let power = power.checked_add(3)?.checked_sub(places)?;
    let factor = 10_u128.saturating_pow(power.unsigned_abs());
    amount = if power < 0 {
        amount.div_ceil(factor)
    } else {
        amount.saturating_mul(factor)
    };
    Some(u64::try_from(amount).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("250m", Some(250)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("128Mi", Some(134_217_728_000)),
            ("2k", Some(2_000_000)),
            ("1e3", Some(1_000_000)),
            ("12E2", Some(1_200_000)),
            ("1u", Some(1)),
            ("1000001u", Some(1001)),
            ("64Ei", Some(u64::MAX)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1Zi", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_a_quantity_too_and_nonsense_is_none() {
        let text = r#"{"cpu": 2, "memory": "1Ki", "pods": [], "other": "many"}"#;
        let read: Resources = serde_json::from_str(text).unwrap();
        let expected = Resources::default().with("cpu", "2").with("memory", "1Ki");
        assert_eq!(read, expected);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[-+0-9.eEnumkKMGTPi]{0,24}") {
            let _ = thousandths(&text);
        }

        #[test]
        fn what_was_taken_is_lacking(have in 0u32..1000, want in 0u32..1000) {
            let of = |n: u32| Resources::default().with("cpu", &n.to_string());
            prop_assert_eq!(of(have).lacks(&of(want)).is_none(), want <= have);
            let mut left = of(have);
            left.take(&of(want));
            prop_assert_eq!(left, of(have.saturating_sub(want)));
        }
    }
}
