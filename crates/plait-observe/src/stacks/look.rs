//! One look at a thread's frames: everything that is wanted copied in one system call, the frames twice.
//!
//! The target runs on meanwhile, so what is copied may be half before and half after a call. Therefore the pages with
//! frames are copied twice, one right after the other, and the pointer to the innermost frame before and after both:
//!
//! ```text
//! heads of code objects | pointer | pages | the same pages | the same pointer
//! ```
//!
//! What is the same in both copies was there at one moment between them. Only the instruction of the innermost
//! frame may differ: a thread that runs moves on all the time, and its callers do not.

use std::mem;

use nix::sys::uio::RemoteIoVec;

use super::Torn;
use super::code::is_address;
use super::gather::{Gather, Miss, place};
use super::layout::{Layout, Top};
use super::walk::{End, Frame, MOST_FRAMES, PAGE, Pages, go_round};

/// So many pages are copied, each twice; with the code objects that is as many places as the kernel takes in one call.
const MOST_PAGES: usize = 250;

/// What to copy of a thread: learnt by earlier looks, and mostly still right.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Where the pointer to the innermost frame lies; 0 while that is not known.
    root: u64,
    /// Pages with frames on them, ascending.
    pages: Vec<u64>,
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
    /// Where the innermost frame's pointer lies, and that the process is still the same one.
    pub fn root(&mut self, looker: &Looker, thread_state: u64) -> Result<(), Torn> {
        if !is_address(thread_state) {
            return Err(Torn::Unreadable);
        }
        let memory = looker.gather.memory();
        let read = |address| memory.u64(address).map_err(|reason| Torn::from(Miss::from(reason)));
        self.root = match looker.layout.top {
            Top::State { frame } => {
                read(thread_state + frame)?;
                thread_state + frame
            }
            Top::Cframe { cframe, frame } => read(thread_state + cframe)?.wrapping_add(frame),
        };
        if is_address(self.root) { Ok(()) } else { Err(Torn::Unreadable) }
    }

    /// Forgets what `frames` do not need.
    pub fn prune(&mut self, layout: &Layout, frames: &[Frame]) {
        let last_byte = layout.frame.size as u64 - 1;
        let on = |page: u64| move |frame: &Frame| (frame.address..=frame.address + last_byte).contains(&page);
        let touches = |page: u64, frame: &Frame| frame.address / PAGE * PAGE == page || on(page)(frame);
        self.pages.retain(|&page| frames.iter().any(|frame| touches(page, frame)));
        self.codes.retain(|&code| frames.iter().any(|frame| frame.code == Some(code)));
    }

    /// Whether much more is wanted than `frames` need.
    pub fn is_lavish(&self, frames: &[Frame]) -> bool {
        self.pages.len() > 4 + frames.len() || self.codes.len() > 16 + 2 * frames.len()
    }

    /// Adds the code objects of `frames`; whether any was not wanted before.
    fn add_codes(&mut self, frames: &[Frame]) -> bool {
        let before = self.codes.len();
        self.codes.extend(frames.iter().filter_map(|frame| frame.code));
        self.codes.sort_unstable();
        self.codes.dedup();
        self.codes.len() > before
    }
}

impl Looker {
    pub fn new(gather: Gather, layout: Layout) -> Self {
        Self { gather, layout, places: Vec::new(), bytes: Vec::new(), frames: Vec::new(), cut: false }
    }

