//! Text in lines of bounded width, in the columns of a terminal rather than in characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` in lines of at most `width` columns, each ended; all but the first are indented. Words longer than a line
/// are cut.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let line = lines.last_mut().expect("there is a first line");
            let gap = usize::from(!line.trim().is_empty());
            if gap + word.width() <= room {
                line.push_str(&" "[..gap]);
                line.push_str(word);
                room -= gap + word.width();
                break;
            }
            if gap == 0 {
                let head = head(word, room.max(2));
                line.push_str(head);
                word = &word[head.len()..];
                if word.is_empty() {
                    break;
                }
            }
            lines.push(" ".repeat(indent));
            room = width.saturating_sub(indent);
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The beginning of `text` that fits into `width` columns, with an ellipsis where something was left off.
pub(crate) fn truncated(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    match width {
        0 => String::new(),
        _ => format!("{}…", head(text, width - 1).trim_end()),
    }
}

/// The longest beginning of `text` within `width` columns, but at least one character.
fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|&(place, c)| {
        used += c.width().unwrap_or(0);
        place > 0 && used > width
    });
    end.map_or(text, |(place, _)| &text[..place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_the_width() {
        assert_eq!(wrapped("one two three", 7, 2), "one two\n  three\n");
        assert_eq!(wrapped("abcdefghij", 4, 1), "abcd\n efg\n hij\n");
        assert_eq!(wrapped("", 4, 1), "\n");
        assert_eq!(wrapped("数数数 a", 4, 0), "数数\n数 a\n");
    }

    #[test]
    fn truncation_counts_columns() {
        assert_eq!(truncated("abc", 3), "abc");
        assert_eq!(truncated("abcd", 3), "ab…");
        assert_eq!(truncated("数数", 3), "数…");
        assert_eq!(truncated("数数", 0), "");
    }
}
