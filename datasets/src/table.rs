//! Tables with a heading, cell by cell, with errors that name the place.

use std::{net::IpAddr, str::FromStr};

use csv::{ReaderBuilder, StringRecord};
use thiserror::Error;

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// A line is no row of the table.
    #[error("line {line}: {reason}")]
    NotARow {
        /// Line of the unpacked file, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A column is missing.
    #[error("the column `{column}` is missing; found are {found}")]
    NoColumn {
        /// The column.
        column: &'static str,
        /// The heading.
        found: String,
    },
    /// A cell holds something else.
    #[error("line {line}: {column}: found `{found}`; expected is {expected}")]
    Cell {
        /// Line of the unpacked file, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
}

/// Goes through the rows of a table in CSV.
pub(crate) fn rows(
    bytes: &[u8],
    take: &mut dyn FnMut(&Row<'_>) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let mut reader = ReaderBuilder::new().from_reader(bytes);
    let bad = |error: &csv::Error| TableError::NotARow {
        line: error.position().map_or(1, csv::Position::line),
        reason: error.to_string(),
    };
    let heading = reader.headers().map_err(|error| bad(&error))?.clone();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| bad(&error))? {
        take(&Row { heading: &heading, record: &record })?;
    }
    Ok(())
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    heading: &'a StringRecord,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// The text of a cell.
    pub(crate) fn text(&self, column: &'static str) -> Result<&'a str, TableError> {
        let index = self.heading.iter().position(|name| name == column);
        index.and_then(|index| self.record.get(index)).ok_or_else(|| {
            let found: Vec<&str> = self.heading.iter().collect();
            TableError::NoColumn { column, found: found.join(", ") }
        })
    }

    /// The text of a cell, unless it is empty or Zeek's `-` or `(empty)`.
    pub(crate) fn given(&self, column: &'static str) -> Result<Option<&'a str>, TableError> {
        Ok(Some(self.text(column)?).filter(|text| !matches!(*text, "" | "-" | "(empty)")))
    }

    fn parse<T: FromStr>(
        &self,
        column: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, TableError> {
        let Some(text) = self.given(column)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(column, text, expected))
    }

    pub(crate) fn wrong(&self, column: &'static str, found: &str, expected: &'static str) -> TableError {
        let line = self.record.position().map_or(0, csv::Position::line);
        TableError::Cell { line, column, found: found.chars().take(80).collect(), expected }
    }

    /// A whole number; 0 where nothing is given.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64, TableError> {
        Ok(self.parse(column, "a whole number")?.unwrap_or(0))
    }

    /// A port; some sets write them as `5683.0`.
    pub(crate) fn port(&self, column: &'static str) -> Result<Option<u16>, TableError> {
        let Some(text) = self.given(column)? else { return Ok(None) };
        let port = text.strip_suffix(".0").unwrap_or(text).parse();
        port.map(Some).map_err(|_| self.wrong(column, text, "a port, 0 to 65535"))
    }

    /// An address.
    pub(crate) fn address(&self, column: &'static str) -> Result<Option<IpAddr>, TableError> {
        self.parse(column, "an IP address")
    }

    /// Seconds as milliseconds, rounded down; 0 where nothing is given.
    pub(crate) fn millis(&self, column: &'static str) -> Result<i64, TableError> {
        const EXPECTED: &str = "a number of seconds, 0 to 1e11";
        let Some(text) = self.given(column)? else { return Ok(0) };
        let secs: f64 = text.parse().map_err(|_| self.wrong(column, text, EXPECTED))?;
        if !(0.0..=1e11).contains(&secs) {
            return Err(self.wrong(column, text, EXPECTED));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 1e14")]
        // Half a microsecond more: 0.007 * 1000 is a little less than 7.
        Ok((secs * 1000.0 + 0.0005).floor() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Cells = (String, u64, Option<u16>, i64);

    fn read(text: &str) -> Result<Vec<Cells>, TableError> {
        let mut found = Vec::new();
        rows(text.as_bytes(), &mut |row| {
            found.push((
                row.text("name")?.to_owned(),
                row.count("n")?,
                row.port("port")?,
                row.millis("secs")?,
            ));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn cells_are_read_by_the_name_of_their_column() {
        let text = "secs,port,name,n\n0.007,5683.0,\"a,b\",7\n-,-,,(empty)\n1533042911.474174,0,c,0\n";
        let expected = [
            ("a,b".to_owned(), 7, Some(5683), 7),
            (String::new(), 0, None, 0),
            ("c".to_owned(), 0, Some(0), 1_533_042_911_474),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("secs,port,name\n1,2,a\n", "the column `n` is missing; found are secs, port, name"),
            ("secs,port,name,n\n1,2,a,-3\n", "line 2: n: found `-3`; expected is a whole number"),
            (
                "secs,port,name,n\n1,65536,a,3\n",
                "line 2: port: found `65536`; expected is a port, 0 to 65535",
            ),
            (
                "secs,port,name,n\n1,2,a,3\nx,2,a,3\n",
                "line 3: secs: found `x`; expected is a number of seconds, 0 to 1e11",
            ),
            (
                "secs,port,name,n\nnan,2,a,3\n",
                "line 2: secs: found `nan`; expected is a number of seconds, 0 to 1e11",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
        let short = read("secs,port,name,n\n1,2\n").unwrap_err().to_string();
        assert!(short.starts_with("line 2: CSV error"), "{short}");
    }
}
