//! The terminal of a view, which is as before when the view is left, however that happens.

use std::io::{self, Write, stdout};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A terminal in raw mode, showing another screen; as it was when this is dropped, also by a panic.
pub struct Raw;

impl Raw {
    pub fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on it is undone, whatever fails.
        let raw = Self;
        // `Terminal::clear` would ask the terminal where its cursor is, and not all of them answer.
        execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All), cursor::Hide)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Where the terminal has gone there is nothing to put back.
        let _ = execute!(stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        let _ = stdout().flush();
    }
}

/// Whether the terminal has gone.
pub fn has_hung_up() -> bool {
    let output = stdout();
    let mut asked = [PollFd::new(&output, PollFlags::empty())];
    let told = poll(&mut asked, Some(&Timespec::default()));
    told.is_ok() && asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

pub fn trouble(error: &io::Error) -> PyErr {
    PyOSError::new_err((error.raw_os_error(), format!("the terminal: {}", crate::record::words(error))))
}

/// In raw mode Ctrl-C is a key.
pub fn is_interrupt(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}
