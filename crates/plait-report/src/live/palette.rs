//! What states look like: colours that people with any kind of colour vision tell apart, or letters.
//!
//! The colours are those of Okabe and Ito, as near as the 256 of terminals come. Shape helps: what has the GIL is solid, what
//! wants it is half as dense, what rests is a dot.

use plait_trace::State;
use ratatui::style::{Color, Modifier, Style};

/// How states are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// In 256 colours.
    Colors,
    /// As letters, without colour.
    Letters,
}

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    Title,
    Verdict,
    Hog,
    Process,
    Quiet,
}

impl Palette {
    /// The one that suits a terminal, by the variables of its environment: letters where `NO_COLOR` is set, or where nothing says
    /// that it has 256 colours.
    ///
    /// ```
    /// use plait_report::live::Palette;
    ///
    /// assert_eq!(Palette::of(|name| (name == "TERM").then(|| "xterm-256color".into())), Palette::Colors);
    /// assert_eq!(Palette::of(|name| std::env::var(name).ok().filter(|_| false)), Palette::Letters);
    /// ```
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name| variable(name).unwrap_or_default();
        let term = value("TERM");
        let known = ["256", "direct", "truecolor", "kitty", "alacritty", "ghostty", "wezterm", "foot", "tmux"];
        let has_colors = !value("COLORTERM").is_empty() || known.iter().any(|word| term.contains(word));
        if value("NO_COLOR").is_empty() && has_colors && term != "dumb" { Self::Colors } else { Self::Letters }
    }

    /// The cell for a state.
    pub(super) fn cell(self, state: State) -> (&'static str, Style) {
        match self {
            Self::Letters => (letter(state), Style::new()),
            Self::Colors => {
                let (symbol, color) = colored(state);
                (symbol, Style::new().fg(Color::Indexed(color)))
            }
        }
    }

    pub(super) fn style(self, role: Role) -> Style {
        let style = Style::new();
        match (role, self) {
            (Role::Plain, _) | (Role::Quiet, Self::Letters) => style,
            (Role::Quiet, Self::Colors) => style.fg(Color::Indexed(245)),
            (Role::Title, _) => style.add_modifier(Modifier::REVERSED),
            (Role::Verdict | Role::Process, _) | (Role::Hog, Self::Letters) => style.add_modifier(Modifier::BOLD),
            (Role::Hog, Self::Colors) => style.fg(Color::Indexed(VERMILLION)).add_modifier(Modifier::BOLD),
        }
    }
}

const VERMILLION: u8 = 166;

fn colored(state: State) -> (&'static str, u8) {
    match state {
        State::HoldsPython | State::Attached => ("█", 36),
        State::HoldsNative => ("█", VERMILLION),
        State::HoldsBlocked => ("█", 175),
        State::HoldsGc => ("█", 227),
        State::Waits => ("▒", 214),
        State::HandsOff => ("░", 214),
        State::Native | State::Detached => ("▓", 74),
        State::Runnable => ("░", 75),
        State::Network | State::Disk => ("~", 245),
        State::Poll | State::Sleep | State::Lock | State::Child => ("·", 240),
        State::Unknown => ("?", 240),
    }
}

fn letter(state: State) -> &'static str {
    match state {
        State::HoldsPython => "P",
        State::HoldsNative => "N",
        State::HoldsBlocked => "B",
        State::HoldsGc => "G",
        State::Waits => "w",
        State::HandsOff => "h",
        State::Native => "n",
        State::Runnable => "r",
        State::Network => "i",
        State::Disk => "d",
        State::Poll => "o",
        State::Sleep => "s",
        State::Lock => "l",
        State::Child => "c",
        State::Attached => "A",
        State::Detached => "a",
        State::Unknown => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_the_states() {
        for state in State::ALL {
            assert_eq!(Palette::Letters.cell(state), (state.letter().to_string().as_str(), Style::new()));
        }
    }

    #[test]
    fn colours_are_for_terminals_that_have_them() {
        let palette = |set: &[(&str, &str)]| {
            Palette::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(palette(&[("TERM", "xterm-256color")]), Palette::Colors);
        assert_eq!(palette(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]), Palette::Colors);
        assert_eq!(palette(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), Palette::Letters);
        assert_eq!(palette(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]), Palette::Colors);
        assert_eq!(palette(&[("TERM", "vt100")]), Palette::Letters);
        assert_eq!(palette(&[("TERM", "dumb"), ("COLORTERM", "yes")]), Palette::Letters);
        assert_eq!(palette(&[]), Palette::Letters);
    }
}
