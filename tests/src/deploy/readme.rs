//! The table of values in the chart's README, out of `values.yaml` and its comments.

use serde_json::Value;

use crate::{Error, Result};

const BEGIN: &str = "<!-- values: written by `cargo run -p spot-tests --bin deploy` -->\n";
const END: &str = "<!-- end of values -->\n";

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path, as in `image.tag`.
    pub path: String,
    /// What it is unless set, as JSON.
    pub default: String,
    /// Its comment.
    pub what: String,
}

/// The values in their order. What has a comment is one value, with all that is below it; what has
/// none, or whose parts have comments of their own, is only their heading.
///
/// # Errors
/// When it is no YAML, or not indented by two.
pub fn rows(values: &str) -> Result<Vec<Row>> {
    let parsed: Value =
        serde_saphyr::from_str(values).map_err(|error| Error::Usage(error.to_string()))?;
    let mut rows: Vec<Row> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut comment = String::new();
    // What is deeper than this belongs to the last row.
    let mut within = None;
    let mut lines = values.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        if let Some(words) = text.strip_prefix('#') {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(words.trim());
            continue;
        }
        let key = text.split_once(':').map(|(key, _)| key);
        let key = key.filter(|key| !key.starts_with('-') && !key.contains([' ', '"']));
        let (Some(key), false) = (key, within.is_some_and(|row| depth > row)) else {
            // A blank line parts a comment from what follows.
            comment.clear();
            continue;
        };
        path.truncate(depth);
        path.push(key);
        let below = path.iter().fold(&parsed, |value, key| &value[*key]);
        let parts = below.as_object().is_some_and(|parts| !parts.is_empty());
        let explained = lines
            .peek()
            .is_some_and(|next| next.starts_with("  ") && next.trim_start().starts_with('#'));
        let heads = parts && (comment.is_empty() || explained);
        let what = std::mem::take(&mut comment);
        within = (!heads).then_some(depth);
        if !heads {
            rows.push(Row {
                path: path.join("."),
                default: below.to_string(),
                what,
            });
        }
    }
    Ok(rows)
}

/// A README with the table of values between its marks written anew.
///
/// # Errors
/// When the marks are not there, or the values cannot be read.
pub fn with_values(readme: &str, values: &str) -> Result<String> {
    let marks = || Error::Usage("the README has no marks for the values".into());
    let (head, rest) = readme.split_once(BEGIN).ok_or_else(marks)?;
    let (_, tail) = rest.split_once(END).ok_or_else(marks)?;
    let mut table = String::from("| value | default | what it is for |\n|---|---|---|\n");
    for Row {
        path,
        default,
        what,
    } in rows(values)?
    {
        let what = what.replace('|', "\\|");
        table.extend(["| `", &path, "` | `", &default, "` | ", &what, " |\n"]);
    }
    Ok(format!("{head}{BEGIN}{table}{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_makes_a_value_and_what_is_below_it_part_of_it() {
        let values = "# About all.\n\nimage:\n  # Which\n  # one\n  tag: \"\"\n# All\nhandler:\n  # How\n  pdb: respect\n# Strict\nsecurity:\n  \
            user: 1\n  drop: [ALL]\n# Where\ntolerations:\n  - operator: Exists\n# Left out\nlast: {}\n";
        let row = |path: &str, default: &str, what: &str| Row {
            path: path.into(),
            default: default.into(),
            what: what.into(),
        };
        let expected = [
            row("image.tag", "\"\"", "Which one"),
            row("handler.pdb", "\"respect\"", "How"),
            row("security", r#"{"drop":["ALL"],"user":1}"#, "Strict"),
            row("tolerations", r#"[{"operator":"Exists"}]"#, "Where"),
            row("last", "{}", "Left out"),
        ];
        assert_eq!(rows(values).unwrap(), expected);
    }
}
