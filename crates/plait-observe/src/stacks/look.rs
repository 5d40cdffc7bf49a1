//! One look at a thread's frames: everything that is wanted copied in one system call, the frames twice.
//!
//! The target runs on meanwhile, so what is copied may be half before and half after a call. Therefore the blocks of
//! memory with frames in them are copied twice, one copy right after the other, and the pointer to the innermost frame
//! before and after both:
//!
//! ```text
//! heads of code objects | pointer | blocks | the same blocks | the same pointer
//! ```
//!
//! What is the same in both copies was there at one moment between them. Only the instruction of the innermost
//! frame may differ: a thread that runs moves on all the time, and its callers do not. A thread that goes through the
//! very same loop between the two copies can still deceive; that takes a loop as short as a copy, a few hundred
//! nanoseconds, and met once in ten thousand stacks of a program written for it.

use nix::sys::uio::RemoteIoVec;

use super::Torn;
use super::code::is_address;
use super::gather::{Gather, Miss, place};
use super::layout::{Layout, Top};
use super::walk::{Blocks, End, Frame, MOST_FRAMES, PAGE, go_round};

/// What is copied of the memory with frames in it, in this unit: a part of a page, so that all of it can be read.
const BLOCK: u64 = 1024;
/// So many blocks are copied, each twice; with the code objects that is as many places as the kernel takes in one call.
const MOST_BLOCKS: usize = 250;
const _: () = assert!(MOST_FRAMES + 2 * MOST_BLOCKS + 4 <= super::gather::MOST_PLACES);

/// What to copy of a thread: learnt by earlier looks, and mostly still right.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Where the pointer to the innermost frame lies; 0 while that is not known.
    root: u64,
    /// Blocks with frames in them, ascending.
    blocks: Vec<u64>,
    /// Code objects of those frames, ascending.
    codes: Vec<u64>,
}

/// Looks at the frames of threads of one process.
#[derive(Debug)]
pub(super) struct Looker {
    pub gather: Gather,
    pub layout: Layout,
    places: Vec<RemoteIoVec>,
    bytes: Vec<u8>,
    /// What the last look found, the innermost first.
    pub frames: Vec<Frame>,
    /// Whether frames are missing at the outer end.
    pub cut: bool,
}

/// What a look led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The frames are in [`Looker::frames`], and the heads of their code objects can be asked for.
    Seen,
    /// More is wanted than was known: look again.
    Again,
}

impl Wanted {
    /// Finds out where the pointer to the innermost frame lies, and that the process is still the same one.
    pub fn root(&mut self, looker: &Looker, thread_state: u64) -> Result<(), Torn> {
        if !is_address(thread_state) {
            return Err(Torn::Unreadable);
        }
        let read = |address| looker.gather.memory().u64(address).map_err(|reason| Torn::from(Miss::from(reason)));
        self.root = match looker.layout.top {
            Top::State { frame } => {
                read(thread_state + frame)?;
                thread_state + frame
            }
            Top::Cframe { cframe, frame } => read(thread_state + cframe)?.wrapping_add(frame),
        };
        if is_address(self.root) { Ok(()) } else { Err(Torn::Unreadable) }
    }

    /// Wants no more than `frames` need, if it is much more. Threads go back and forth, so a little more is kept.
    pub fn tidy(&mut self, layout: &Layout, frames: &[Frame]) {
        if self.blocks.len() > 16 + 2 * frames.len() || self.codes.len() > 32 + 2 * frames.len() {
            self.forget();
            self.add(layout, frames);
        }
    }

    fn forget(&mut self) {
        self.blocks.clear();
        self.codes.clear();
    }

    /// Adds what `frames` need, from the innermost on, as far as there is room. Whether anything was added.
    fn add(&mut self, layout: &Layout, frames: &[Frame]) -> bool {
        let mut added = false;
        let mut insert = |list: &mut Vec<u64>, most: usize, item: u64| {
            if let Err(at) = list.binary_search(&item)
                && list.len() < most
            {
                list.insert(at, item);
                added = true;
            }
        };
        for frame in frames {
            let last = frame.address + layout.frame.size as u64 - 1;
            insert(&mut self.blocks, MOST_BLOCKS, frame.address / BLOCK * BLOCK);
            insert(&mut self.blocks, MOST_BLOCKS, last / BLOCK * BLOCK);
            if let Some(code) = frame.code {
                insert(&mut self.codes, MOST_FRAMES, code);
            }
        }
        added
    }
}

impl Looker {
    pub fn new(gather: Gather, layout: Layout) -> Self {
        Self { gather, layout, places: Vec::new(), bytes: Vec::new(), frames: Vec::new(), cut: false }
    }

