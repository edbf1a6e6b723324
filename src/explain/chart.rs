//! A small bar chart in characters, as wide as the terminal.

use fleet::time::Timestamp;

/// Rows of bars.
const ROWS: usize = 6;

/// What is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Eighths of blocks.
    Blocks,
    /// Plain characters.
    Ascii,
}

impl Style {
    /// A cell filled by so many eighths.
    const fn cell(self, eighths: usize) -> char {
        match (self, eighths) {
            (_, 0) => ' ',
            (Self::Ascii, 1..=3) => '.',
            (Self::Ascii, 4..=7) => ':',
            (Self::Ascii, _) => '#',
            (Self::Blocks, 1) => '▁',
            (Self::Blocks, 2) => '▂',
            (Self::Blocks, 3) => '▃',
            (Self::Blocks, 4) => '▄',
            (Self::Blocks, 5) => '▅',
            (Self::Blocks, 6) => '▆',
            (Self::Blocks, 7) => '▇',
            (Self::Blocks, _) => '█',
        }
    }

    const fn limit(self) -> char {
        match self {
            Self::Blocks => '┄',
            Self::Ascii => '-',
        }
    }

    /// Marks of begin and end.
    const fn marks(self) -> (char, char) {
        match self {
            Self::Blocks => ('▲', '△'),
            Self::Ascii => ('^', 'v'),
        }
    }
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing<'a> {
    /// Time and value, in order of time.
    pub points: &'a [(Timestamp, f64)],
    /// A bound that is drawn as a line.
    pub limit: Option<f64>,
    /// Begin of the violation, and its end.
    pub marks: (Timestamp, Option<Timestamp>),
}

/// The chart's lines, none wider than `width`: bars (of a column's values the largest), the limit, the
/// marks, and the times at both ends. Nothing for nothing.
#[must_use]
pub fn draw(drawing: &Drawing<'_>, width: usize, style: Style) -> Vec<String> {
    let (Some(first), Some(last)) = (drawing.points.first(), drawing.points.last()) else {
        return Vec::new();
    };
    let top = drawing.points.iter().map(|(_, value)| *value).chain(drawing.limit).fold(0.0, f64::max);
    let top = if top > 0.0 { top } else { 1.0 };
    let limit_row = drawing.limit.map(|limit| row_of(limit, top));
    let labels = |row: usize| match row {
        0 => short(top),
        _ if Some(row) == limit_row => drawing.limit.map(short).unwrap_or_default(),
        _ if row == ROWS - 1 => "0".into(),
        _ => String::new(),
    };
    let label_width = (0..ROWS).map(|row| labels(row).chars().count()).max().unwrap_or(0);
    // A column each where there are fewer points than columns.
    let columns = width.saturating_sub(label_width + 2).max(1).min(drawing.points.len().max(24));
    let span = last.0.millis_since(first.0).max(1);
    let column_of = |at: Timestamp| {
        let offset = i128::from(at.millis_since(first.0).clamp(0, span));
        let column = offset * (columns as i128 - 1) / i128::from(span);
        usize::try_from(column).unwrap_or(0)
    };
    let mut bars: Vec<Option<f64>> = vec![None; columns];
    for &(at, value) in drawing.points {
        if let Some(bar) = bars.get_mut(column_of(at)) {
            *bar = Some(bar.map_or(value, |own| own.max(value)));
        }
    }
    let mut lines: Vec<String> = (0..ROWS)
        .map(|row| {
            let cell = |bar: &Option<f64>| match (bar.map_or(0, |value| eighths(value, top, row)), limit_row)
            {
                (0, Some(limit)) if limit == row => style.limit(),
                (eighths, _) => style.cell(eighths),
            };
            let cells: String = bars.iter().map(cell).collect();
            format!("{:>label_width$} {cells}", labels(row)).trim_end().to_owned()
        })
        .collect();
    lines.push(marks(drawing, (first.0, last.0), column_of, (columns, label_width), style));
    lines.push(ends((first.0, last.0), (columns, label_width)));
    lines.retain(|line| !line.is_empty());
    lines
}

/// The row, from the top, that a value reaches into.
fn row_of(value: f64, top: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and ROWS")]
    let height = (value / top * ROWS as f64).ceil().clamp(1.0, ROWS as f64) as usize;
    ROWS - height
}

