//! Blocks as Markdown. All text is escaped, since names and notes come from outside.

use super::page::{Block, Line, Span};

pub(super) fn write(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        match block {
            Block::Heading(level, text) => {
                let marks = "#".repeat(usize::from(*level));
                out.push_str(&format!("{marks} {}\n\n", escaped(text)));
            }
            Block::Paragraph(spans) => out.push_str(&format!("{}\n\n", line(spans))),
            Block::Table(head, rows) => {
                out.push_str(&format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len())));
                for row in rows {
                    let cells: Vec<String> = row.iter().map(line).collect();
                    out.push_str(&format!("| {} |\n", cells.join(" | ")));
                }
                out.push('\n');
            }
            Block::List(lines) if lines.is_empty() => {}
            Block::List(lines) => {
                lines.iter().for_each(|spans| out.push_str(&format!("- {}\n", line(spans))));
                out.push('\n');
            }
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn line(spans: &Line) -> String {
    let span = |span: &Span| match span {
        Span::Text(text) => escaped(text),
        Span::Strong(text) => format!("**{}**", escaped(text)),
        Span::Verdict(verdict) => format!("**{}**", verdict.name()),
        Span::Link(link) if is_web(link) => format!("<{link}>"),
        Span::Link(link) => escaped(link),
    };
    spans.iter().map(span).collect()
}

/// Whether a text is a link that may be followed: of the web, without anything that could end it.
pub(super) fn is_web(link: &str) -> bool {
    let known = link.starts_with("https://") || link.starts_with("http://");
    known
        && link
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\'' | b'|' | b'\\' | b'`'))
}

/// Text that means itself: punctuation of Markdown is escaped, what is no visible character is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let characters: Vec<char> = text.chars().collect();
    for (at, &c) in characters.iter().enumerate() {
        let inside =
            |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
        match c {
            // Inside a word it is no emphasis.
            '_' if inside(at.checked_sub(1)) && inside(at.checked_add(1)) => out.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_means_itself() {
        for (text, expected) in [
            ("LOGGING_DISABLED_CHECK", "LOGGING_DISABLED_CHECK"),
            ("_a_ *b* `c`", "\\_a\\_ \\*b\\* \\`c\\`"),
            ("<script>|[x](y)&amp;", "&lt;script&gt;\\|\\[x\\](y)&amp;amp;"),
            ("a\nb\u{1b}[2J", "a b\u{fffd}\\[2J"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        for (link, web) in [
            ("https://example.com/a?b=1&c", true),
            ("javascript:alert(1)", false),
            ("https://example.com/>", false),
            ("https://example.com/a b", false),
            ("JIRA-17", false),
        ] {
            assert_eq!(is_web(link), web, "{link}");
        }
    }
}