    /// Copies what is wanted and reads the frames off it.
    pub fn look(&mut self, thread_state: u64, wanted: &mut Wanted) -> Result<Look, Torn> {
        self.copy(thread_state, wanted)?;
        self.frames.clear();
        let end = read(&self.layout, wanted, &self.bytes, &mut self.frames)?;
        self.cut = end != End::Whole;
        match end {
            End::Broken => Err(Torn::Changed),
            End::Missing { frame, .. } => {
                self.scout(frame)?;
                if wanted.add(&self.layout, &self.frames) {
                    return Ok(Look::Again);
                }
                // There is no room. Perhaps it is taken by what was wanted earlier.
                let mut anew = Wanted { root: wanted.root, ..Wanted::default() };
                anew.add(&self.layout, &self.frames);
                if anew.blocks != wanted.blocks {
                    *wanted = anew;
                    return Ok(Look::Again);
                }
                // All of it is needed: the stack is read as far as there is room.
                self.frames.clear();
                read(&self.layout, wanted, &self.bytes, &mut self.frames)?;
                self.seen(wanted)
            }
            End::Whole | End::Cut => self.seen(wanted),
        }
    }

    /// Whether the heads of all code objects were copied, too.
    fn seen(&self, wanted: &mut Wanted) -> Result<Look, Torn> {
        let codes = |frames: &[Frame], wanted: &Wanted| {
            frames.iter().filter_map(|frame| frame.code).all(|code| wanted.codes.binary_search(&code).is_ok())
        };
        if codes(&self.frames, wanted) {
            return Ok(Look::Seen);
        }
        wanted.add(&self.layout, &self.frames);
        if !codes(&self.frames, wanted) {
            wanted.forget();
            wanted.add(&self.layout, &self.frames);
        }
        Ok(Look::Again)
    }

    /// The head of the code object at `code`, as the last look copied it.
    pub fn head(&self, wanted: &Wanted, code: u64) -> Option<&[u8]> {
        let size = self.layout.code.head.1;
        let at = wanted.codes.binary_search(&code).ok()? * size;
        self.bytes.get(at..at + size)
    }

    fn copy(&mut self, thread_state: u64, wanted: &Wanted) -> Result<(), Torn> {
        let (head, size) = self.layout.code.head;
        let places = &mut self.places;
        places.clear();
        places.extend(wanted.codes.iter().map(|code| place(code + head, size)));
        let cframe = match self.layout.top {
            Top::Cframe { cframe, .. } => Some(place(thread_state + cframe, 8)),
            Top::State { .. } => None,
        };
        let root = place(wanted.root, 8);
        places.extend(cframe);
        places.push(root);
        for _ in 0..2 {
            let runs = wanted.blocks.chunk_by(|one, next| one + BLOCK == *next);
            places.extend(runs.map(|run| place(run[0], run.len() * BLOCK as usize)));
        }
        places.push(root);
        places.extend(cframe);
        let total = places.iter().map(|place| place.len).sum();
        // Old bytes are overwritten, or not looked at after an error.
        self.bytes.resize(total, 0);
        self.gather.read(places, &mut self.bytes).map_err(Torn::from)
    }

    /// Follows the frames from `from` on as they are now, and adds them to those found.
    fn scout(&mut self, from: u64) -> Result<(), Torn> {
        let (mut starts, mut bytes) = (Vec::new(), Vec::new());
        let mut next = from;
        loop {
            let pages = Blocks { size: PAGE, starts: &starts, bytes: &bytes };
            let End::Missing { frame, block } = pages.walk(&self.layout.frame, next, &mut self.frames) else {
                return Ok(());
            };
            let mut page = [0; PAGE as usize];
            if starts.len() == MOST_BLOCKS {
                return Ok(());
            }
            if let Err(reason) = self.gather.memory().read_into(block, &mut page) {
                // What was found so far may be right all the same.
                return if frame == from { Err(Miss::from(reason).into()) } else { Ok(()) };
            }
            let at = starts.partition_point(|&start| start < block);
            starts.insert(at, block);
            let at = at * PAGE as usize;
            bytes.splice(at..at, page);
            next = frame;
        }
    }
}