/// Eighths of the cell of `row` that a bar of `value` fills. What is not 0 shows at least one.
fn eighths(value: f64, top: f64, row: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8 times ROWS")]
    let height = (value.max(0.0) / top * (8 * ROWS) as f64).round() as usize;
    let height = if value > 0.0 { height.max(1) } else { 0 };
    height.saturating_sub(8 * (ROWS - 1 - row)).min(8)
}

fn marks(
    drawing: &Drawing<'_>,
    (first, last): (Timestamp, Timestamp),
    column_of: impl Fn(Timestamp) -> usize,
    (columns, label_width): (usize, usize),
    style: Style,
) -> String {
    let mut cells = vec![' '; columns];
    let (begin, end) = style.marks();
    let inside = |at: Timestamp| first <= at && at <= last;
    if let Some(at) = drawing.marks.1.filter(|&at| inside(at))
        && let Some(cell) = cells.get_mut(column_of(at))
    {
        *cell = end;
    }
    if inside(drawing.marks.0)
        && let Some(cell) = cells.get_mut(column_of(drawing.marks.0))
    {
        *cell = begin;
    }
    let cells: String = cells.into_iter().collect();
    format!("{:>label_width$} {cells}", "").trim_end().to_owned()
}

/// Both times under the ends; only the first where there is no room.
fn ends((first, last): (Timestamp, Timestamp), (columns, label_width): (usize, usize)) -> String {
    // Seconds are enough to find the place.
    let text = |at: Timestamp| at.to_string().chars().take(19).collect::<String>();
    let (left, right) = (text(first), text(last));
    let room = columns.saturating_sub(left.len());
    if room > right.len() {
        format!("{:>label_width$} {left}{right:>room$}", "")
    } else {
        format!("{:>label_width$} {left} to {right}", "")
    }
}

/// A number in at most seven characters or so.
fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        s if s >= 1e12 => (value / 1e12, "T"),
        s if s >= 1e9 => (value / 1e9, "G"),
        s if s >= 1e6 => (value / 1e6, "M"),
        s if s >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = if scaled.fract().abs() < 0.05 { format!("{scaled:.0}") } else { format!("{scaled:.1}") };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<(Timestamp, f64)> {
        values.iter().enumerate().map(|(n, &value)| (Timestamp::from_secs(n as i64 * 300), value)).collect()
    }

    fn check(values: &[f64], limit: Option<f64>, width: usize, style: Style, expected: &str) {
        let points = points(values);
        let marks = (Timestamp::from_secs(600), Some(Timestamp::from_secs(900)));
        let drawing = Drawing { points: &points, limit, marks };
        let lines = draw(&drawing, width, style);
        assert_eq!(lines.join("\n"), expected.trim_start_matches('\n'), "{values:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= width.max(60)), "{lines:?}");
    }

    #[test]
    fn bars_limit_and_marks() {
        check(&[], Some(1.0), 60, Style::Blocks, "");
        check(
            &[0.0, 30.0, 600.0, 90.0, 15.0],
            Some(100.0),
            30,
            Style::Ascii,
            "
600            #
               #
               #
               #
               #
100 -----.-----#-----:-----.
               ^     v
    1970-01-01T00:00:00 to 1970-01-01T00:20:00",
        );
        check(
            &[1.0, 2.0, 4.0, 8.0],
            None,
            60,
            Style::Blocks,
            "
8                        █
                         █
                         █
                 █       █
         ▄       █       █
0 ▆      █       █       █
                 ▲       △
  1970-01-01T00:00:00 to 1970-01-01T00:15:00",
        );
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (7.0, "7"),
            (7.25, "7.2"),
            (9_999.0, "9999"),
            (12_345.0, "12.3k"),
            (5e6, "5M"),
            (2.5e9, "2.5G"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }

    proptest::proptest! {
        /// Whatever the values and the width: no line is too wide, and nothing panics.
        #[test]
        fn any_series_fits(values in proptest::collection::vec(-1e15_f64..1e15, 0..500), width in 1_usize..300, limit in proptest::option::of(-1e12_f64..1e12)) {
            let points = points(&values);
            let drawing = Drawing { points: &points, limit, marks: (Timestamp::from_secs(0), None) };
            for style in [Style::Blocks, Style::Ascii] {
                for line in draw(&drawing, width, style) {
                    proptest::prop_assert!(line.chars().count() <= width.max(60));
                }
            }
        }
    }
}
