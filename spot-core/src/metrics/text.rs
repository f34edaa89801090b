//! A registry in the text format that every scraper reads.

use std::fmt::Write as _;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

/// The media type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What `registry` shows, in Prometheus' text format 0.0.4.
///
/// The registry's own encoder writes `OpenMetrics`, in which a counter's help and type go without
/// the `_total` of its samples. To readers of the older format, promtool among them, such samples
/// are of no type and have no help.
pub fn text(registry: &Registry) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = encode_registry(&mut page, registry);
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        // Help comes before the type that says how its name is written.
        let kind = if line.starts_with("# HELP ") {
            lines.peek().copied().unwrap_or_default()
        } else {
            line
        };
        let is_counter = kind.starts_with("# TYPE ") && kind.ends_with(" counter");
        let mut words = line.splitn(4, ' ');
        let _ = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if is_counter => {
                writeln!(out, "# {what} {name}_total {rest}")
            }
            _ => writeln!(out, "{line}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[test]
    fn a_counter_s_help_and_type_are_under_the_name_of_its_samples() {
        let mut registry = Registry::default();
        registry.register("asked", "What was asked", Counter::<u64>::default());
        registry.register("counter", "A counter", Gauge::<i64>::default());
        let expected = "\
            # HELP asked_total What was asked.\n\
            # TYPE asked_total counter\n\
            asked_total 0\n\
            # HELP counter A counter.\n\
            # TYPE counter gauge\n\
            counter 0\n";
        assert_eq!(text(&registry), expected);
    }
}
