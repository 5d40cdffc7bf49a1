//! Text on a screen that may be too small for it, and may come from anywhere.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::palette::{Palette, Role};
use crate::plain_text::one_line;

/// A buffer to draw on. What lies outside is not drawn.
pub(super) struct Canvas<'b> {
    buffer: &'b mut Buffer,
    area: Rect,
    palette: Palette,
}

impl<'b> Canvas<'b> {
    pub(super) fn new(buffer: &'b mut Buffer, area: Rect, palette: Palette) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, palette }
    }

    pub(super) fn width(&self) -> u16 {
        self.area.width
    }

    pub(super) fn height(&self) -> u16 {
        self.area.height
    }

    pub(super) fn palette(&self) -> Palette {
        self.palette
    }

    /// Writes text of whatever origin on one line, cut to `width`.
    pub(super) fn text(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) {
        let style = self.palette.style(role);
        self.styled(x, y, width, text, style);
    }

    pub(super) fn styled(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        if x >= self.area.width || y >= self.area.height {
            return;
        }
        let width = usize::from(width.min(self.area.width - x));
        // Two blanks set parts apart; within a part, whatever came from elsewhere is made safe.
        let text = text.split("  ").map(one_line).collect::<Vec<_>>().join("  ");
        let text = fitted(&text, width);
        self.buffer.set_stringn(self.area.x + x, self.area.y + y, text, width, style);
    }

    /// Sets one cell.
    pub(super) fn cell(&mut self, x: u16, y: u16, symbol: &'static str, style: Style) {
        if x < self.area.width && y < self.area.height {
            self.buffer[(self.area.x + x, self.area.y + y)].set_symbol(symbol).set_style(style);
        }
    }

    /// Makes a part of the screen empty.
    pub(super) fn clear(&mut self, x: u16, y: u16, width: u16, height: u16) {
        for y in y..y.saturating_add(height).min(self.area.height) {
            for x in x..x.saturating_add(width).min(self.area.width) {
                self.buffer[(self.area.x + x, self.area.y + y)].reset();
            }
        }
    }
}

/// The beginning of `text` that is `width` cells wide at most, with an ellipsis where something was left off.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        short.push(c);
    }
    if width > 0 {
        short.push('…');
    }
    short
}

/// Text in lines of `width` cells, and `limit` of them at most; the last one is cut where there is more.
pub(super) fn wrapped(text: &str, width: usize, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in one_line(text).split(' ') {
        let is_full = lines.len() == limit;
        match lines.last_mut() {
            Some(line) if is_full || line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.truncate(limit);
    lines.iter().map(|line| fitted(line, width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_ends_in_an_ellipsis() {
        assert_eq!(fitted("abcdef", 6), "abcdef");
        assert_eq!(fitted("abcdef", 4), "abc…");
        assert_eq!(fitted("数数数", 4), "数…");
        assert_eq!(fitted("abc", 1), "…");
        assert_eq!(fitted("abc", 0), "");
    }

    #[test]
    fn lines_are_broken_at_words() {
        assert_eq!(
            wrapped("use processes instead of threads", 16, 2),
            ["use processes", "instead of threa…"].map(|line| fitted(line, 16))
        );
        assert_eq!(wrapped("a b c", 80, 2), ["a b c"]);
        assert_eq!(wrapped("a b c d e f", 3, 2), ["a b", "c …"]);
        assert_eq!(wrapped("", 10, 0), [""; 0]);
    }
}
