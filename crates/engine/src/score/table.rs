//! Parser of the model's tables: CSV with a header and `#` comments. Errors name the file and line.
//!
//! Binary size matters to embedders, so this parses the subset of RFC 4180 that the tables use (fields may be quoted, a row is one
//! line) without a CSV library.

/// Why a table could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub struct TableError {
    /// The file's name.
    pub file: &'static str,
    /// The line, counted from 1; 0 for the complete file.
    pub line: u64,
    /// The problem.
    pub problem: String,
}

/// The rows of a table.
pub(super) struct Table {
    file: &'static str,
    rows: Vec<(u64, Vec<String>)>,
}

/// One row.
pub(super) struct TableRow<'a> {
    file: &'static str,
    line: u64,
    record: &'a [String],
}

impl Table {
    /// Parses all rows, after checking the header.
    pub(super) fn read(file: &'static str, text: &str, header: &[&str]) -> Result<Self, TableError> {
        let error = |line, problem| TableError { file, line, problem };
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let fields = |line: Option<(u64, &str)>| match line {
            Some((number, line)) => split(line).map(|fields| (number, fields)).map_err(|problem| error(number, problem.to_owned())),
            None => Err(error(1, "the file is empty".to_owned())),
        };
        let (_, found) = fields(lines.next())?;
        if found.iter().ne(header) {
            return Err(error(1, format!("the columns must be {}", header.join(","))));
        }
        let rows = lines.map(|line| fields(Some(line))).collect::<Result<Vec<_>, _>>()?;
        if let Some((number, row)) = rows.iter().find(|(_, row)| row.len() != header.len()) {
            return Err(error(*number, format!("{} fields instead of {}", row.len(), header.len())));
        }
        Ok(Table { file, rows })
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = TableRow<'_>> {
        self.rows.iter().map(|(line, record)| TableRow { file: self.file, line: *line, record })
    }

    /// An error of the complete table.
    pub(super) fn error(&self, problem: impl Into<String>) -> TableError {
        TableError { file: self.file, line: 0, problem: problem.into() }
    }
}

impl TableRow<'_> {
    /// The text of a column.
    pub(super) fn text(&self, column: usize) -> &str {
        self.record.get(column).map_or("", String::as_str)
    }

    /// The number in a column, from `low` to `high`.
    pub(super) fn number(&self, column: usize, low: f64, high: f64) -> Result<f64, TableError> {
        match self.text(column).parse::<f64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(self.error(format!("{:?} is not a number from {low} to {high}", self.text(column)))),
        }
    }

    /// The index of a column's text in a list of words.
    pub(super) fn word(&self, column: usize, words: &[&str]) -> Result<usize, TableError> {
        words
            .iter()
            .position(|word| *word == self.text(column))
            .ok_or_else(|| self.error(format!("{:?} is not one of {}", self.text(column), words.join(", "))))
    }

    /// An error of this row.
    pub(super) fn error(&self, problem: impl Into<String>) -> TableError {
        TableError { file: self.file, line: self.line, problem: problem.into() }
    }
}

/// Splits a line into fields. A quoted field may contain commas, and `""` for a quotation mark.
fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let after = match rest.strip_prefix('"') {
            Some(mut quoted) => {
                let mut field = String::new();
                loop {
                    let (text, after) = quoted.split_once('"').ok_or("a quotation mark is not closed")?;
                    field.push_str(text);
                    let Some(more) = after.strip_prefix('"') else {
                        fields.push(field);
                        break after;
                    };
                    field.push('"');
                    quoted = more;
                }
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                fields.push(rest[..end].to_owned());
                &rest[end..]
            }
        };
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text follows a closing quotation mark"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn quoted_fields_are_parsed() {
        let cases: [(&str, &[&str]); 5] =
            [("a,b", &["a", "b"]), ("a,", &["a", ""]), (r#""a,b",c"#, &["a,b", "c"]), (r#""say ""no""""#, &[r#"say "no""#]), (r#""",x"#, &["", "x"])];
        for (line, expected) in cases {
            assert_eq!(split(line).expect(line), expected, "{line}");
        }
        assert!(split(r#""open"#).is_err());
        assert!(split(r#""a"b,c"#).is_err());
    }
}
