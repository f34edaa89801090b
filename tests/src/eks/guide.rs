//! The commands of the guide, taken from its Markdown.
//!
//! A block of commands has a name in a comment on the line above it:
//!
//! ````text
//! <!-- run: launch -->
//! ```sh
//! aws cloudformation create-stack …
//! ```
//! ````

use std::path::Path;

use super::EXAMPLE;
use crate::{Error, Result, error::Context as _};

const MARK: &str = "<!-- run: ";
const OPEN: &str = "```sh";
const CLOSE: &str = "```";

/// A guide's blocks, in their order.
#[derive(Clone, Debug)]
pub struct Guide {
    blocks: Vec<(String, String)>,
}

impl Guide {
    /// The guide of `examples/eks`.
    ///
    /// # Errors
    /// When it cannot be read, or a block has no name, or a name no block, or two have one name.
    pub fn read() -> Result<Self> {
        let path = Path::new(EXAMPLE).join("README.md");
        let text = std::fs::read_to_string(&path).context(format!("read {}", path.display()))?;
        Self::parse(&text)
    }

    /// The blocks of a Markdown text.
    ///
    /// # Errors
    /// As [`Guide::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let mut blocks: Vec<(String, String)> = Vec::new();
        let mut lines = text.lines();
        let mut name = None;
        while let Some(line) = lines.next() {
            if let Some(mark) = line.strip_prefix(MARK) {
                name = Some(mark.trim_end_matches("-->").trim().to_owned());
                continue;
            }
            match (line == OPEN, name.take()) {
                (true, Some(name)) if blocks.iter().all(|(other, _)| *other != name) => {
                    let commands = lines.by_ref().take_while(|line| *line != CLOSE);
                    let commands = commands.flat_map(|line| [line, "\n"]).collect();
                    blocks.push((name, commands));
                }
                (true, Some(name)) => return Err(wrong(&format!("two blocks are called {name}"))),
                (true, None) => return Err(wrong("a block of commands has no name above it")),
                (false, Some(name)) => return Err(wrong(&format!("no block follows {name}"))),
                (false, None) => {}
            }
        }
        Ok(Self { blocks })
    }

    /// The names of all blocks, in their order.
    pub fn names(&self) -> Vec<&str> {
        self.blocks.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The commands of the block `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn commands(&self, name: &str) -> Result<&str> {
        let block = self.blocks.iter().find(|(other, _)| other == name);
        block
            .map(|(_, commands)| commands.as_str())
            .ok_or_else(|| wrong(&format!("no block is called {name}")))
    }
}

fn wrong(what: &str) -> Error {
    Error::Usage(format!("the guide: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_their_order() {
        let text = "# A\n<!-- run: one -->\n```sh\na \\\n  b\n```\nwords\n\n```text\nno\n```\n\
                    <!-- run: two -->\n```sh\nc\n```\n";
        let guide = Guide::parse(text).unwrap();
        assert_eq!(guide.names(), ["one", "two"]);
        assert_eq!(guide.commands("one").unwrap(), "a \\\n  b\n");
    }

    #[test]
    fn no_command_can_be_left_out_by_mistake() {
        for text in [
            "```sh\na\n```\n",
            "<!-- run: a -->\n\n```sh\na\n```\n",
            "<!-- run: a -->\n```sh\n```\n<!-- run: a -->\n```sh\n```\n",
        ] {
            assert!(Guide::parse(text).is_err(), "{text}");
        }
    }
}