/// Reads the frames off both copies in `bytes`, and compares them.
fn read(layout: &Layout, wanted: &Wanted, bytes: &[u8], frames: &mut Vec<Frame>) -> Result<End, Torn> {
    let size = wanted.blocks.len() * BLOCK as usize;
    let heads = wanted.codes.len() * layout.code.head.1;
    let (pointers, offset) = match layout.top {
        Top::State { .. } => (8, None),
        Top::Cframe { frame, .. } => (16, Some(frame)),
    };
    let (before, rest) = bytes[heads..].split_at(pointers);
    let (first, rest) = rest.split_at(size);
    let (second, after) = rest.split_at(size);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    // The pointers are mirrored: the last before the blocks is the first after them.
    let (top, top_after) = (word(&before[pointers - 8..]), word(&after[..8]));
    if let Some(offset) = offset {
        let here = |cframe: u64| cframe.wrapping_add(offset) == wanted.root;
        if !here(word(&before[..8])) || !here(word(&after[8..])) {
            return Err(Torn::Changed);
        }
    }
    if top != top_after {
        return Err(Torn::Changed);
    }
    let first = Blocks { size: BLOCK, starts: &wanted.blocks, bytes: first };
    let second = Blocks { bytes: second, ..first };
    let end = first.walk(&layout.frame, top, frames);
    for (place, frame) in frames.iter().enumerate() {
        let mut again = second.frame(&layout.frame, frame.address).map_err(|_| Torn::Changed)?;
        if place == 0 {
            again.instruction = frame.instruction;
        }
        if again != *frame {
            return Err(Torn::Changed);
        }
    }
    if end == End::Cut && go_round(frames) {
        return Err(Torn::Changed);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::layout::{V3_11, V3_12};

    const BLOCK_AT: u64 = 0x10000;
    const TOP: u64 = 0x10100;
    const CALLER: u64 = 0x10080;

    /// Two copies of a caller and the frame that it called, each word of which a test may change.
    struct Copies {
        layout: Layout,
        wanted: Wanted,
        bytes: Vec<u8>,
    }

    impl Copies {
        fn new(layout: Layout) -> Self {
            let root = match layout.top {
                Top::State { frame } => 0x5000 + frame,
                Top::Cframe { frame, .. } => 0x6000 + frame,
            };
            let wanted = Wanted { root, blocks: vec![BLOCK_AT], codes: Vec::new() };
            let mut block = vec![0; BLOCK as usize];
            for (address, previous, code) in [(TOP, CALLER, 0x7000), (CALLER, 0, 0x8000)] {
                let at = (address - BLOCK_AT) as usize;
                for (offset, word) in [(layout.frame.previous, previous), (layout.frame.code, code)] {
                    let at = at + offset as usize;
                    block[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
                }
            }
            let top = u64::to_le_bytes(TOP).to_vec();
            let cframe = match layout.top {
                Top::State { .. } => Vec::new(),
                Top::Cframe { .. } => u64::to_le_bytes(0x6000).to_vec(),
            };
            let bytes = [cframe.clone(), top.clone(), block.clone(), block, top, cframe].concat();
            Self { layout, wanted, bytes }
        }

        fn read(&self) -> Result<End, Torn> {
            read(&self.layout, &self.wanted, &self.bytes, &mut Vec::new())
        }

        /// What comes out with one byte changed in the second copy of the frame at `frame`.
        fn with_other(&self, frame: u64, offset: u64) -> Result<End, Torn> {
            let second = self.bytes.len() / 2 + (frame - BLOCK_AT + offset) as usize;
            self.with_other_at(second)
        }

        fn with_other_at(&self, at: usize) -> Result<End, Torn> {
            let mut bytes = self.bytes.clone();
            bytes[at] ^= 8;
            read(&self.layout, &self.wanted, &bytes, &mut Vec::new())
        }
    }

    #[test]
    fn only_the_innermost_instruction_may_change_between_the_copies() {
        for layout in [V3_11, V3_12, Layout { top: Top::State { frame: 72 }, ..V3_12 }] {
            let copies = Copies::new(layout);
            assert_eq!(copies.read(), Ok(End::Whole));
            let frame = layout.frame;
            assert_eq!(copies.with_other(TOP, frame.instruction), Ok(End::Whole));
            assert_eq!(copies.with_other(CALLER, frame.instruction), Err(Torn::Changed));
            for address in [TOP, CALLER] {
                for offset in [frame.code, frame.previous, frame.owner] {
                    assert_eq!(copies.with_other(address, offset), Err(Torn::Changed), "{address:#x} {offset}");
                }
            }
            // What the thread does with its own values is none of our business.
            assert_eq!(copies.with_other(TOP, frame.size as u64), Ok(End::Whole));
        }
    }

    #[test]
    fn another_innermost_frame_is_a_change() {
        let copies = Copies::new(V3_12);
        for pointer in [0, 8, copies.bytes.len() - 16, copies.bytes.len() - 8] {
            assert_eq!(copies.with_other_at(pointer), Err(Torn::Changed), "at {pointer}");
        }
    }
}
