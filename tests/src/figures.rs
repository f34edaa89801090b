//! What a drain cost, as the API server's audit log has it: for benches and comparisons.

use std::time::Duration;

use jiff::Timestamp;

use crate::audit::Request;

/// A drain by one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainFigures {
    /// When the first change of a node was accepted.
    pub cordoned: Option<Timestamp>,
    /// When the first eviction was accepted.
    pub first_eviction: Option<Timestamp>,
    /// When the last eviction was accepted.
    pub last_eviction: Option<Timestamp>,
    /// Evictions that were accepted.
    pub evicted: usize,
    /// Evictions that were refused with 429.
    pub refused: usize,
    /// All requests, these among them.
    pub requests: usize,
}

impl DrainFigures {
    /// Reads them out of one user's requests.
    pub fn of(requests: &[Request]) -> Self {
        let mut figures = Self {
            requests: requests.len(),
            ..Self::default()
        };
        for request in requests {
            let changes_node =
                request.resource == "nodes" && ["patch", "update"].contains(&request.verb.as_str());
            let accepted = (200..300).contains(&request.code);
            if changes_node && accepted {
                figures.cordoned = Some(earlier(figures.cordoned, request.answered));
            } else if request.has_evicted() {
                figures.evicted += 1;
                figures.first_eviction = Some(earlier(figures.first_eviction, request.answered));
                figures.last_eviction = figures.last_eviction.max(Some(request.answered));
            } else if request.is_eviction() && request.code == 429 {
                figures.refused += 1;
            }
        }
        figures
    }

    /// From the accepted cordon to the first accepted eviction; zero if that was faster.
    pub fn cordon_to_first_eviction(&self) -> Option<Duration> {
        Some(between(self.cordoned?, self.first_eviction?))
    }

    /// From the accepted cordon to the last accepted eviction; zero if an eviction was faster.
    pub fn cordon_to_last_eviction(&self) -> Option<Duration> {
        Some(between(self.cordoned?, self.last_eviction?))
    }
}

/// How long it is from one wall-clock time to another; zero if they are the other way round.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

/// The middle one of some durations (the upper of two), and the longest.
pub fn median_and_max(durations: &[Duration]) -> Option<(Duration, Duration)> {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}

/// The duration that `percent` of some durations do not exceed (nearest rank).
pub fn percentile(durations: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn earlier(known: Option<Timestamp>, seen: Timestamp) -> Timestamp {
    known.map_or(seen, |known| known.min(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str, subresource: &str, code: u16, second: i64) -> Request {
        let at = Timestamp::from_second(second).unwrap();
        Request {
            user: "handler".into(),
            impersonated: None,
            bound_to: None,
            group: String::new(),
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: String::new(),
            name: String::new(),
            uid: None,
            uri: String::new(),
            code,
            received: at,
            answered: at,
        }
    }

    #[test]
    fn a_drain_is_measured_by_what_was_accepted() {
        let requests = [
            request("patch", "nodes", "", 409, 1),
            request("patch", "nodes", "", 200, 2),
            request("create", "pods", "eviction", 201, 3),
            request("create", "pods", "eviction", 429, 4),
            request("create", "pods", "eviction", 201, 7),
            request("create", "pods", "eviction", 429, 9),
        ];
        let figures = DrainFigures::of(&requests);
        assert_eq!(
            (figures.evicted, figures.refused, figures.requests),
            (2, 2, 6)
        );
        assert_eq!(
            figures.cordon_to_first_eviction(),
            Some(Duration::from_secs(1))
        );
        assert_eq!(
            figures.cordon_to_last_eviction(),
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn the_median_of_nothing_is_nothing() {
        assert_eq!(median_and_max(&[]), None);
        let three = [3, 1, 2].map(Duration::from_secs);
        assert_eq!(median_and_max(&three), Some((three[2], three[0])));
    }

    #[test]
    fn a_percentile_is_one_of_the_durations() {
        assert_eq!(percentile(&[], 99), None);
        let hundred: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(percentile(&hundred, 99), Some(Duration::from_secs(99)));
        assert_eq!(percentile(&hundred, 100), Some(Duration::from_secs(100)));
        assert_eq!(percentile(&hundred[..1], 50), Some(Duration::from_secs(1)));
    }
}
