//! Reading the model's tables: CSV with a header, `#` comments, and faults that name file and line.

use csv::{ReaderBuilder, StringRecord};

/// A table that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub struct TableError {
    /// The file's name.
    pub file: &'static str,
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

/// The rows of a table.
pub(super) struct Table {
    file: &'static str,
    rows: Vec<(u64, StringRecord)>,
}

/// One row.
pub(super) struct Row<'a> {
    file: &'static str,
    line: u64,
    record: &'a StringRecord,
}

impl Table {
    /// Reads all rows; the header has to be the expected one.
    pub(super) fn read(file: &'static str, text: &str, header: &[&str]) -> Result<Self, TableError> {
        let fault = |line, problem| TableError { file, line, problem };
        let mut reader = ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
        let found = reader.headers().map_err(|error| fault(1, error.to_string()))?;
        if found.iter().ne(header.iter().copied()) {
            return Err(fault(1, format!("the columns have to be {}", header.join(","))));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| fault(error.position().map_or(0, csv::Position::line), error.to_string()))?;
            rows.push((record.position().map_or(0, csv::Position::line), record));
        }
        Ok(Table { file, rows })
    }

    /// The rows in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row { file: self.file, line: *line, record })
    }

    /// A fault of the table as a whole.
    pub(super) fn fault(&self, problem: impl Into<String>) -> TableError {
        TableError { file: self.file, line: 0, problem: problem.into() }
    }
}

impl Row<'_> {
    /// The text of a column.
    pub(super) fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    /// The number in a column, within bounds.
    pub(super) fn number(&self, column: usize, low: f64, high: f64) -> Result<f64, TableError> {
        match self.text(column).parse::<f64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(self.fault(format!("{:?} is not a number from {low} to {high}", self.text(column)))),
        }
    }

    /// The place of a column's text in a list of words.
    pub(super) fn word(&self, column: usize, words: &[&str]) -> Result<usize, TableError> {
        words.iter().position(|word| *word == self.text(column)).ok_or_else(|| self.fault(format!("{:?} is none of {}", self.text(column), words.join(", "))))
    }

    /// A fault of this row.
    pub(super) fn fault(&self, problem: impl Into<String>) -> TableError {
        TableError { file: self.file, line: self.line, problem: problem.into() }
    }
}
