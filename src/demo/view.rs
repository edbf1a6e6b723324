//! The live view in the terminal.

use std::{io, time::Duration};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{
    DefaultTerminal, Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Cell, Paragraph, Row, Table},
};

use super::{
    board::{Board, LogKind, LogLine},
    story::Hello,
};

/// The terminal in its full-screen state; given back when this is dropped.
pub(super) struct View {
    terminal: DefaultTerminal,
}

impl View {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    pub(super) fn draw(&mut self, hello: &Hello, board: &Board) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, hello, board)).map(drop)
    }

    /// Whether `q`, Escape or Ctrl-C was pressed since the last call. Does not wait.
    pub(super) fn quit_wanted(&self) -> io::Result<bool> {
        let mut quit = false;
        while event::poll(Duration::ZERO)? {
            quit |= is_quit(&event::read()?);
        }
        Ok(quit)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn is_quit(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && (control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

pub(super) fn draw(frame: &mut Frame<'_>, hello: &Hello, board: &Board) {
    let alarms = rows(board.open.len(), 4);
    let quarantines = rows(board.quarantines.len(), 3);
    let areas = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(alarms),
        Constraint::Length(quarantines),
        Constraint::Min(4),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let [head, open, kept, log, foot] = *areas else { return };
    frame.render_widget(numbers(hello, board), head);
    frame.render_widget(open_alarms(board), open);
    frame.render_widget(in_quarantine(board), kept);
    frame.render_widget(log_lines(board, log), log);
    frame.render_widget(Line::styled(" q quits", Style::new().fg(Color::DarkGray)), foot);
}

/// Height of a table of `count` rows with header and border; at least `min` rows, at most 12.
fn rows(count: usize, min: u16) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).clamp(min, 12) + 3
}

fn numbers(hello: &Hello, board: &Board) -> Paragraph<'static> {
    let stats = &board.stats;
    let bold = |text: String| Span::styled(text, Style::new().add_modifier(Modifier::BOLD));
    let first = Line::from(vec![
        bold(format!("{} ", stats.at)),
        Span::raw(format!("(x{})   ", hello.speed)),
        bold(stats.events_per_sec.to_string()),
        Span::raw(format!(" events/s   {} events   {} reports   journal ", stats.events, stats.reports)),
        Span::raw(bytes_text(stats.journal_bytes)),
    ]);
    let standing = &stats.standing;
    let mut second = vec![
        Span::raw(format!("{} devices: ", hello.devices)),
        Span::styled(format!("{} connected", standing.connected), Style::new().fg(Color::Green)),
        Span::raw(format!("   {} reporting   ", standing.reporting)),
        Span::styled(format!("{} silent", standing.silent), Style::new().fg(Color::Yellow)),
        Span::raw(format!(
            "   alarms: {} open, {} opened, {} cleared",
            board.open.len(),
            board.opened,
            board.cleared
        )),
    ];
    if stats.dropped > 0 {
        second
            .push(Span::styled(format!("   {} events dropped", stats.dropped), Style::new().fg(Color::Red)));
    }
    let title = format!(" Fleetward demo, seed {}, broker at {} ", hello.seed, hello.broker);
    Paragraph::new(vec![first, Line::from(second)]).block(Block::bordered().title(title))
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn open_alarms(board: &Board) -> Table<'static> {
    let mut open: Vec<_> = board.open.values().collect();
    open.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.entity.cmp(&b.entity)));
    let rows = open.into_iter().map(|alarm| {
        Row::new([
            Cell::from(alarm.entity.clone()).style(Style::new().fg(Color::Red)),
            Cell::from(alarm.behavior.clone()),
            Cell::from(alarm.value.clone()),
            Cell::from(alarm.expected.clone()),
            Cell::from(clock_text(alarm.since.to_string())),
        ])
    });
    let widths = [
        Constraint::Length(16),
        Constraint::Length(34),
        Constraint::Length(14),
        Constraint::Min(20),
        Constraint::Length(9),
    ];
    table(rows.collect(), widths.to_vec(), &["WHO", "WHAT", "VALUE", "EXPECTED", "SINCE"], " Open alarms ")
}

