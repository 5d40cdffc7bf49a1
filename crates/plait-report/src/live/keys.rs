//! What keys do: how the lanes are sorted, which are shown, how much of the past.

use plait_trace::Nanos;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What there is to do after a key, beyond drawing anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// End.
    Quit,
    /// Keep what is shown.
    Save,
}

/// The order of threads within their process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// Those that had the GIL most.
    #[default]
    Gil,
    /// Those that waited for it most.
    Waits,
    /// Those that used most of a processor.
    Cpu,
    Name,
}

impl Sort {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gil => "GIL",
            Self::Waits => "waits",
            Self::Cpu => "CPU",
            Self::Name => "name",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Gil => Self::Waits,
            Self::Waits => Self::Cpu,
            Self::Cpu => Self::Name,
            Self::Name => Self::Gil,
        }
    }
}

/// Lengths of the window, in seconds.
const WINDOWS: [u64; 8] = [1, 2, 5, 10, 20, 30, 60, 120];
/// The one that it begins with.
const TEN: usize = 3;
/// A filter has so many characters at most.
const LONGEST: usize = 60;

/// Which threads are shown, and in which order.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) hides_idle: bool,
}

/// What was chosen by keys.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) choice: Choice,
    pub(super) help: bool,
    /// The moment at which the view stands still.
    pub(super) paused: Option<Nanos>,
    window: usize,
    typing: bool,
    scroll: usize,
    /// How many rows there was room for.
    page: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self { choice: Choice::default(), help: false, paused: None, window: TEN, typing: false, scroll: 0, page: 1 }
    }
}

impl Keys {
    /// How much of the past is shown.
    pub(super) fn window(&self) -> Nanos {
        WINDOWS[self.window] * 1_000_000_000
    }

    /// The filter, while it is typed.
    pub(super) fn typed(&self) -> Option<&str> {
        self.typing.then_some(self.choice.filter.as_str())
    }

    /// The first row to show of so many, where there is room for so few.
    pub(super) fn scroll_to(&mut self, rows: usize, room: usize) -> usize {
        self.page = room.max(1);
        self.scroll = self.scroll.min(rows.saturating_sub(room));
        self.scroll
    }

    /// Takes a key; `now` is what the view shows.
    pub(super) fn take(&mut self, key: KeyEvent, now: Nanos) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'C')) {
            return Action::Quit;
        }
        if self.typing {
            self.write(key.code, control);
            return Action::None;
        }
        match key.code {
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('w') => return Action::Save,
            KeyCode::Char('p' | ' ') => self.paused = if self.paused.is_some() { None } else { Some(now) },
            KeyCode::Char('s') => self.choice.sort = self.choice.sort.next(),
            KeyCode::Char('f' | '/') => self.typing = true,
            KeyCode::Char('i') => self.choice.hides_idle = !self.choice.hides_idle,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = !self.help,
            KeyCode::Char('+' | '=') => self.window = (self.window + 1).min(WINDOWS.len() - 1),
            KeyCode::Char('-' | '_') => self.window = self.window.saturating_sub(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(self.page),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(self.page),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            _ => {}
        }
        Action::None
    }

    fn write(&mut self, code: KeyCode, control: bool) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.choice.filter.clear();
            }
            KeyCode::Backspace => {
                self.choice.filter.pop();
            }
            KeyCode::Char(c) if !control && !c.is_control() && self.choice.filter.chars().count() < LONGEST => {
                self.choice.filter.push(c);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keys: &mut Keys, text: &str) -> Action {
        let one = |c: char| match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        text.chars().fold(Action::None, |_, c| keys.take(KeyEvent::new(one(c), KeyModifiers::NONE), 7))
    }

    #[test]
    fn three_keys_end_it() {
        for key in ["q", "\u{1b}"] {
            assert_eq!(press(&mut Keys::default(), key), Action::Quit);
        }
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let mut keys = Keys::default();
        assert_eq!(press(&mut keys, "f"), Action::None);
        assert_eq!(keys.take(control, 0), Action::Quit, "while a filter is typed, too");
        assert_eq!(press(&mut Keys::default(), "w"), Action::Save);
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(Keys::default().take(released, 0), Action::None);
    }

    #[test]
    fn a_filter_is_typed_and_dropped() {
        let mut keys = Keys::default();
        assert_eq!(press(&mut keys, "/wqor\u{8}rk"), Action::None);
        assert_eq!(keys.typed(), Some("wqork"));
        press(&mut keys, "\n");
        assert_eq!((keys.typed(), keys.choice.filter.as_str()), (None, "wqork"));
        press(&mut keys, "f\u{1b}");
        assert_eq!((keys.typed(), keys.choice.filter.as_str()), (None, ""));
        press(&mut keys, &format!("f{}", "x".repeat(500)));
        assert_eq!(keys.choice.filter.len(), LONGEST);
    }

    #[test]
    fn a_pause_stops_at_what_is_shown() {
        let mut keys = Keys::default();
        press(&mut keys, "p");
        assert_eq!(keys.paused, Some(7));
        press(&mut keys, " ");
        assert_eq!(keys.paused, None);
    }

    #[test]
    fn windows_have_ends() {
        let mut keys = Keys::default();
        assert_eq!(keys.window(), 10_000_000_000);
        press(&mut keys, "++++++++++++");
        assert_eq!(keys.window(), 120_000_000_000);
        press(&mut keys, "-----------------");
        assert_eq!(keys.window(), 1_000_000_000);
    }

    #[test]
    fn scrolling_stays_within_the_rows() {
        let mut keys = Keys::default();
        assert_eq!(keys.scroll_to(30, 10), 0);
        keys.take(KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE), 0);
        assert_eq!(keys.scroll_to(30, 10), 10);
        keys.take(KeyEvent::new(KeyCode::End, KeyModifiers::NONE), 0);
        assert_eq!(keys.scroll_to(30, 10), 20);
        press(&mut keys, "k");
        assert_eq!(keys.scroll_to(30, 10), 19);
        assert_eq!(keys.scroll_to(5, 10), 0, "fewer rows than there is room for");
    }

    #[test]
    fn help_is_closed_before_the_view() {
        let mut keys = Keys::default();
        press(&mut keys, "?");
        assert!(keys.help);
        assert_eq!(press(&mut keys, "\u{1b}"), Action::None);
        assert!(!keys.help);
    }
}
