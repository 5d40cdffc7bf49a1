//! One look at a thread's frames: everything that is wanted copied in one system call, the frames more than once.
//!
//! The target runs on meanwhile, so what is copied may be half before and half after a call. Therefore the memory with
//! frames in it is copied before and after the pointer to the innermost frame is read:
//!
//! ```text
//! heads of code objects | outer frames | inner frames, 3 times | pointer | inner frames | outer frames
//! ```
//!
//! What is the same before and after was so when the pointer was read. Only the instruction of the innermost frame may
//! differ: a thread that runs moves on all the time, and its callers do not. The inner frames, which change most, are
//! copied next to the pointer, half a microsecond apart. A thread that goes once round the very same loop in that time
//! can deceive two copies, each torn in the same place: of a program written to do so, 1 to 5 in 100 of the stacks that two
//! copies let pass could not be. Of several thousand that four copies let pass, not all equally far apart, none was.

use std::slice;

use nix::sys::uio::RemoteIoVec;

use super::Torn;
use super::code::is_address;
use super::gather::{Gather, MOST_PLACES, Miss, place};
use super::layout::{Layout, Top};
use super::walk::{Copied, End, Frame, MOST_FRAMES, Part, go_round};
use super::wanted::{MOST_STRETCHES, Stretch, Wanted};

/// So often the innermost stretch is copied beyond twice.
const MORE_COPIES: usize = 2;
const _: () = assert!(MOST_FRAMES + 2 * MOST_STRETCHES + MORE_COPIES + 2 <= MOST_PLACES);

/// Looks at the frames of threads of one process.
#[derive(Debug)]
pub(super) struct Looker {
    pub gather: Gather,
    pub layout: Layout,
    plan: Plan,
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

/// Which places are copied, and where in the copy they come to lie.
#[derive(Debug, Default)]
struct Plan {
    places: Vec<RemoteIoVec>,
    /// Of all places.
    size: usize,
    before: Vec<Part>,
    /// The innermost stretch again, each time.
    more: Vec<Part>,
    /// Where the pointers lie in the copy: to `cframe` if there is such, and to the innermost frame.
    pointers: usize,
    after: Vec<Part>,
}

impl Plan {
    fn make(&mut self, layout: &Layout, thread_state: u64, wanted: &Wanted) {
        let (head, size) = layout.code.head;
        self.places.clear();
        self.places.extend(wanted.codes.iter().map(|code| place(code + head, size)));
        self.size = size * wanted.codes.len();
        let none = Part { start: 0, size: 0, at: 0 };
        let count = wanted.stretches.len();
        for parts in [&mut self.before, &mut self.after] {
            parts.clear();
            parts.resize(count, none);
        }
        // From one end to the other, but for the innermost stretch, which is next to the pointers both times.
        let innermost = wanted.innermost();
        let order = (0..count).filter(move |&at| at != innermost).chain((count > 0).then_some(innermost));
        self.more.clear();
        for at in order.clone() {
            let Stretch { start, .. } = wanted.stretches[at];
            let size = wanted.stretches[at].size() as usize;
            if at == innermost {
                for _ in 0..MORE_COPIES {
                    let part = self.push(start, size);
                    self.more.push(part);
                }
            }
            self.before[at] = self.push(start, size);
        }
        self.pointers = self.size;
        if let Top::Cframe { cframe, .. } = layout.top {
            self.push(thread_state + cframe, 8);
        }
        self.push(wanted.root, 8);
        for at in order.collect::<Vec<_>>().into_iter().rev() {
            self.after[at] = self.push(wanted.stretches[at].start, wanted.stretches[at].size() as usize);
        }
    }

    fn push(&mut self, start: u64, size: usize) -> Part {
        let part = Part { start, size, at: self.size };
        self.places.push(place(start, size));
        self.size += size;
        part
    }

    /// Reads the frames off both copies in `bytes`, and compares them.
    fn read(&self, layout: &Layout, wanted: &mut Wanted, bytes: &[u8], frames: &mut Vec<Frame>) -> Result<End, Torn> {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let mut pointer = self.pointers;
        if let Top::Cframe { frame, .. } = layout.top {
            let root = word(pointer).wrapping_add(frame);
            if root != wanted.root {
                wanted.root = root;
                return Err(if is_address(root) { Torn::Changed } else { Torn::Unreadable });
            }
            pointer += 8;
        }
        let top = word(pointer);
        wanted.top = top;
        let before = Copied { parts: &self.before, bytes };
        let after = Copied { parts: &self.after, bytes };
        let end = after.walk(&layout.frame, top, frames);
        for (place, frame) in frames.iter().enumerate() {
            let same = |other: Frame| {
                let instruction = if place == 0 { frame.instruction } else { other.instruction };
                Frame { instruction, ..other } == *frame
            };
            if !before.frame(&layout.frame, frame.address).is_ok_and(same) {
                return Err(Torn::Changed);
            }
            for part in &self.more {
                let copied = Copied { parts: slice::from_ref(part), bytes };
                match copied.frame(&layout.frame, frame.address) {
                    Err(End::Missing(_)) => break,
                    other if other.is_ok_and(same) => {}
                    _ => return Err(Torn::Changed),
                }
            }
        }
        if end == End::Broken || end == End::Cut && go_round(frames) {
            return Err(Torn::Changed);
        }
        Ok(end)
    }
}

impl Looker {
    pub fn new(gather: Gather, layout: Layout) -> Self {
        Self { gather, layout, plan: Plan::default(), bytes: Vec::new(), frames: Vec::new(), cut: false }
    }

