//! Text from outside, made safe to show: escaped, and cut.

/// The longest quotation, in characters, without the mark that it was cut.
const LIMIT: usize = 100;

/// The beginning of `bytes` as printable ASCII on one line: at most about 100 characters, then
/// `…` where something was left out.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        let escaped = byte.escape_ascii();
        // Never half an escape.
        if text.len() + escaped.len() > LIMIT {
            text.push('…');
            return text;
        }
        text.extend(escaped.map(char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(excerpt(b"a\x1b[31m\n\"\xff"), r#"a\x1b[31m\n\"\xff"#);
    }

    proptest! {
        #[test]
        fn anything_becomes_one_short_printable_line(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let text = excerpt(&bytes);
            prop_assert!(text.chars().count() <= LIMIT + 1);
            prop_assert!(text.chars().all(|c| c == '…' || c == ' ' || c.is_ascii_graphic()));
        }
    }
}
