//! From the innermost frame outwards, over a copy of the memory that frames lie in.

use super::code::is_address;
use super::layout::FrameLayout;

/// So many frames are read, the innermost ones.
pub(super) const MOST_FRAMES: usize = 512;

/// A copy of some stretches of another process's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied<'a> {
    /// Ascending by where they begin.
    pub parts: &'a [Part],
    pub bytes: &'a [u8],
}

/// One stretch of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins in the process.
    pub start: u64,
    pub size: usize,
    /// Where it begins in the copy.
    pub at: usize,
}

/// A frame of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub address: u64,
    pub previous: u64,
    pub instruction: u64,
    /// The code object; `None` for a frame that stands for a C call into the interpreter.
    pub code: Option<u64>,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// To the outermost frame.
    Whole,
    /// To as many frames as are read.
    Cut,
    /// To the frame at this address, which is not in the copy.
    Missing(u64),
    /// To what cannot be a frame.
    Broken,
}

impl Frame {
    /// The frame at `address`, the bytes of which are `bytes`; `None` for what cannot be one.
    pub fn read(layout: &FrameLayout, address: u64, bytes: &[u8]) -> Option<Self> {
        let word = |offset: u64| {
            let at = offset as usize;
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
        };
        let owner = bytes[layout.owner as usize];
        let (previous, instruction) = (word(layout.previous), word(layout.instruction));
        if owner > layout.last_owner {
            return None;
        }
        if owner >= layout.first_shim {
            return Some(Self { address, previous, instruction: 0, code: None });
        }
        let code = word(layout.code) & !layout.tag;
        is_address(code).then_some(Self { address, previous, instruction, code: Some(code) })
    }
}

impl<'a> Copied<'a> {
    fn get(&self, address: u64, size: usize) -> Option<&'a [u8]> {
        let after = self.parts.partition_point(|part| part.start <= address);
        let part = &self.parts[after.checked_sub(1)?];
        let from = usize::try_from(address - part.start).ok()?;
        (from < part.size && size <= part.size - from).then(|| &self.bytes[part.at + from..][..size])
    }

    /// The frame at `address`.
    pub fn frame(&self, layout: &FrameLayout, address: u64) -> Result<Frame, End> {
        if !is_address(address) {
            return Err(End::Broken);
        }
        let bytes = self.get(address, layout.size).ok_or(End::Missing(address))?;
        Frame::read(layout, address, bytes).ok_or(End::Broken)
    }

    /// Adds the frame at `from` and its callers to `frames`.
    pub fn walk(&self, layout: &FrameLayout, from: u64, frames: &mut Vec<Frame>) -> End {
        let mut next = from;
        while next != 0 {
            if frames.len() == MOST_FRAMES {
                return End::Cut;
            }
            match self.frame(layout, next) {
                Ok(frame) => {
                    next = frame.previous;
                    frames.push(frame);
                }
                Err(end) => return end,
            }
        }
        End::Whole
    }
}

/// Whether a frame is its own caller's caller: only a walk that did not end can tell of such.
pub(super) fn go_round(frames: &[Frame]) -> bool {
    let mut addresses: Vec<u64> = frames.iter().map(|frame| frame.address).collect();
    addresses.sort_unstable();
    addresses.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: FrameLayout = FrameLayout {
        code: 0,
        previous: 8,
        instruction: 16,
        owner: 24,
        tag: 7,
        first_shim: 3,
        last_owner: 4,
        size: 32,
        last_run: false,
    };
    const CODE: u64 = 0x7000;
    const SIZE: usize = 0x1000;
    /// Copied out of order.
    const PARTS: [Part; 2] =
        [Part { start: 0x10000, size: SIZE, at: SIZE }, Part { start: 0x20000, size: SIZE, at: 0 }];

    /// The two parts with these frames in them: where, previous, owner.
    fn copy(frames: &[(u64, u64, u8)]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * SIZE];
        for &(address, previous, owner) in frames {
            let part = PARTS.iter().find(|part| (part.start..part.start + SIZE as u64).contains(&address));
            let part = part.expect("in a part");
            let at = part.at + (address - part.start) as usize;
            bytes[at..at + 8].copy_from_slice(&(CODE | 1).to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&previous.to_le_bytes());
            bytes[at + 16..at + 24].copy_from_slice(&(address + 1).to_le_bytes());
            bytes[at + 24] = owner;
        }
        bytes
    }

    fn walk(bytes: &[u8], from: u64) -> (End, Vec<Frame>) {
        let mut frames = Vec::new();
        let end = Copied { parts: &PARTS, bytes }.walk(&LAYOUT, from, &mut frames);
        (end, frames)
    }

    #[test]
    fn callers_follow_from_part_to_part_and_past_c_calls() {
        let bytes = copy(&[(0x10fe0, 0, 0), (0x20100, 0x10fe0, 3), (0x10000, 0x20100, 1)]);
        let (end, frames) = walk(&bytes, 0x10000);
        assert_eq!(end, End::Whole);
        let told: Vec<_> = frames.iter().map(|frame| (frame.address, frame.code)).collect();
        assert_eq!(told, [(0x10000, Some(CODE)), (0x20100, None), (0x10fe0, Some(CODE))]);
        assert_eq!(walk(&bytes, 0).0, End::Whole);
        for outside in [0xfff8, 0x10fe8, 0x11000, 0x20ff0, 0x7fff_ffff_f000] {
            assert_eq!(walk(&bytes, outside).0, End::Missing(outside));
        }
    }

    #[test]
    fn circles_end_and_rubbish_is_told() {
        let bytes = copy(&[(0x10100, 0x10200, 0), (0x10200, 0x10100, 0), (0x10300, 0x10101, 0), (0x10400, 0, 9)]);
        let (end, frames) = walk(&bytes, 0x10100);
        assert_eq!((end, frames.len()), (End::Cut, MOST_FRAMES));
        assert!(go_round(&frames) && !go_round(&frames[..2]));
        assert_eq!(walk(&bytes, 0x10300).0, End::Broken);
        assert_eq!(walk(&bytes, 0x10400).0, End::Broken);
        assert_eq!(walk(&bytes, 0x10500).0, End::Broken, "no code");
    }

    proptest! {
        #[test]
        fn nothing_in_the_copy_breaks_it(words in prop::collection::vec(prop_oneof![
            any::<u64>(), 0x10000..0x11000_u64, 0x20000..0x21000_u64, Just(0), Just(u64::MAX),
        ], 1024), from in prop_oneof![any::<u64>(), 0x10000..0x11000_u64]) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let (_, frames) = walk(&bytes, from);
            prop_assert!(frames.len() <= MOST_FRAMES);
        }
    }
}
