//! Runs of pages: best fit, neighbours joined again at once. Plain numbers; it touches no memory.

use std::collections::{BTreeMap, BTreeSet};

/// Which pages of the arena are free.
pub(super) struct Pages {
    /// Free runs below `end`, by their first page; no two touch, and none touches `end`.
    by_start: BTreeMap<u64, u64>,
    /// The same, by their length.
    by_count: BTreeSet<(u64, u64)>,
    end: u64,
    limit: u64,
}

impl Pages {
    pub(super) fn new(limit: u64) -> Self {
        Self { by_start: BTreeMap::new(), by_count: BTreeSet::new(), end: 0, limit }
    }

    /// The first of `count` pages in a row, from the shortest free run that has them.
    pub(super) fn take(&mut self, count: u64) -> Option<u64> {
        if let Some(&(found, start)) = self.by_count.range((count, 0)..).next() {
            self.remove(start, found);
            if found > count {
                self.insert(start + count, found - count);
            }
            return Some(start);
        }
        // No free run reaches the end, so new pages start there.
        if count > self.limit - self.end {
            return None;
        }
        let start = self.end;
        self.end += count;
        Some(start)
    }

    /// As [`Pages::take`], the first page a multiple of `align`.
    pub(super) fn take_aligned(&mut self, count: u64, align: u64) -> Option<u64> {
        let spare = align - 1;
        let start = self.take(count + spare)?;
        let aligned = start.next_multiple_of(align);
        if aligned > start {
            self.give(start, aligned - start);
        }
        let behind = start + spare - aligned;
        if behind > 0 {
            self.give(aligned + count, behind);
        }
        Some(aligned)
    }

    /// Takes the `count` pages from `start` on, all of which are free.
    pub(super) fn take_at(&mut self, start: u64, count: u64) {
        if start >= self.end {
            // No free run touches the end.
            if start > self.end {
                self.insert(self.end, start - self.end);
            }
            self.end = start + count;
            debug_assert!(self.end <= self.limit);
            return;
        }
        let (&before, &found) = self.by_start.range(..=start).next_back().expect("the pages are free");
        debug_assert!(start + count <= before + found);
        self.remove(before, found);
        if start > before {
            self.insert(before, start - before);
        }
        let behind = before + found - (start + count);
        if behind > 0 {
            self.insert(start + count, behind);
        }
    }

    /// Takes `count` pages back.
    pub(super) fn give(&mut self, mut start: u64, mut count: u64) {
        debug_assert!(start + count <= self.end);
        if let Some((&before, &found)) = self.by_start.range(..start).next_back()
            && before + found == start
        {
            self.remove(before, found);
            start = before;
            count += found;
        }
        if let Some(&found) = self.by_start.get(&(start + count)) {
            self.remove(start + count, found);
            count += found;
        }
        if start + count == self.end {
            // So that pages that could not be written are not preferred to pages that were.
            self.end = start;
        } else {
            self.insert(start, count);
        }
    }

    /// Pages from here on are free, whether they were ever used or not.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Free runs below the end, in order: first page, pages.
    pub(super) fn free_runs(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.by_start.iter().map(|(&start, &count)| (start, count))
    }

    fn insert(&mut self, start: u64, count: u64) {
        self.by_start.insert(start, count);
        self.by_count.insert((count, start));
    }

    fn remove(&mut self, start: u64, count: u64) {
        self.by_start.remove(&start);
        self.by_count.remove(&(count, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_run_that_fits_is_used() {
        let mut pages = Pages::new(100);
        let runs: Vec<_> = [10, 1, 4, 1, 6, 1].map(|count| pages.take(count).unwrap()).into();
        for i in [0, 2, 4] {
            pages.give(runs[i], [10, 1, 4, 1, 6, 1][i]);
        }
        assert_eq!(pages.take(5), Some(runs[4]));
        assert_eq!(pages.take(4), Some(runs[2]));
        assert_eq!(pages.take(11), Some(23));
        assert_eq!(pages.take(67), None);
        assert_eq!(pages.take(66), Some(34));
        assert_eq!(pages.take(8), Some(0));
    }

    #[test]
    fn neighbours_are_joined() {
        let mut pages = Pages::new(100);
        let starts = [7, 8, 9].map(|count| pages.take(count).unwrap());
        pages.give(starts[0], 7);
        pages.give(starts[2], 9);
        pages.give(starts[1], 8);
        assert_eq!((pages.free_runs().count(), pages.end()), (0, 0));
        assert_eq!(pages.take(100), Some(0));
    }

    #[test]
    fn free_pages_can_be_had_where_they_lie() {
        let mut pages = Pages::new(100);
        let starts = [10, 10, 10].map(|count| pages.take(count).unwrap());
        pages.give(starts[1], 10);
        pages.take_at(12, 3);
        assert_eq!(pages.free_runs().collect::<Vec<_>>(), [(10, 2), (15, 5)]);
        pages.give(12, 3);
        pages.take_at(10, 10);
        assert_eq!(pages.free_runs().count(), 0);
        starts.into_iter().for_each(|start| pages.give(start, 10));
        assert_eq!(pages.end(), 0);
        pages.take_at(90, 10);
        assert_eq!((pages.free_runs().collect::<Vec<_>>(), pages.end()), (vec![(0, 90)], 100));
        pages.take_at(0, 90);
        assert_eq!(pages.take(1), None);
    }

    #[test]
    fn aligned_runs_leave_the_rest_free() {
        let mut pages = Pages::new(64);
        assert_eq!(pages.take(3), Some(0));
        assert_eq!(pages.take_aligned(16, 16), Some(16));
        assert_eq!(pages.free_runs().collect::<Vec<_>>(), [(3, 13)]);
        assert_eq!(pages.end(), 32);
        assert_eq!(pages.take_aligned(16, 16), Some(32));
    }
}