    /// Copies what is wanted and reads the frames off it.
    pub fn look(&mut self, thread_state: u64, wanted: &mut Wanted) -> Result<Look, Torn> {
        self.frames.clear();
        self.copy(thread_state, wanted)?;
        let mut frames = mem::take(&mut self.frames);
        let read = self.read(wanted, &mut frames);
        self.frames = frames;
        match read? {
            End::Missing { frame, .. } => {
                if wanted.pages.len() >= MOST_PAGES {
                    wanted.prune(&self.layout, &self.frames);
                }
                self.scout(frame, wanted)?;
                Ok(Look::Again)
            }
            End::Broken => Err(Torn::Changed),
            End::Whole | End::Cut => {
                if self.frames.iter().any(|frame| frame.code.is_some_and(|code| !wanted.codes.contains(&code))) {
                    if wanted.codes.len() + self.frames.len() > MOST_FRAMES {
                        wanted.prune(&self.layout, &self.frames);
                    }
                    wanted.add_codes(&self.frames);
                    return Ok(Look::Again);
                }
                Ok(Look::Seen)
            }
        }
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
            let runs = wanted.pages.chunk_by(|one, next| one + PAGE == *next);
            places.extend(runs.map(|run| place(run[0], run.len() * PAGE as usize)));
        }
        places.push(root);
        places.extend(cframe);
        let total = places.iter().map(|place| place.len).sum();
        // Old bytes are overwritten, or not looked at after an error.
        self.bytes.resize(total, 0);
        self.gather.read(places, &mut self.bytes).map_err(Torn::from)
    }

    /// Reads the frames off both copies, and compares them.
    fn read(&mut self, wanted: &Wanted, frames: &mut Vec<Frame>) -> Result<End, Torn> {
        let pages = wanted.pages.len() * PAGE as usize;
        let heads = wanted.codes.len() * self.layout.code.head.1;
        let (pointers, offset) = match self.layout.top {
            Top::State { .. } => (8, None),
            Top::Cframe { frame, .. } => (16, Some(frame)),
        };
        let (before, rest) = self.bytes[heads..].split_at(pointers);
        let (first, rest) = rest.split_at(pages);
        let (second, after) = rest.split_at(pages);
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        // The pointers are mirrored: the last before the pages is the first after them.
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
        let first = Pages { starts: &wanted.pages, bytes: first };
        let second = Pages { starts: &wanted.pages, bytes: second };
        let layout = &self.layout.frame;
        let mut end = first.walk(layout, top, frames);
        for (place, frame) in frames.iter().enumerate() {
            let mut again = second.frame(layout, frame.address).map_err(|_| Torn::Changed)?;
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
        if matches!(end, End::Missing { .. }) && wanted.pages.len() >= MOST_PAGES {
            let needed = frames.iter().map(|frame| frame.address / PAGE).collect::<std::collections::HashSet<_>>();
            // All of them are needed, or nearly so: it is as deep as can be read.
            if needed.len() + 2 >= MOST_PAGES {
                end = End::Cut;
            }
        }
        self.cut = end == End::Cut;
        Ok(end)
    }

    /// Follows the frames from `frame` on as they are now, page by page, to learn which pages and code objects to want.
    fn scout(&mut self, frame: u64, wanted: &mut Wanted) -> Result<(), Torn> {
        let (mut starts, mut bytes) = (Vec::new(), Vec::new());
        let mut from = frame;
        let mut frames = mem::take(&mut self.frames);
        let outcome = loop {
            let pages = Pages { starts: &starts, bytes: &bytes };
            let End::Missing { frame, page } = pages.walk(&self.layout.frame, from, &mut frames) else {
                break Ok(());
            };
            let mut copy = [0; PAGE as usize];
            if let Err(reason) = self.gather.memory().read_into(page, &mut copy) {
                // What was found so far may be right all the same.
                break if starts.is_empty() { Err(Miss::from(reason).into()) } else { Ok(()) };
            }
            let at = starts.partition_point(|&start| start < page);
            starts.insert(at, page);
            let at = at * PAGE as usize;
            bytes.splice(at..at, copy);
            from = frame;
            if wanted.pages.len() + starts.len() >= MOST_PAGES {
                break Ok(());
            }
        };
        wanted.pages.append(&mut starts);
        wanted.pages.sort_unstable();
        wanted.pages.dedup();
        if wanted.codes.len() + frames.len() <= MOST_FRAMES {
            wanted.add_codes(&frames);
        }
        self.frames = frames;
        outcome
    }
}
