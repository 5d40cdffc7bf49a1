//! Which pages of the arena have memory: those may be written through the mapping, the others by `pwrite` alone.

/// One bit for each page.
pub(super) struct Warm {
    page: u64,
    bits: Vec<u64>,
}

impl Warm {
    pub(super) fn new(page: u64) -> Self {
        Self { page, bits: Vec::new() }
    }

    /// Does every page that holds a byte of `start..end` have memory?
    pub(super) fn covers(&self, start: u64, end: u64) -> bool {
        if start >= end {
            return true;
        }
        let (first, last) = (start / self.page, (end - 1) / self.page);
        masks(first, last).all(|(word, mask)| self.bits.get(word).is_some_and(|bits| bits & mask == mask))
    }

    /// The pages that hold a byte of `start..end` have memory now.
    pub(super) fn set(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (first, last) = (start / self.page, (end - 1) / self.page);
        let words = (last / 64 + 1) as usize;
        if self.bits.len() < words {
            self.bits.resize(words, 0);
        }
        for (word, mask) in masks(first, last) {
            self.bits[word] |= mask;
        }
    }

    /// The pages of `start..end`, whole ones, have none any more.
    pub(super) fn clear(&mut self, start: u64, end: u64) {
        for (word, mask) in masks(start / self.page, end / self.page - 1) {
            if let Some(bits) = self.bits.get_mut(word) {
                *bits &= !mask;
            }
        }
    }

    /// No page from here on ever had memory.
    pub(super) fn end(&self) -> u64 {
        self.bits.len() as u64 * 64
    }

    /// How many of `count` pages from `first` on have memory.
    pub(super) fn count(&self, first: u64, count: u64) -> u64 {
        let ones =
            |(word, mask): (usize, u64)| self.bits.get(word).map_or(0, |bits| u64::from((bits & mask).count_ones()));
        masks(first, first + count - 1).map(ones).sum()
    }
}

/// The words and the bits in them that stand for the pages `first..=last`.
fn masks(first: u64, last: u64) -> impl Iterator<Item = (usize, u64)> {
    (first / 64..=last / 64).map(move |word| {
        let from = first.saturating_sub(word * 64);
        let to = (last - word * 64).min(63);
        (word as usize, (u64::MAX << from) & (u64::MAX >> (63 - to)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_counts_for_its_page() {
        let mut warm = Warm::new(4096);
        assert!(!warm.covers(0, 1) && warm.covers(5, 5));
        warm.set(4095, 4097);
        assert!(warm.covers(0, 8192) && !warm.covers(0, 8193));
        assert_eq!(warm.count(0, 1000), 2);
    }

    #[test]
    fn ranges_cross_words() {
        let mut warm = Warm::new(4096);
        warm.set(60 * 4096, 200 * 4096);
        assert_eq!(warm.count(0, 256), 140);
        warm.clear(64 * 4096, 128 * 4096);
        assert_eq!((warm.count(0, 256), warm.count(63, 2), warm.count(128, 1)), (76, 1, 1));
        assert!(warm.covers(60 * 4096, 64 * 4096) && !warm.covers(60 * 4096, 65 * 4096));
        warm.clear(1000 * 4096, 2000 * 4096);
    }
}
