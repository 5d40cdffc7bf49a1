//! The pools of a program, as `plait top` shows them: a table that is drawn anew every second or so, or printed once.
//!
//! A [`TopView`] is state and drawing alone, as the view of the lanes is: it is handed what was seen, and keys.
//!
//! ```
//! use plait_report::live::top::{TopView, plain};
//! use plait_report::live::{KeyCode, KeyEvent, KeyModifiers, Palette};
//! use plait_trace::top::Top;
//!
//! let seen = Top { pid: 7, command: "python app.py".into(), ..Top::default() };
//! assert_eq!(plain(&seen), "PID 7  python app.py\nno pools now\n");
//! let mut view = TopView::new(Palette::Letters);
//! assert!(view.key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), "it is to end");
//! ```

use plait_trace::top::{Top, WorkerNow, WorkerState};
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::canvas::Canvas;
use super::palette::{Palette, Role};

mod rows;

use rows::{Columns, Line};

/// The order of workers within their pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    /// As the pool has them.
    #[default]
    Worker,
    /// Those that have been at their task for longest.
    Time,
    Cpu,
    Memory,
}

impl Sort {
    const fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Time => "time",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Worker => Self::Time,
            Self::Time => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Worker,
        }
    }

    /// Puts the workers in order; those that are equal stay as they were.
    fn sort(self, workers: &mut [&WorkerNow]) {
        let key = |worker: &WorkerNow| match self {
            Self::Worker => 0.0,
            Self::Time => worker.seconds.unwrap_or(-1.0),
            Self::Cpu => worker.cpu.unwrap_or(-1.0),
            Self::Memory => worker.memory.map_or(-1.0, |bytes| bytes as f64),
        };
        workers.sort_by(|one, other| key(other).total_cmp(&key(one)));
    }
}

/// The view of `plait top`.
#[derive(Debug)]
pub struct TopView {
    palette: Palette,
    sort: Sort,
    hides_idle: bool,
    /// What it stands still at.
    paused: Option<Top>,
    wants_pause: bool,
    scroll: usize,
    page: usize,
}

impl TopView {
    /// A view of all workers.
    pub fn new(palette: Palette) -> Self {
        Self { palette, sort: Sort::default(), hides_idle: false, paused: None, wants_pause: false, scroll: 0, page: 1 }
    }

    /// Takes a key; whether the view is to end.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return false;
        }
        match key.code {
            KeyCode::Char('c' | 'C') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('i') => self.hides_idle = !self.hides_idle,
            KeyCode::Char('p' | ' ') => {
                self.wants_pause = !self.wants_pause;
                self.paused = None;
            }
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(self.page),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(self.page),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            _ => {}
        }
        false
    }

    /// Draws what was seen last.
    pub fn draw(&mut self, frame: &mut Frame, seen: &Top) {
        if self.wants_pause && self.paused.is_none() {
            self.paused = Some(seen.clone());
        }
        let seen = self.paused.as_ref().unwrap_or(seen);
        let area = frame.area();
        let mut canvas = Canvas::new(frame.buffer_mut(), area, self.palette);
        let (width, height) = (area.width, area.height);
        canvas.text(0, 0, width, &" ".repeat(width.into()), Role::Title);
        let paused = if self.wants_pause { "  PAUSED" } else { "" };
        canvas.text(0, 0, width, &format!("plait top{paused}  {}", rows::title(seen)), Role::Title);
        canvas.text(0, 1, width, &rows::sums(seen), Role::Verdict);
        let lines = self.lines(seen);
        let columns = Columns::of(&lines, Some(width.into()));
        let room = usize::from(height.saturating_sub(3));
        self.page = room.max(1);
        self.scroll = self.scroll.min(lines.len().saturating_sub(room));
        for (y, line) in (2..).zip(lines.iter().skip(self.scroll).take(room)) {
            match line {
                Line::Text(text, role) => canvas.text(0, y, width, text, *role),
                Line::Cells(cells, role) => {
                    for (x, cell) in columns.placed(cells) {
                        canvas.text(x as u16, y, width, &cell, *role);
                    }
                }
            }
        }
        if height > 2 {
            let idle = if self.hides_idle { "i show idle" } else { "i hide idle" };
            let pause = if self.wants_pause { "p go on" } else { "p pause" };
            let below = lines.len().saturating_sub(self.scroll + room);
            let more = if below > 0 || self.scroll > 0 {
                format!("  arrows: {} above, {below} below", self.scroll)
            } else {
                String::new()
            };
            let keys = format!("q quit  {pause}  s sort: {}  {idle}{more}", self.sort.word());
            canvas.text(0, height - 1, width, &keys, Role::Quiet);
        }
    }

    fn lines(&self, seen: &Top) -> Vec<Line> {
        rows::lines(seen, |workers| {
            self.sort.sort(workers);
            if self.hides_idle {
                workers.retain(|worker| worker.state != WorkerState::Idle);
            }
        })
    }
}

/// All of it as text, each line as long as it is.
pub fn plain(seen: &Top) -> String {
    let lines = rows::lines(seen, |_| {});
    let columns = Columns::of(&lines, None);
    let mut text = format!("{}\n{}\n", rows::title(seen), rows::sums(seen));
    for line in lines {
        match line {
            Line::Text(line, _) => text += &line,
            Line::Cells(cells, _) => {
                let mut row = String::new();
                for (x, cell) in columns.placed(&cells) {
                    let used = unicode_width::UnicodeWidthStr::width(row.as_str());
                    row += &" ".repeat(x.saturating_sub(used));
                    row += &cell;
                }
                text += row.trim_end();
            }
        }
        text.push('\n');
    }
    text
}

/// All of it as one JSON object on one line.
///
/// # Errors
/// Where JSON has no form for it, which is a bug.
pub fn json(seen: &Top) -> Result<String, serde_json::Error> {
    serde_json::to_string(seen)
}

#[cfg(test)]
mod tests;
