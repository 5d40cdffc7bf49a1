//! Blocks that were released and whose bytes are still there, since their pages went to nobody else. Plain numbers.

use std::collections::BTreeMap;

/// Released page runs, none of which overlap.
pub(super) struct Released {
    /// By the first page: how many pages, and how many bytes the block had.
    runs: BTreeMap<u64, (u64, u64)>,
}

impl Released {
    pub(super) fn new() -> Self {
        Self { runs: BTreeMap::new() }
    }

    /// A block of `len` bytes on `count` pages from `start` on was released.
    pub(super) fn note(&mut self, start: u64, count: u64, len: u64) {
        self.runs.insert(start, (count, len));
    }

    /// The pages from `start` to before `end` may change now.
    pub(super) fn forget(&mut self, start: u64, end: u64) {
        // Since none overlap, those that reach into the range are the last that begin before its end.
        while let Some((&first, &(count, _))) = self.runs.range(..end).next_back()
            && first + count > start
        {
            self.runs.remove(&first);
        }
    }

    /// How many pages the block of exactly `len` bytes from the page `start` on has, if it is still there; it is forgotten.
    pub(super) fn take(&mut self, start: u64, len: u64) -> Option<u64> {
        let &(count, _) = self.runs.get(&start).filter(|(_, had)| *had == len)?;
        self.runs.remove(&start);
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_forgotten() {
        let mut released = Released::new();
        for start in [0, 10, 20, 30] {
            released.note(start, 10, start + 1);
        }
        released.forget(19, 21);
        assert_eq!((released.take(10, 11), released.take(20, 21)), (None, None));
        released.forget(10, 30);
        assert_eq!(released.take(0, 2), None);
        assert_eq!(released.take(0, 1), Some(10));
        assert_eq!(released.take(0, 1), None);
        released.forget(0, 35);
        assert_eq!(released.take(30, 31), None);
    }
}