    /// Finds out where the pointer to the innermost frame of a thread lies.
    pub fn root(&self, thread_state: u64) -> Result<u64, Torn> {
        let root = match self.layout.top {
            Top::State { frame } => thread_state + frame,
            Top::Cframe { cframe, frame } => {
                let cframe = self.gather.memory().u64(thread_state + cframe).map_err(Miss::from)?;
                cframe.wrapping_add(frame)
            }
        };
        if is_address(root) { Ok(root) } else { Err(Torn::Unreadable) }
    }

    /// Copies what is wanted and reads the frames off it.
    pub fn look(&mut self, thread_state: u64, wanted: &mut Wanted) -> Result<Look, Torn> {
        self.plan.make(&self.layout, thread_state, wanted);
        // Old bytes are overwritten, or not looked at after an error.
        self.bytes.resize(self.plan.size, 0);
        self.gather.read(&self.plan.places, &mut self.bytes)?;
        self.frames.clear();
        let end = self.plan.read(&self.layout, wanted, &self.bytes, &mut self.frames)?;
        self.cut = end != End::Whole;
        if let End::Missing(frame) = end {
            let seen = self.frames.len();
            self.scout(frame, wanted)?;
            let before = (!wanted.add(&self.layout, &self.frames)).then(|| wanted.clone());
            if let Some(before) = before {
                // There is no room. Perhaps it is taken by what was wanted earlier.
                wanted.only(&self.layout, &self.frames);
                if *wanted == before {
                    // All of it is needed: the stack is read as far as there is room.
                    self.frames.truncate(seen);
                    return self.seen(wanted);
                }
            }
            return Ok(Look::Again);
        }
        self.seen(wanted)
    }

    /// Whether the heads of all code objects were copied, too.
    fn seen(&self, wanted: &mut Wanted) -> Result<Look, Torn> {
        let all = |wanted: &Wanted| {
            let mut codes = self.frames.iter().filter_map(|frame| frame.code);
            codes.all(|code| wanted.codes.binary_search(&code).is_ok())
        };
        if all(wanted) {
            return Ok(Look::Seen);
        }
        wanted.add(&self.layout, &self.frames);
        if !all(wanted) {
            wanted.only(&self.layout, &self.frames);
        }
        Ok(Look::Again)
    }

    /// The head of the code object at `code`, as the last look copied it.
    pub fn head(&self, wanted: &Wanted, code: u64) -> Option<&[u8]> {
        let size = self.layout.code.head.1;
        let at = wanted.codes.binary_search(&code).ok()? * size;
        self.bytes.get(at..at + size)
    }