fn in_quarantine(board: &Board) -> Table<'static> {
    let rows = board.quarantines.iter().map(|quarantine| {
        let (mark, color) = match quarantine.proved {
            Some(true) => ("held", Color::Green),
            Some(false) => ("NOT held", Color::Red),
            None => ("acting", Color::Yellow),
        };
        let proof: Vec<String> = quarantine
            .checks
            .iter()
            .map(|check| format!("{} {}", if check.held { "✓" } else { "✗" }, check.what))
            .collect();
        let proof = if proof.is_empty() { quarantine.note.clone() } else { proof.join("  ") };
        Row::new([
            Cell::from(quarantine.thing.clone()),
            Cell::from(mark).style(Style::new().fg(color)),
            Cell::from(quarantine.because.clone()),
            Cell::from(proof),
        ])
    });
    let widths = [Constraint::Length(16), Constraint::Length(9), Constraint::Length(34), Constraint::Min(20)];
    table(rows.collect(), widths.to_vec(), &["THING", "STATE", "BECAUSE", "PROOF"], " Quarantine ")
}

fn table(
    rows: Vec<Row<'static>>,
    widths: Vec<Constraint>,
    header: &'static [&'static str],
    title: &'static str,
) -> Table<'static> {
    let header =
        Row::new(header.iter().copied().map(Cell::from)).style(Style::new().add_modifier(Modifier::DIM));
    Table::new(rows, widths).header(header).block(Block::bordered().title(title))
}

fn log_lines(board: &Board, area: Rect) -> Paragraph<'static> {
    let room = usize::from(area.height.saturating_sub(2));
    let skip = board.log.len().saturating_sub(room);
    let lines: Vec<Line<'static>> = board.log.iter().skip(skip).map(log_line).collect();
    Paragraph::new(lines).block(Block::bordered().title(" What happened "))
}

fn log_line(line: &LogLine) -> Line<'static> {
    let (word, color) = match line.kind {
        LogKind::Opened => ("ALARM", Color::Red),
        LogKind::Cleared => ("clear", Color::Green),
        LogKind::Quarantined => ("QUARANTINE", Color::Magenta),
        LogKind::NotHeld => ("NOT HELD", Color::LightRed),
    };
    Line::from(vec![
        Span::raw(format!("{}  ", clock_text(line.at.to_string()))),
        Span::styled(format!("{word:<11}"), Style::new().fg(color)),
        Span::raw(line.text.clone()),
    ])
}

/// The time of day of an RFC 3339 text.
fn clock_text(text: String) -> String {
    text.get(11..19).map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use detector::transition::{AttributionName, EntityName, MetricValue, Transition, TransitionKind};
    use fleet::time::Timestamp;
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn screen(board: &Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let hello = Hello::example();
        terminal.draw(|frame| draw(frame, &hello, board)).unwrap();
        terminal.backend().to_string()
    }

    fn transition(thing: &str, kind: TransitionKind) -> Transition {
        Transition {
            seq: 1,
            id: "1".to_owned(),
            violation_id: thing.to_owned(),
            kind,
            at: Timestamp::from_secs(1_767_600_300),
            entity: EntityName::Thing(thing.to_owned()),
            principal: None,
            profile: "messages".to_owned(),
            behavior: "oversized-message".to_owned(),
            metric: "aws:message-byte-size".to_owned(),
            value: Some(MetricValue::Count(212_345)),
            expected: "less-than 65536".to_owned(),
            attribution: AttributionName::Certain,
            started_at: Timestamp::from_secs(1_767_600_300),
            suppressed: false,
            behavior_json: "{}".into(),
            evidence: None,
        }
    }

    #[test]
    fn alarms_are_shown_while_they_are_open_and_logged_when_they_change() {
        let mut board = Board::default();
        board.transition(&transition("camera-0001", TransitionKind::InAlarm));
        board.transition(&transition("camera-0002", TransitionKind::InAlarm));
        board.transition(&transition("camera-0002", TransitionKind::AlarmCleared));
        let shown = screen(&board, 140, 40);
        assert!(shown.contains("camera-0001      oversized-message"), "{shown}");
        assert!(!shown.contains("camera-0002      oversized-message"), "{shown}");
        assert!(shown.contains("08:05:00  clear      camera-0002  oversized-message"), "{shown}");
        assert!(shown.contains("1 open, 2 opened, 1 cleared"), "{shown}");
    }

    #[test]
    fn any_size_of_terminal_is_drawn_on() {
        let mut board = Board::default();
        for index in 0..40 {
            board.transition(&transition(&format!("camera-{index:04}"), TransitionKind::InAlarm));
        }
        for (width, height) in [(1, 1), (10, 3), (20, 10), (80, 24), (300, 100)] {
            screen(&board, width, height);
        }
    }
}
