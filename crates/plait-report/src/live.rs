//! The last seconds of a program that is watched, drawn in a terminal.
//!
//! A [`View`] is state and drawing alone: it is handed a recording that grows, the time, and keys, and says what to do.
//! Whoever has the terminal keeps the recording short ([`View::needs_from`]), tells what the view cannot know
//! ([`View::tell`]), and draws a few times a second.
//!
//! ```
//! use plait_report::live::{Action, KeyCode, KeyEvent, KeyModifiers, Palette, View};
//! use ratatui::{Terminal, backend::TestBackend};
//!
//! let recording = plait_trace::Recording::default();
//! let mut view = View::new(Palette::Letters);
//! let mut terminal = Terminal::new(TestBackend::new(80, 24))?;
//! terminal.draw(|frame| view.draw(frame, &recording, 0))?;
//! assert_eq!(view.key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), Action::Quit);
//! # Ok::<(), std::convert::Infallible>(())
//! ```

use plait_trace::{Nanos, Recording};
use ratatui::Frame;

mod canvas;
mod cells;
mod figures;
mod help;
mod hog;
mod keys;
mod lanes;
mod palette;
mod plain;
mod rows;
pub mod top;

pub use keys::Action;
pub use palette::Palette;
pub use plain::plain;
pub use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use canvas::Canvas;
use figures::Figures;
use keys::Keys;
use palette::Role;

/// The time beyond the window that is needed to tell how counts grew since it began.
const MARGIN: Nanos = 1_000_000_000;

/// A verdict for the head of the view, as lines of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headline {
    /// What is the matter.
    pub title: String,
    /// What to do about it.
    pub advice: String,
}

/// What a view is told, for it can be seen in no recording that still goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The verdict on the last seconds.
    pub headline: Option<Headline>,
    /// Looks a second, as they are.
    pub rate: Option<f64>,
    /// What watching costs, as a share of one processor.
    pub cost: Option<f64>,
    /// Something for the moment, in place of the line of keys: `saved to run.plait`.
    pub notice: Option<String>,
}

/// The view of `plait watch`.
#[derive(Debug)]
pub struct View {
    palette: Palette,
    status: Status,
    keys: Keys,
    /// When it was last drawn: what a pause stops at.
    drawn: Nanos,
}

/// How the lines of a terminal are shared out; what has no room has no lines.
struct Lines {
    verdict: u16,
    hog: u16,
    head: u16,
    legend: u16,
    help: u16,
}

impl Lines {
    fn of(height: u16) -> Self {
        Self {
            verdict: match height {
                0..=7 => 0,
                8..=11 => 1,
                12..=19 => 2,
                _ => 3,
            },
            hog: u16::from(height >= 7),
            head: u16::from(height >= 5),
            legend: u16::from(height >= 14),
            help: u16::from(height >= 4),
        }
    }
}

impl View {
    /// A view of the last ten seconds.
    pub fn new(palette: Palette) -> Self {
        Self { palette, status: Status::default(), keys: Keys::default(), drawn: 0 }
    }

    /// Takes note of what can be seen in no recording.
    pub fn tell(&mut self, status: Status) {
        self.status = status;
    }

    /// Whether it stands still. What is recorded meanwhile is shown when it goes on.
    pub fn is_paused(&self) -> bool {
        self.keys.paused.is_some()
    }

    /// How many nanoseconds it shows.
    pub fn window(&self) -> Nanos {
        self.keys.window()
    }

    /// The moment before which it needs nothing, for [`Recording::forget_before`]. Other windows are as long as two minutes: a
    /// recording that is to fill one at once when it is asked for has to be kept for longer.
    pub fn needs_from(&self, now: Nanos) -> Nanos {
        self.keys.paused.unwrap_or(now).min(now).saturating_sub(self.window()).saturating_sub(MARGIN)
    }