    /// Follows the frames from `from` on as they are now, to where they are wanted already.
    fn scout(&mut self, from: u64, wanted: &Wanted) -> Result<(), Torn> {
        let mut bytes = [0; 256];
        let bytes = &mut bytes[..self.layout.frame.size];
        let mut next = from;
        while is_address(next) && self.frames.len() < MOST_FRAMES && !wanted.covers(&self.layout, next) {
            if let Err(reason) = self.gather.memory().read_into(next, bytes) {
                // What was found so far may be right all the same.
                return if next == from { Err(Miss::from(reason).into()) } else { Ok(()) };
            }
            let Some(frame) = Frame::read(&self.layout.frame, next, bytes) else {
                return Ok(());
            };
            next = frame.previous;
            self.frames.push(frame);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::layout::{V3_11, V3_12};

    const TOP: u64 = 0x10100;
    const CALLER: u64 = 0x10080;
    const OUTER: u64 = 0x30000;
    const STATE: u64 = 0x5000;

    /// A caller, outside of it a frame elsewhere, and the frame that it called, copied as planned.
    struct Copies {
        layout: Layout,
        wanted: Wanted,
        plan: Plan,
        bytes: Vec<u8>,
    }

    impl Copies {
        fn new(layout: Layout) -> Self {
            let root = match layout.top {
                Top::State { frame } => STATE + frame,
                Top::Cframe { frame, .. } => 0x6000 + frame,
            };
            let frames = [(TOP, CALLER, 0x7000), (CALLER, OUTER, 0x8000), (OUTER, 0, 0x9000)];
            let mut wanted = Wanted { root, top: TOP, ..Wanted::default() };
            wanted.add(
                &layout,
                &frames.map(|(address, previous, code)| Frame { address, previous, instruction: 0, code: Some(code) }),
            );
            let mut plan = Plan::default();
            plan.make(&layout, STATE, &wanted);
            let mut bytes = vec![0; plan.size];
            let mut write = |at: usize, word: u64| bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            for (address, previous, code) in frames {
                let more = plan.more.iter().map(slice::from_ref).filter(|_| address < OUTER);
                for parts in [&plan.before[..], &plan.after].into_iter().chain(more) {
                    let at = Self::at(parts, address);
                    write(at + layout.frame.previous as usize, previous);
                    write(at + layout.frame.code as usize, code);
                }
            }
            match layout.top {
                Top::State { .. } => write(plan.pointers, TOP),
                Top::Cframe { .. } => {
                    write(plan.pointers, 0x6000);
                    write(plan.pointers + 8, TOP);
                }
            }
            Self { layout, wanted, plan, bytes }
        }

        fn at(parts: &[Part], address: u64) -> usize {
            let part = parts.iter().find(|part| (part.start..part.start + part.size as u64).contains(&address));
            let part = part.expect("copied");
            part.at + (address - part.start) as usize
        }

        /// What comes out with the byte at `at` of the copy changed.
        fn with_other(&self, at: Option<usize>) -> Result<End, Torn> {
            let mut bytes = self.bytes.clone();
            if let Some(at) = at {
                bytes[at] ^= 8;
            }
            self.plan.read(&self.layout, &mut self.wanted.clone(), &bytes, &mut Vec::new())
        }
    }

    #[test]
    fn only_the_innermost_instruction_may_change_between_the_copies() {
        for layout in [V3_11, V3_12, Layout { top: Top::State { frame: 72 }, ..V3_12 }] {
            let copies = Copies::new(layout);
            assert_eq!(copies.with_other(None), Ok(End::Whole));
            let frame = layout.frame;
            for parts in [&copies.plan.before, &copies.plan.after] {
                let other =
                    |address, offset: u64| copies.with_other(Some(Copies::at(parts, address) + offset as usize));
                assert_eq!(other(TOP, frame.instruction), Ok(End::Whole));
                for address in [CALLER, OUTER] {
                    assert_eq!(other(address, frame.instruction), Err(Torn::Changed));
                }
                for address in [TOP, CALLER, OUTER] {
                    assert_eq!(other(address, frame.code), Err(Torn::Changed), "{address:#x}");
                    assert_eq!(other(address, frame.owner), Err(Torn::Changed), "{address:#x}");
                    // What the thread does with its own values is none of our business.
                    assert_eq!(other(address, frame.size as u64), Ok(End::Whole), "{address:#x}");
                }
            }
            for more in &copies.plan.more {
                let at = |address, offset: u64| Some(Copies::at(slice::from_ref(more), address) + offset as usize);
                assert_eq!(copies.with_other(at(TOP, frame.instruction)), Ok(End::Whole));
                assert_eq!(copies.with_other(at(CALLER, frame.instruction)), Err(Torn::Changed));
                assert_eq!(copies.with_other(at(TOP, frame.code)), Err(Torn::Changed));
            }
            for address in [TOP, CALLER, OUTER] {
                let at = Copies::at(&copies.plan.before, address) + frame.previous as usize;
                assert_eq!(copies.with_other(Some(at)), Err(Torn::Changed), "{address:#x}");
            }
        }
    }

    #[test]
    fn inner_frames_lie_next_to_the_pointers() {
        let copies = Copies::new(V3_12);
        let heads = 3 * V3_12.code.head.1;
        let inner = 512 * (1 + MORE_COPIES);
        assert_eq!(Copies::at(&copies.plan.before, OUTER), heads);
        assert_eq!(Copies::at(slice::from_ref(&copies.plan.more[0]), 0x10000), heads + 512);
        assert_eq!(Copies::at(&copies.plan.before, 0x10000), copies.plan.pointers - 512);
        assert_eq!(copies.plan.pointers, heads + 512 + inner);
        assert_eq!(Copies::at(&copies.plan.after, 0x10000), copies.plan.pointers + 16);
        assert_eq!(Copies::at(&copies.plan.after, OUTER), copies.plan.pointers + 16 + 512);
        assert_eq!(copies.plan.size, copies.plan.pointers + 16 + 2 * 512);
    }

    #[test]
    fn another_block_of_c_calls_is_looked_for() {
        let copies = Copies::new(V3_12);
        let mut bytes = copies.bytes.clone();
        bytes[copies.plan.pointers] = 0x80;
        let mut wanted = copies.wanted.clone();
        assert_eq!(copies.plan.read(&V3_12, &mut wanted, &bytes, &mut Vec::new()), Err(Torn::Changed));
        assert_eq!(wanted.root, 0x6080);
    }
}
