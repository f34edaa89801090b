//! What came of a run.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::case::Group;

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub case: &'static str,
    /// What was answered, with symbols; empty if it did not run.
    pub transcript: Vec<Value>,
    /// Where that is not what the real server answered.
    pub differences: Vec<String>,
    /// Why it may differ on a simulator.
    pub limit: Option<&'static str>,
}

/// What came of all cases. Its `Display` is a table.
#[derive(Debug, Default)]
pub struct Report {
    groups: Vec<(&'static str, Vec<Outcome>)>,
}

impl Report {
    pub(super) fn add(&mut self, group: &'static str, outcome: Outcome) {
        match self.groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => self.groups.push((group, vec![outcome])),
        }
    }

    /// Into the order of the sources.
    pub(super) fn sort(&mut self, groups: &[Group]) {
        let order: BTreeMap<_, _> = groups
            .iter()
            .flat_map(|group| &group.cases)
            .enumerate()
            .map(|(index, case)| (case.name, index))
            .collect();
        for (_, outcomes) in &mut self.groups {
            outcomes.sort_by_key(|outcome| order.get(outcome.case));
        }
        self.groups
            .sort_by_key(|(_, outcomes)| outcomes.first().and_then(|one| order.get(one.case)));
    }

    pub(super) fn of(&self, group: &str) -> impl Iterator<Item = &Outcome> {
        self.groups
            .iter()
            .filter(move |(name, _)| *name == group)
            .flat_map(|(_, outcomes)| outcomes)
    }

    /// All outcomes.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.groups.iter().flat_map(|(_, outcomes)| outcomes)
    }

    /// Those that differ and may not.
    pub fn wrong(&self) -> Vec<&Outcome> {
        self.outcomes()
            .filter(|outcome| outcome.limit.is_none() && !outcome.differences.is_empty())
            .collect()
    }

    /// Documented limits that no longer are any.
    pub fn overcome(&self) -> Vec<&'static str> {
        self.outcomes()
            .filter(|outcome| outcome.limit.is_some() && outcome.differences.is_empty())
            .map(|outcome| outcome.case)
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, outcomes: &[&Outcome]| {
            let equal = outcomes.iter().filter(|o| o.differences.is_empty());
            let limits = outcomes
                .iter()
                .filter(|o| o.limit.is_some() && !o.differences.is_empty());
            let (all, equal, limits) = (outcomes.len(), equal.count(), limits.count());
            let wrong = all - equal - limits;
            writeln!(f, "{name:12}{all:>7}{equal:>7}{limits:>8}{wrong:>8}")
        };
        writeln!(f, "group         cases  equal  limits   wrong")?;
        for (name, outcomes) in &self.groups {
            line(f, name, &outcomes.iter().collect::<Vec<_>>())?;
        }
        line(f, "all", &self.outcomes().collect::<Vec<_>>())?;
        for outcome in self.outcomes() {
            match outcome.limit {
                Some(reason) if !outcome.differences.is_empty() => {
                    writeln!(f, "limit: {}: {reason}", outcome.case)?;
                }
                _ => {}
            }
        }
        for outcome in self.wrong() {
            writeln!(f, "{}", outcome.case)?;
            for difference in &outcome.differences {
                writeln!(f, "    {difference}")?;
            }
        }
        Ok(())
    }
}
