//! The loop of the terminal view: what comes from the keyboard, and what is drawn.

use std::io::{self, Stdout, stdout};
use std::time::{Duration, Instant};

use plait_report::live::{Action, Headline, Palette, Status, View};
use plait_report::verdicts::{Word, judge_between};
use plait_trace::Nanos;
use pyo3::prelude::*;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use rustix::time::{ClockId, clock_gettime};

use super::Window;
use crate::view::{Raw, has_hung_up, is_interrupt, trouble};

/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(100);
/// Between two verdicts.
const VERDICT: Duration = Duration::from_secs(1);
/// What a verdict is on: the last seconds.
const JUDGED: Nanos = 10_000_000_000;
/// For how long a notice is shown.
const NOTICE: Duration = Duration::from_secs(5);

/// Shows `window` until `go_on` is false, which is told how often Ctrl-C was pressed; gives whether the user ended it.
pub(super) fn show(window: &Window, prefix: &str, go_on: impl Fn(usize) -> PyResult<bool>) -> PyResult<bool> {
    let raw = Raw::enter().map_err(|error| trouble(&error))?;
    let mut screen = Screen::new(window, prefix).map_err(|error| trouble(&error))?;
    let shown = loop {
        let quit = screen.turn().map_err(|error| trouble(&error))?;
        if quit {
            break true;
        }
        if !go_on(std::mem::take(&mut screen.interrupts))? {
            break false;
        }
    };
    drop(raw);
    Ok(shown)
}

struct Screen<'a> {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    view: View,
    status: Status,
    judged: Instant,
    noticed: Instant,
    cpu: Duration,
    window: &'a Window,
    prefix: &'a str,
    interrupts: usize,
}

impl<'a> Screen<'a> {
    fn new(window: &'a Window, prefix: &'a str) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            terminal: Terminal::new(CrosstermBackend::new(stdout()))?,
            view: View::new(Palette::of(|name| std::env::var(name).ok())),
            status: Status::default(),
            judged: now,
            noticed: now,
            cpu: own_cpu(),
            window,
            prefix,
            interrupts: 0,
        })
    }

    /// One picture, and what is pressed until the next; whether the user wants no more, or has gone with the terminal.
    fn turn(&mut self) -> io::Result<bool> {
        let begun = Instant::now();
        if has_hung_up() {
            return Ok(true);
        }
        self.judge(begun);
        self.draw()?;
        loop {
            let left = PICTURE.saturating_sub(begun.elapsed());
            if !event::poll(left)? {
                return Ok(false);
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if is_interrupt(key) {
                        self.interrupts += 1;
                        return Ok(false);
                    }
                    if self.press(key) {
                        return Ok(true);
                    }
                    self.draw()?;
                }
                Event::Resize(..) => self.draw()?,
                _ => {}
            }
        }
    }

    /// Once a second: what the last seconds say, and what it costs to look.
    fn judge(&mut self, now: Instant) {
        if now - self.noticed >= NOTICE {
            self.status.notice = None;
        }
        let passed = now - self.judged;
        if passed >= VERDICT && !self.view.is_paused() {
            self.judged = now;
            let cpu = own_cpu();
            self.status.cost = Some((cpu - std::mem::replace(&mut self.cpu, cpu)).as_secs_f64() / passed.as_secs_f64());
            let recent = self.window.recent();
            let to = recent.recording.length();
            let findings = judge_between(&recent.recording, to.saturating_sub(JUDGED).max(recent.from), to);
            self.status.headline =
                findings.verdicts.first().filter(|verdict| verdict.word != Word::NotEnoughData).map(|verdict| {
                    Headline {
                        title: format!("{}: {}", verdict.title, verdict.sentence),
                        advice: verdict.remedy.clone(),
                    }
                });
            self.status.rate = (findings.figures.missing.rate > 0.0).then_some(findings.figures.missing.rate);
        }
        self.view.tell(self.status.clone());
    }

    fn draw(&mut self) -> io::Result<()> {
        let (view, mut recent) = (&mut self.view, self.window.recent());
        let now = recent.recording.length();
        recent.needed = Some(view.needs_from(now));
        self.terminal.draw(|frame| view.draw(frame, &recent.recording, now)).map(drop)
    }

    /// Whether the key ends the view.
    fn press(&mut self, key: KeyEvent) -> bool {
        match self.view.key(key) {
            Action::None => {}
            Action::Quit => return true,
            Action::Save => {
                let said = match self.window.save_new(self.prefix) {
                    Ok(path) => format!("saved {}", path.display()),
                    Err(error) => format!("cannot save: {}", crate::record::words(&error)),
                };
                self.status.notice = Some(said);
                self.noticed = Instant::now();
                self.view.tell(self.status.clone());
            }
        }
        false
    }
}

/// Processor time of this process, the drawing included.
fn own_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
