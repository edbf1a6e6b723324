//! PEM bundles (RFC 7468): blocks with the line they begin at.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Blocks read of one text at most; the rest is reported as [`Broken::TooMany`] and not read.
pub const BLOCKS_MAX: usize = 100_000;
/// Bytes of one block's contents at most.
pub const BLOCK_BYTES_MAX: usize = 16 << 20;

/// One block, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the `BEGIN` line says, such as `CERTIFICATE` or `X509 CRL`.
    pub label: String,
    /// Line of the `BEGIN`, from 1.
    pub line: usize,
    /// The DER.
    pub der: Vec<u8>,
}

/// A block that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadBlock {
    /// Line of the fault, from 1.
    pub line: usize,
    /// What is wrong.
    pub broken: Broken,
}

/// What can be wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The text ends, or the next block begins, before the `END` line.
    NoEnd,
    /// The `END` line carries another label than the `BEGIN` line.
    OtherLabel,
    /// Between the lines stands something that is not base64.
    Base64,
    /// More than [`BLOCK_BYTES_MAX`] bytes.
    TooLarge,
    /// More than [`BLOCKS_MAX`] blocks.
    TooMany,
}

impl fmt::Display for BadBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.broken {
            Broken::NoEnd => "block without an END line",
            Broken::OtherLabel => "END line with another label than the BEGIN line",
            Broken::Base64 => "not base64",
            Broken::TooLarge => "block larger than 16 MiB",
            Broken::TooMany => "more than 100000 blocks; the rest is not read",
        };
        write!(f, "line {}: {text}", self.line)
    }
}

/// Whether `bytes` look like PEM and not like DER.
#[must_use]
pub fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).take(1 << 20).any(|window| window == BEGIN.as_bytes())
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// All blocks of `text` in their order, readable or not. Text between blocks is ignored.
#[must_use]
pub fn blocks(text: &str) -> Vec<Result<Block, BadBlock>> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if let Some(label) = label(line, BEGIN) {
            if let Some(unclosed) = open.take() {
                found.push(Err(BadBlock { line: unclosed.line, broken: Broken::NoEnd }));
            }
            if found.len() >= BLOCKS_MAX {
                found.push(Err(BadBlock { line: number, broken: Broken::TooMany }));
                return found;
            }
            open = Some(Open { label: label.to_owned(), line: number, ..Open::default() });
        } else if let Some(label) = label(line, END) {
            if let Some(block) = open.take() {
                found.push(block.close(label, number));
            }
        } else if let Some(block) = &mut open {
            block.take(line, number);
        }
    }
    if let Some(unclosed) = open {
        found.push(Err(BadBlock { line: unclosed.line, broken: Broken::NoEnd }));
    }
    found
}

fn label<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    line.strip_prefix(prefix)?.strip_suffix("-----")
}

/// A block whose end was not seen yet.
#[derive(Debug, Default)]
struct Open {
    label: String,
    line: usize,
    base64: String,
    bad: Option<BadBlock>,
}

impl Open {
    fn take(&mut self, line: &str, number: usize) {
        // Header lines of encrypted keys (RFC 1421, section 4.6) are no content of ours.
        if line.contains(':') || self.bad.is_some() {
            return;
        }
        if self.base64.len() + line.len() > BLOCK_BYTES_MAX / 3 * 4 {
            self.bad = Some(BadBlock { line: self.line, broken: Broken::TooLarge });
        } else if line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
            self.base64.push_str(line);
        } else {
            self.bad = Some(BadBlock { line: number, broken: Broken::Base64 });
        }
    }

    fn close(self, label: &str, number: usize) -> Result<Block, BadBlock> {
        if let Some(bad) = self.bad {
            return Err(bad);
        }
        if label != self.label {
            return Err(BadBlock { line: number, broken: Broken::OtherLabel });
        }
        let der = STANDARD
            .decode(self.base64)
            .map_err(|_base64| BadBlock { line: self.line, broken: Broken::Base64 })?;
        Ok(Block { label: self.label, line: self.line, der })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let seen: Vec<String> = blocks(text)
            .iter()
            .map(|block| match block {
                Ok(block) => format!("{} {} {:02x?}", block.line, block.label, block.der),
                Err(bad) => bad.to_string(),
            })
            .collect();
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn bundles_keep_the_order_and_name_the_line() {
        check("", &[]);
        check("no block here", &[]);
        check("-----BEGIN A-----\nAQI=\n-----END A-----", &["1 A [01, 02]"]);
        check(
            "subject=x\r\n-----BEGIN A-----\r\nAQ\r\nI=\r\n-----END A-----\r\n-----BEGIN B-----\r\n-----END B-----\r\n",
            &["2 A [01, 02]", "6 B []"],
        );
        check("-----BEGIN A-----\nAQI=", &["line 1: block without an END line"]);
        check(
            "-----BEGIN A-----\n-----BEGIN B-----\nAQI=\n-----END B-----",
            &["line 1: block without an END line", "2 B [01, 02]"],
        );
        check(
            "-----BEGIN A-----\nAQI=\n-----END B-----",
            &["line 3: END line with another label than the BEGIN line"],
        );
        check("-----BEGIN A-----\nA Q\n-----END A-----", &["line 2: not base64"]);
        check("-----BEGIN A-----\nAQI\n-----END A-----", &["line 1: not base64"]);
        check("-----END A-----", &[]);
    }
}
