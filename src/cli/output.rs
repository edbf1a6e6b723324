//! Writing to the terminal. A closed pipe is no error: whoever read us had enough.

use std::io::{self, Write};

/// Writes a line to standard output.
///
/// # Errors
/// When standard output fails for another reason than a closed pipe.
pub fn line(text: &str) -> io::Result<()> {
    forgive_closed_pipe(writeln!(io::stdout().lock(), "{text}"))
}

/// Writes bytes to standard output.
///
/// # Errors
/// When standard output fails for another reason than a closed pipe.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    forgive_closed_pipe(io::stdout().lock().write_all(bytes))
}

/// Writes a line to standard error; there is nobody to tell if that fails.
pub fn complain(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

fn forgive_closed_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// `text` without control characters, so that a device's name cannot steer the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows with aligned columns under a heading.
#[must_use]
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let format_row = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format_row(heading.to_vec())];
    lines.extend(rows.iter().map(|row| format_row(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_hostile_names_do_not_steer_the_terminal() {
        let rows = vec![vec!["pump-17".into(), "1".into()], vec![printable("a\u{1b}[2J"), "22".into()]];
        assert_eq!(table(&["THING", "N"], &rows), "THING    N\npump-17  1\na\u{fffd}[2J    22");
    }
}
