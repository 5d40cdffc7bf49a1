//! From the innermost frame outwards, over copies of the blocks of memory that frames lie on.

use super::code::is_address;
use super::layout::FrameLayout;

/// So many frames are read, the innermost ones.
pub(super) const MOST_FRAMES: usize = 512;
/// Where one byte of a page can be read, all can.
pub(super) const PAGE: u64 = 4096;

/// A copy of some blocks of another process's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks<'a> {
    /// Bytes of each block, a part of a page or a page; each begins at a multiple of it.
    pub size: u64,
    /// Where each begins, ascending.
    pub starts: &'a [u64],
    /// What is in them, block after block.
    pub bytes: &'a [u8],
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
    /// To the frame at `frame`: `block`, in which it lies, is not among the copies.
    Missing { frame: u64, block: u64 },
    /// To what cannot be a frame.
    Broken,
}

impl<'a> Blocks<'a> {
    /// The bytes from `address` on, or the block they miss.
    fn get(&self, address: u64, size: usize) -> Result<&'a [u8], u64> {
        let first = address - address % self.size;
        let last = address + size as u64 - 1;
        let last = last - last % self.size;
        let at = self.starts.binary_search(&first).map_err(|_| first)?;
        if last != first && self.starts.get(at + 1) != Some(&last) {
            return Err(last);
        }
        let from = at * self.size as usize + (address - first) as usize;
        self.bytes.get(from..from + size).ok_or(first)
    }

    /// The frame at `address`.
    pub fn frame(&self, layout: &FrameLayout, address: u64) -> Result<Frame, End> {
        if !is_address(address) {
            return Err(End::Broken);
        }
        let bytes = self.get(address, layout.size).map_err(|block| End::Missing { frame: address, block })?;
        let word = |offset: u64| {
            let at = offset as usize;
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
        };
        let owner = bytes[layout.owner as usize];
        let (previous, instruction) = (word(layout.previous), word(layout.instruction));
        if owner > layout.last_owner {
            return Err(End::Broken);
        }
        if owner >= layout.first_shim {
            return Ok(Frame { address, previous, instruction: 0, code: None });
        }
        let code = word(layout.code) & !layout.tag;
        if !is_address(code) {
            return Err(End::Broken);
        }
        Ok(Frame { address, previous, instruction, code: Some(code) })
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

    /// Two pages at 0x10000 with these frames on them: where, previous, owner.
    fn pages(frames: &[(u64, u64, u8)]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * PAGE as usize];
        for &(address, previous, owner) in frames {
            let at = (address - 0x10000) as usize;
            bytes[at..at + 8].copy_from_slice(&(CODE | 1).to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&previous.to_le_bytes());
            bytes[at + 16..at + 24].copy_from_slice(&(address + 1).to_le_bytes());
            bytes[at + 24] = owner;
        }
        bytes
    }

    fn walk(starts: &[u64], bytes: &[u8], from: u64) -> (End, Vec<Frame>) {
        let mut frames = Vec::new();
        let end = Blocks { size: PAGE, starts, bytes }.walk(&LAYOUT, from, &mut frames);
        (end, frames)
    }

    #[test]
    fn callers_follow_over_the_edge_of_pages_and_past_c_calls() {
        let bytes = pages(&[(0x10100, 0, 0), (0x10ff0, 0x10100, 3), (0x11800, 0x10ff0, 1)]);
        let (end, frames) = walk(&[0x10000, 0x11000], &bytes, 0x11800);
        assert_eq!(end, End::Whole);
        let told: Vec<_> = frames.iter().map(|frame| (frame.address, frame.code)).collect();
        assert_eq!(told, [(0x11800, Some(CODE)), (0x10ff0, None), (0x10100, Some(CODE))]);
        let missing = |block| End::Missing { frame: 0x10ff0, block };
        assert_eq!(walk(&[0x11000], &bytes[PAGE as usize..], 0x11800).0, missing(0x10000));
        assert_eq!(walk(&[0x10000], &bytes[..PAGE as usize], 0x10ff0).0, missing(0x11000));
    }

    #[test]
    fn circles_end_and_rubbish_is_told() {
        let bytes = pages(&[(0x10100, 0x10200, 0), (0x10200, 0x10100, 0), (0x10300, 0x10101, 0), (0x10400, 0, 9)]);
        let starts = [0x10000, 0x11000];
        let (end, frames) = walk(&starts, &bytes, 0x10100);
        assert_eq!((end, frames.len()), (End::Cut, MOST_FRAMES));
        assert!(go_round(&frames) && !go_round(&frames[..2]));
        assert_eq!(walk(&starts, &bytes, 0x10300).0, End::Broken);
        assert_eq!(walk(&starts, &bytes, 0x10400).0, End::Broken);
        assert_eq!(walk(&starts, &bytes, 0x10500).0, End::Broken, "no code");
    }

    proptest! {
        #[test]
        fn nothing_on_the_pages_breaks_it(words in prop::collection::vec(prop_oneof![
            any::<u64>(), 0x10000..0x12000_u64, Just(0), Just(u64::MAX),
        ], 1024), from in prop_oneof![any::<u64>(), 0x10000..0x12000_u64]) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let (_, frames) = walk(&[0x10000, 0x11000], &bytes, from);
            prop_assert!(frames.len() <= MOST_FRAMES);
        }
    }
}
