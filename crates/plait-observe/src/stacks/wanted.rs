//! What to copy of a thread to have its frames: learnt by earlier looks, and mostly still right.

use super::layout::Layout;
use super::walk::{Frame, MOST_FRAMES};

/// Where one byte of a page can be read, all can.
const PAGE: u64 = 4096;
/// A little more than a frame is copied, for threads go back and forth: up to the next multiple of this, a part of a page.
const ROUND: u64 = 512;
/// So many stretches are copied, each twice; with the code objects that is as many places as the kernel takes in one call.
pub(super) const MOST_STRETCHES: usize = 250;
/// So many bytes are copied at most, twice.
const MOST_BYTES: u64 = 256 << 10;

/// What to copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Where the pointer to the innermost frame lies; 0 while that is not known.
    pub root: u64,
    /// The innermost frame when it was last seen.
    pub top: u64,
    /// Stretches of memory with frames in them, ascending. There is a page that nobody wants between one and the next.
    pub stretches: Vec<Stretch>,
    /// Code objects of those frames, ascending.
    pub codes: Vec<u64>,
}

/// Memory from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub start: u64,
    pub end: u64,
}

impl Wanted {
    /// Adds what `frames` need, from the innermost on, as far as there is room. Whether anything was added.
    pub fn add(&mut self, layout: &Layout, frames: &[Frame]) -> bool {
        let mut added = false;
        for frame in frames {
            if !self.covers(layout, frame.address) {
                if !self.add_memory(frame.address, frame.address + layout.frame.size as u64) {
                    break;
                }
                added = true;
            }
            if let Some(code) = frame.code
                && let Err(at) = self.codes.binary_search(&code)
                && self.codes.len() < MOST_FRAMES
            {
                self.codes.insert(at, code);
                added = true;
            }
        }
        added
    }

    /// Wants only what `frames` need.
    pub fn only(&mut self, layout: &Layout, frames: &[Frame]) {
        self.stretches.clear();
        self.codes.clear();
        self.add(layout, frames);
    }

    /// As [`Wanted::only`], if much more is wanted than that.
    pub fn tidy(&mut self, layout: &Layout, frames: &[Frame]) {
        let bytes: u64 = self.stretches.iter().map(Stretch::size).sum();
        if self.codes.len() > 16 + 2 * frames.len() || bytes > PAGE + ROUND * 2 * frames.len() as u64 {
            self.only(layout, frames);
        }
    }

    /// Whether the frame at `address` will be copied.
    pub fn covers(&self, layout: &Layout, address: u64) -> bool {
        let after = self.stretches.partition_point(|stretch| stretch.start <= address);
        let end = address.saturating_add(layout.frame.size as u64);
        after.checked_sub(1).is_some_and(|at| end <= self.stretches[at].end)
    }

    /// The number of the stretch with the innermost frame in it.
    pub fn innermost(&self) -> usize {
        self.stretches.partition_point(|stretch| stretch.start <= self.top).saturating_sub(1)
    }

    /// Adds `start` to `end`; both lie on pages that can be read. So does all between two stretches on pages side by
    /// side, and one place is read sooner than two. Whether there was room.
    fn add_memory(&mut self, start: u64, end: u64) -> bool {
        let mut new = Stretch { start: start / ROUND * ROUND, end: end.div_ceil(ROUND) * ROUND };
        let from = self.stretches.partition_point(|stretch| !stretch.touches_below(new.start));
        let to = from + self.stretches[from..].partition_point(|stretch| new.touches_below(stretch.start));
        if let [first, .., last] | [first @ last] = &self.stretches[from..to] {
            new = Stretch { start: new.start.min(first.start), end: new.end.max(last.end) };
        }
        let replaced: u64 = self.stretches[from..to].iter().map(Stretch::size).sum();
        let total: u64 = self.stretches.iter().map(Stretch::size).sum();
        if total - replaced + new.size() > MOST_BYTES || self.stretches.len() - (to - from) >= MOST_STRETCHES {
            return false;
        }
        self.stretches.splice(from..to, [new]);
        true
    }
}

impl Stretch {
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    /// Whether no whole page lies between this and what begins at `start`, behind it.
    fn touches_below(&self, start: u64) -> bool {
        start / PAGE <= (self.end - 1) / PAGE + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::V3_12;
    use super::*;

    fn frame(address: u64) -> Frame {
        Frame { address, previous: 0, instruction: 0, code: Some(address % 7 * 8 + 0x5000) }
    }

    fn stretches(addresses: &[u64]) -> Vec<(u64, u64)> {
        let mut wanted = Wanted::default();
        let frames: Vec<Frame> = addresses.iter().copied().map(frame).collect();
        wanted.add(&V3_12, &frames);
        assert!(!wanted.add(&V3_12, &frames), "nothing is added twice");
        wanted.stretches.iter().map(|stretch| (stretch.start, stretch.end)).collect()
    }

    #[test]
    fn stretches_on_pages_side_by_side_become_one() {
        assert_eq!(stretches(&[0x10008]), [(0x10000, 0x10200)]);
        assert_eq!(stretches(&[0x101f8]), [(0x10000, 0x10400)]);
        assert_eq!(stretches(&[0x10008, 0x10800]), [(0x10000, 0x10a00)]);
        assert_eq!(stretches(&[0x11f00, 0x10008]), [(0x10000, 0x12000)]);
        assert_eq!(stretches(&[0x10008, 0x12000]), [(0x10000, 0x10200), (0x12000, 0x12200)]);
        assert_eq!(stretches(&[0x10008, 0x12000, 0x11000]), [(0x10000, 0x12200)]);
        assert_eq!(stretches(&[0x30000, 0x10008]), [(0x10000, 0x10200), (0x30000, 0x30200)]);
    }

    #[test]
    fn there_is_an_end_to_what_is_wanted() {
        let apart: Vec<u64> = (1..1000).map(|n| n * 3 * PAGE).collect();
        assert_eq!(stretches(&apart).len(), MOST_STRETCHES);
        let wide: Vec<u64> = (1..1000).map(|n| 0x10000 + n * 1000 / 8 * 8).collect();
        let [(start, end)] = stretches(&wide)[..] else { panic!("they lie side by side") };
        assert!(end - start <= MOST_BYTES && end - start > MOST_BYTES - 2 * PAGE, "{start:#x} {end:#x}");
    }

    #[test]
    fn much_more_than_needed_is_forgotten() {
        let mut wanted = Wanted::default();
        let frames: Vec<Frame> = (1..100).map(|n| frame(n * 3 * PAGE)).collect();
        wanted.add(&V3_12, &frames);
        wanted.tidy(&V3_12, &frames[..60]);
        assert_eq!(wanted.stretches.len(), 99, "little more");
        wanted.tidy(&V3_12, &frames[..5]);
        assert_eq!(wanted.stretches.len(), 5);
        assert!(wanted.codes.len() <= 5);
    }

    proptest! {
        #[test]
        fn all_that_was_added_is_covered(addresses in prop::collection::vec((1..2000_u64).prop_map(|n| n * 104 + 0x1000), 1..60)) {
            let mut wanted = Wanted::default();
            for &address in &addresses {
                wanted.add(&V3_12, &[frame(address)]);
            }
            for &address in &addresses {
                prop_assert!(wanted.covers(&V3_12, address));
                wanted.top = address;
                let innermost = wanted.stretches[wanted.innermost()];
                prop_assert!(innermost.start <= address && address < innermost.end);
            }
            for pair in wanted.stretches.windows(2) {
                prop_assert!(pair[0].end.div_ceil(PAGE) < pair[1].start / PAGE);
            }
        }
    }
}
