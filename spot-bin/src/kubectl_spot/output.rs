//! Tables as `kubectl` prints them, and JSON.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::exit::Exit;

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(super) output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

impl OutputArgs {
    /// Prints the one or the other on standard output.
    pub(super) fn print(
        self,
        json: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> Result<(), Exit> {
        let text = match self.output {
            Format::Table => table(),
            Format::Json => serde_json::to_string_pretty(json)
                .map_err(|e| Exit::bug(format!("no JSON: {e}")))?,
        };
        match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
            // Whoever reads has enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|e| Exit::bug(format!("standard output: {e}"))),
        }
    }
}

/// Rows under a header, each column as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            text += line.join("   ").trim_end();
            text.push('\n');
        }
        text
    }
}
