//! A Python string in another process: how it says what it holds, and its characters as text.

use super::layout::TextLayout;

/// Longer names are cut, with a `…` at the end.
pub(super) const LONGEST_TEXT: u64 = 4096;
/// A longer string is no name but rubbish.
const LONGEST_SANE: u64 = 1 << 31;

/// What the head of a string says of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Characters to read.
    pub characters: usize,
    /// Bytes of each: 1, 2 or 4.
    pub width: usize,
    /// There are more characters than are read.
    pub cut: bool,
    pub data: Data,
}

/// Where the characters lie, from the string's own address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Here.
    At(u64),
    /// Where the pointer that lies here leads: a string of a type derived from `str`.
    Behind(u64),
}

impl Head {
    /// Reads the words of a string; `None` for what is no string.
    pub fn read(layout: &TextLayout, length: u64, state: u32) -> Option<Self> {
        let state = state >> layout.kind_shift;
        let (width, compact, ascii) = (state as usize & 7, state >> 3 & 1 == 1, state >> 4 & 1 == 1);
        if !matches!(width, 1 | 2 | 4) || ascii && width != 1 || length > LONGEST_SANE {
            return None;
        }
        let data = match (compact, ascii) {
            (true, true) => Data::At(layout.ascii_size),
            (true, false) => Data::At(layout.compact_size),
            (false, _) => Data::Behind(layout.compact_size),
        };
        let characters = length.min(LONGEST_TEXT) as usize;
        Some(Self { characters, width, cut: length > LONGEST_TEXT, data })
    }

    /// The text of the characters; what is no character, such as half of a pair, becomes `U+FFFD`.
    pub fn text(&self, bytes: &[u8]) -> String {
        let character = |number: u32| char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut text: String = match self.width {
            1 => bytes.iter().map(|&byte| char::from(byte)).collect(),
            2 => bytes.chunks_exact(2).map(|pair| character(u16::from_le_bytes([pair[0], pair[1]]).into())).collect(),
            _ => bytes
                .chunks_exact(4)
                .map(|four| character(u32::from_le_bytes([four[0], four[1], four[2], four[3]])))
                .collect(),
        };
        if self.cut {
            text.push('…');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: TextLayout = TextLayout { length: 16, state: 32, kind_shift: 2, ascii_size: 40, compact_size: 56 };

    fn state(kind: u32, compact: u32, ascii: u32) -> u32 {
        1 | kind << 2 | compact << 5 | ascii << 6
    }

    #[test]
    fn characters_of_each_width_are_read() {
        let read = |length, state, bytes: &[u8]| {
            let head = Head::read(&LAYOUT, length, state).expect("a string");
            (head.data, head.text(bytes))
        };
        assert_eq!(read(3, state(1, 1, 1), b"fib"), (Data::At(40), "fib".into()));
        assert_eq!(read(2, state(1, 1, 0), b"\xe9t"), (Data::At(56), "ét".into()));
        assert_eq!(read(2, state(2, 1, 0), &[0xb1, 0x03, 0x31, 0]), (Data::At(56), "α1".into()));
        assert_eq!(read(1, state(4, 1, 0), &0x1_d452_u32.to_le_bytes()), (Data::At(56), "𝑒".into()));
        assert_eq!(read(1, state(2, 1, 0), &[0, 0xd8]), (Data::At(56), "\u{fffd}".into()));
        assert_eq!(read(1, state(1, 0, 1), b"x"), (Data::Behind(56), "x".into()));
    }

    #[test]
    fn long_text_is_cut_and_rubbish_refused() {
        let head = Head::read(&LAYOUT, LONGEST_TEXT + 1, state(1, 1, 1)).expect("a string");
        assert_eq!((head.characters as u64, head.cut), (LONGEST_TEXT, true));
        assert_eq!(head.text(b"ab"), "ab…");
        assert_eq!(Head::read(&LAYOUT, u64::MAX, state(1, 1, 1)), None);
        assert_eq!(Head::read(&LAYOUT, 3, state(3, 1, 0)), None);
        assert_eq!(Head::read(&LAYOUT, 3, state(2, 1, 1)), None);
        assert_eq!(Head::read(&LAYOUT, 3, state(0, 1, 1)), None);
    }
}
