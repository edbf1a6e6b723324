//! A bar on standard error, where that is a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;

/// Cells of the bar.
const CELLS: usize = 30;

/// Draws itself when a whole percent more is done.
#[derive(Debug)]
pub(super) struct Bar {
    is_on: bool,
    /// What is drawn: the percents, and what for.
    drawn: Mutex<(usize, &'static str)>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { is_on: io::stderr().is_terminal(), drawn: Mutex::new((usize::MAX, "")) }
    }

    pub(super) fn draw(&self, what: &'static str, done: usize, of: usize) {
        if !self.is_on {
            return;
        }
        let percents = done.saturating_mul(100) / of.max(1);
        let Ok(mut drawn) = self.drawn.lock() else { return };
        if *drawn != (percents, what) {
            *drawn = (percents, what);
            // A terminal that has gone away needs no bar.
            write!(io::stderr(), "\r{}", line(what, percents)).ok();
        }
    }

    pub(super) fn clear(&self) {
        if self.is_on {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}

fn line(what: &str, percents: usize) -> String {
    let full = percents.min(100) * CELLS / 100;
    format!("[{}{}] {percents:>3}% {what}\x1b[K", "#".repeat(full), ".".repeat(CELLS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(line("files", 0), format!("[{}]   0% files\x1b[K", ".".repeat(30)));
        assert_eq!(line("files", 50), format!("[{}{}]  50% files\x1b[K", "#".repeat(15), ".".repeat(15)));
        assert_eq!(line("x", 100), format!("[{}] 100% x\x1b[K", "#".repeat(30)));
    }
}
