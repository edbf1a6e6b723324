//! Blocks as one page of HTML: no script, nothing from outside, all text escaped.

use super::markdown::is_web;
use super::page::{Block, Line, Span};

/// The policy forbids what the page does not have, should an escape ever fail.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n";

const STYLE: &str = "<style>\n\
    body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1a1a1a}\n\
    table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}\n\
    th{background:#f2f2f2}h4{margin:1.2em 0 .2em}p{margin:.2em 0}ul{margin:.2em 0}\n\
    .v{padding:0 .4em;border-radius:.3em;font-weight:600;white-space:nowrap}\n\
    .met{background:#d8f0d8}.not-met{background:#f8d4d0}.not-applicable{background:#e4e4e4}.unanswered{background:#fbeec8}\n\
    @media print{body{margin:0}}\n</style>\n";

pub(super) fn write(blocks: &[Block], title: &str) -> String {
    let mut out = format!("{HEAD}<title>{}</title>\n{STYLE}</head>\n<body>\n", escaped(title));
    for block in blocks {
        match block {
            Block::Heading(level, text) => {
                let level = (*level).clamp(1, 6);
                out.push_str(&format!("<h{level}>{}</h{level}>\n", escaped(text)));
            }
            Block::Paragraph(spans) => out.push_str(&format!("<p>{}</p>\n", line(spans))),
            Block::Table(head, rows) => table(&mut out, head, rows),
            Block::List(lines) if lines.is_empty() => {}
            Block::List(lines) => {
                out.push_str("<ul>\n");
                lines.iter().for_each(|spans| out.push_str(&format!("<li>{}</li>\n", line(spans))));
                out.push_str("</ul>\n");
            }
        }
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn table(out: &mut String, head: &[&str], rows: &[Vec<Line>]) {
    let head: String = head.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    out.push_str(&format!("<table>\n<tr>{head}</tr>\n"));
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", line(cell))).collect();
        out.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    out.push_str("</table>\n");
}

fn line(spans: &Line) -> String {
    let span = |span: &Span| match span {
        Span::Text(text) => escaped(text),
        Span::Strong(text) => format!("<b>{}</b>", escaped(text)),
        Span::Verdict(verdict) => {
            let name = verdict.name();
            format!("<span class=\"v {}\">{name}</span>", name.replace(' ', "-"))
        }
        Span::Link(link) if is_web(link) => {
            let link = escaped(link);
            format!("<a href=\"{link}\" rel=\"noreferrer\">{link}</a>")
        }
        Span::Link(link) => escaped(link),
    };
    spans.iter().map(span).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
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
    fn text_from_outside_is_no_markup() {
        let hostile = "<img src=x onerror=\"alert('1')\">&\u{0}";
        let page = write(
            &[
                Block::Heading(1, hostile.into()),
                Block::Table(vec!["a"], vec![vec![vec![Span::Strong(hostile.into())]]]),
                Block::List(vec![vec![Span::Link("javascript:alert(1)".into())]]),
            ],
            hostile,
        );
        assert!(!page.contains("<img") && !page.contains("<a ") && !page.contains('\0'), "{page}");
        let escaped = "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;\u{fffd}";
        assert_eq!(page.matches(escaped).count(), 3);
    }
}
