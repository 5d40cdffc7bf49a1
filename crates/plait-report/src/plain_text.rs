//! Text that others wrote (names, error messages), made safe to show on one line.
//!
//! A function or an exception may carry anything in its text: terminal escapes, line ends, marks that turn the
//! direction of writing. [`one_line`] keeps what can be read and spells the rest out, as Python's `repr` does.

/// `text` on one line: runs of white space become one space, and what would steer a terminal or turn the direction
/// of writing is spelled as an escape (`\x1b`, `\u202e`).
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            match c {
                c if c.is_control() => line.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if is_invisible(c) && c > '\u{ffff}' => line.push_str(&format!("\\U{:08x}", u32::from(c))),
                c if is_invisible(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => line.push(c),
            }
        }
    }
    line
}

/// Marks that are not seen but change how their neighbours are shown.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The beginning of `text`, at most `limit` characters, with an ellipsis where something was left off.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_stays_and_the_rest_is_spelled_out() {
        assert_eq!(one_line("  two\r\n lines\tand a tab "), "two lines and a tab");
        assert_eq!(one_line("\u{1b}[31mred\u{7}"), "\\x1b[31mred\\x07");
        assert_eq!(one_line("abc\u{202e}cba\u{200b}"), "abc\\u202ecba\\u200b");
        assert_eq!(one_line("größer <b> 数 👍"), "größer <b> 数 👍");
        assert_eq!(one_line(""), "");
    }

    #[test]
    fn shortening_counts_characters_and_says_so() {
        assert_eq!(shortened("größer", 6), "größer");
        assert_eq!(shortened("größer", 4), "grö…");
        assert_eq!(shortened("a bcd", 3), "a…");
    }
}