    /// Takes a key, and says what to do beyond drawing anew.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        self.keys.take(key, self.drawn)
    }

    /// Draws the last seconds before `now`, in nanoseconds since the recording began.
    pub fn draw(&mut self, frame: &mut Frame, recording: &Recording, now: Nanos) {
        self.drawn = self.keys.paused.unwrap_or(now);
        // Records come in batches, so the last moments are not known yet.
        let end = self.drawn.min(recording.length());
        let figures = Figures::of(recording, end.saturating_sub(self.window()), end);
        let area = frame.area();
        let mut canvas = Canvas::new(frame.buffer_mut(), area, self.palette);
        let (width, height) = (area.width, area.height);
        let lines = Lines::of(height);
        canvas.text(0, 0, width, &" ".repeat(width.into()), Role::Title);
        canvas.text(0, 0, width, &self.title(recording), Role::Title);
        let mut y = 1;
        for (line, role) in self.verdict(width.into(), lines.verdict.into()) {
            canvas.text(0, y, width, &line, role);
            y += 1;
        }
        y = 1 + lines.verdict;
        if lines.hog > 0 {
            match hog::find(recording, &figures, end) {
                Some(hog) => canvas.text(0, y, width, &hog.line(recording, end), Role::Hog),
                None => canvas.text(0, y, width, "no thread keeps the GIL for long", Role::Quiet),
            }
            y += 1;
        }
        let bottom = height.saturating_sub(lines.legend + lines.help);
        let room = bottom.saturating_sub(y + lines.head);
        let rows = rows::rows(recording, &figures, &self.keys.choice);
        let first = self.keys.scroll_to(rows.len(), room.into());
        let columns = lanes::Columns::of(width, self.window(), end);
        if lines.head > 0 {
            let below = rows.len().saturating_sub(first + usize::from(room));
            lanes::head(&mut canvas, y, &columns, &self.keys, (first, below));
            y += 1;
        }
        let shown = rows.iter().skip(first).take(room.into());
        for (y, row) in (y..).zip(shown) {
            lanes::row(&mut canvas, y, &columns, row, recording, &figures);
        }
        if lines.legend > 0 {
            help::legend(&mut canvas, bottom);
        }
        if lines.help > 0 {
            self.keys_line(&mut canvas, height - 1);
        }
        if self.keys.help {
            help::overlay(&mut canvas);
        }
    }

    fn title(&self, recording: &Recording) -> String {
        let began = &recording.began;
        let seconds = self.drawn / 1_000_000_000;
        let mut title = format!("plait watch  {}  {}:{:02}", began.what, seconds / 60, seconds % 60);
        match self.status.rate {
            Some(rate) => title += &format!("  {rate:.0} looks/s"),
            None if began.period > 0 => title += &format!("  {:.0} looks/s asked", 1e9 / began.period as f64),
            None => {}
        }
        if let Some(cost) = self.status.cost {
            title += &format!("  costs {:.1} % of a core", cost * 100.0);
        }
        if self.is_paused() {
            title += "  PAUSED";
        }
        title
    }

    /// The verdict in so many lines at most.
    fn verdict(&self, width: usize, lines: usize) -> Vec<(String, Role)> {
        let Some(Headline { title, advice }) = &self.status.headline else {
            return vec![("no verdict yet".to_owned(), Role::Quiet); lines.min(1)];
        };
        let mut said = vec![(title.clone(), Role::Verdict)];
        if lines > 1 && !advice.is_empty() {
            said.extend(canvas::wrapped(advice, width, lines - 1).into_iter().map(|line| (line, Role::Plain)));
        }
        said.truncate(lines);
        said
    }

    fn keys_line(&self, canvas: &mut Canvas, y: u16) {
        let width = canvas.width();
        if let Some(filter) = self.keys.typed() {
            canvas.text(0, y, width, &format!("filter: {filter}_   Enter keeps it, Esc drops it"), Role::Verdict);
        } else if let Some(notice) = &self.status.notice {
            canvas.text(0, y, width, notice, Role::Verdict);
        } else {
            canvas.text(0, y, width, &help::line(&self.keys), Role::Quiet);
        }
    }
}

#[cfg(test)]
mod tests;
