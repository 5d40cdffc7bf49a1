//! Small blocks: slabs of 64 KiB, each cut into slots of one size class. Plain numbers; it touches no memory.
//!
//! Classes are the powers of two from 256 bytes on and three steps between each two, so at most a fifth of a slot over
//! 256 bytes is lost. A bit in the slab says which slots are live, so that what is no live block is never released.

/// The size of a slab, and its alignment: so a block's slab is found by a division.
pub(super) const SLAB: u64 = 1 << 16;
/// The largest block that is put into a slab.
pub(super) const SMALL_MAX: u64 = 1 << 14;
const SMALLEST: u64 = 256;
const CLASSES: usize = class_of(SMALL_MAX) + 1;
const NONE: u32 = u32::MAX;

const fn class_of(len: u64) -> usize {
    if len <= SMALLEST {
        return 0;
    }
    // 2^k < len <= 2^(k+1), in quarters of 2^k.
    let k = (len - 1).ilog2();
    ((k - 8) * 4) as usize + ((len - 1 - (1 << k)) >> (k - 2)) as usize + 1
}

const fn size_of_class(class: usize) -> u64 {
    (SMALLEST + SMALLEST / 4 * (class as u64 % 4)) << (class / 4)
}

struct Slab {
    offset: u64,
    /// A bit for each slot that is free.
    free: [u64; (SLAB / SMALLEST / 64) as usize],
    free_slots: u16,
    class: u8,
    /// Where it stands in its class's list of slabs with free slots.
    listed_at: u32,
}

impl Slab {
    fn new(offset: u64, class: usize) -> Self {
        let slots = Self::slots(class);
        let free = std::array::from_fn(|word| {
            let here = (slots as usize).saturating_sub(word * 64).min(64) as u32;
            if here == 0 { 0 } else { u64::MAX >> (64 - here) }
        });
        Self { offset, free, free_slots: slots, class: class as u8, listed_at: NONE }
    }

    fn slots(class: usize) -> u16 {
        (SLAB / size_of_class(class)) as u16
    }

    fn is_empty(&self) -> bool {
        self.free_slots == Self::slots(self.class as usize)
    }

    /// The offset of a slot that is free, and live from now on.
    fn take(&mut self) -> u64 {
        let word = self.free.iter().position(|bits| *bits != 0).expect("a listed slab has a free slot");
        let bit = self.free[word].trailing_zeros() as u64;
        self.free[word] &= self.free[word] - 1;
        self.free_slots -= 1;
        self.offset + (word as u64 * 64 + bit) * size_of_class(self.class as usize)
    }
}

/// What became of a block that was given back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// It does not lie in a slab.
    Not,
    /// It lies in a slab and is no live block.
    Wrong,
    /// Its slot of `size` bytes is free.
    Slot { size: u64 },
    /// So is the slab at the offset `slab`, which is the caller's again.
    LastSlot { size: u64, slab: u64 },
}

/// What lies at an offset.
pub(super) enum Found {
    /// No slab.
    Not,
    /// A slab, but no live block of it, or a shorter one.
    Wrong,
    /// A live block.
    Live(Slot),
}

/// The slot of a live block.
pub(super) struct Slot {
    /// How many bytes it has.
    pub(super) size: u64,
    index: u32,
    number: u64,
}

/// The slabs of one arena.
pub(super) struct Slabs {
    slabs: Vec<Slab>,
    /// Indices of `slabs` that are used no more.
    unused: Vec<u32>,
    /// For each stretch of the file as long as a slab: the slab there.
    at: Vec<u32>,
    /// For each class: slabs with free slots. The last one is used first.
    listed: [Vec<u32>; CLASSES],
}

impl Slabs {
    pub(super) fn new() -> Self {
        Self { slabs: Vec::new(), unused: Vec::new(), at: Vec::new(), listed: std::array::from_fn(|_| Vec::new()) }
    }

    /// A slot for `len` bytes, if a slab of its class has one: its offset and size.
    pub(super) fn take(&mut self, len: u64) -> Option<(u64, u64)> {
        let class = class_of(len);
        let &index = self.listed[class].last()?;
        let slab = &mut self.slabs[index as usize];
        let offset = slab.take();
        if slab.free_slots == 0 {
            slab.listed_at = NONE;
            self.listed[class].pop();
        }
        Some((offset, size_of_class(class)))
    }

    /// As [`Slabs::take`], from a new slab at `offset`.
    pub(super) fn take_from_new(&mut self, len: u64, offset: u64) -> (u64, u64) {
        debug_assert!(offset.is_multiple_of(SLAB));
        let slab = Slab::new(offset, class_of(len));
        let index = match self.unused.pop() {
            Some(index) => {
                self.slabs[index as usize] = slab;
                index
            }
            None => {
                self.slabs.push(slab);
                (self.slabs.len() - 1) as u32
            }
        };
        let place = (offset / SLAB) as usize;
        if self.at.len() <= place {
            self.at.resize(place + 1, NONE);
        }
        self.at[place] = index;
        self.list(index);
        self.take(len).expect("a new slab has free slots")
    }

    /// The live block at `offset`, if it has room for `len` bytes.
    pub(super) fn find(&self, offset: u64, len: u64) -> Found {
        let Some(&index) = self.at.get((offset / SLAB) as usize).filter(|index| **index != NONE) else {
            return Found::Not;
        };
        let slab = &self.slabs[index as usize];
        let size = size_of_class(slab.class as usize);
        let number = (offset - slab.offset) / size;
        let is_slot = (offset - slab.offset).is_multiple_of(size) && number < Slab::slots(slab.class as usize) as u64;
        if !is_slot || slab.free[(number / 64) as usize] & 1 << (number % 64) != 0 || len > size {
            return Found::Wrong;
        }
        Found::Live(Slot { size, index, number })
    }

    /// Takes a block back.
    pub(super) fn give(&mut self, offset: u64, len: u64) -> Given {
        let Slot { size, index, number } = match self.find(offset, len) {
            Found::Not => return Given::Not,
            Found::Wrong => return Given::Wrong,
            Found::Live(slot) => slot,
        };
        let slab = &mut self.slabs[index as usize];
        let class = slab.class as usize;
        slab.free[(number / 64) as usize] |= 1 << (number % 64);
        slab.free_slots += 1;
        let is_empty = slab.is_empty();
        if slab.listed_at == NONE {
            self.list(index);
        }
        // The last slab of a class stays, so that one block put and released again and again makes no slabs.
        if is_empty && self.listed[class].len() > 1 {
            return Given::LastSlot { size, slab: self.remove(index) };
        }
        Given::Slot { size }
    }

    /// Removes slabs without a live block; their offsets are the caller's again.
    pub(super) fn drain_empty(&mut self) -> Vec<u64> {
        let listed = self.listed.iter().flatten().copied();
        let empty: Vec<u32> = listed.filter(|index| self.slabs[*index as usize].is_empty()).collect();
        empty.into_iter().map(|index| self.remove(index)).collect()
    }

    fn list(&mut self, index: u32) {
        let slab = &mut self.slabs[index as usize];
        let listed = &mut self.listed[slab.class as usize];
        slab.listed_at = listed.len() as u32;
        listed.push(index);
    }

    /// Removes a listed slab; gives its offset.
    fn remove(&mut self, index: u32) -> u64 {
        let slab = &self.slabs[index as usize];
        let (offset, class, listed_at) = (slab.offset, slab.class as usize, slab.listed_at as usize);
        let listed = &mut self.listed[class];
        listed.swap_remove(listed_at);
        if let Some(&moved) = listed.get(listed_at) {
            self.slabs[moved as usize].listed_at = listed_at as u32;
        }
        self.at[(offset / SLAB) as usize] = NONE;
        self.unused.push(index);
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_quarter_steps() {
        let sizes: Vec<_> = (0..CLASSES).map(size_of_class).collect();
        assert_eq!(sizes[..9], [256, 320, 384, 448, 512, 640, 768, 896, 1024]);
        assert_eq!(sizes.last(), Some(&SMALL_MAX));
        for len in 0..=SMALL_MAX {
            let size = size_of_class(class_of(len));
            assert!(size >= len && (len <= 256 || (size - len) * 5 < size), "{len} in {size}");
        }
    }

    #[test]
    fn a_slab_is_used_up_and_comes_back() {
        let mut slabs = Slabs::new();
        let mut taken = vec![slabs.take_from_new(3000, 3 * SLAB)];
        while let Some(place) = slabs.take(3000) {
            taken.push(place);
        }
        assert_eq!(taken.len(), (SLAB / 3072) as usize);
        taken.push(slabs.take_from_new(3000, 0));
        let mut returned = Vec::new();
        for (offset, size) in taken {
            assert_eq!(size, 3072);
            match slabs.give(offset, 3000) {
                Given::Slot { .. } => {}
                Given::LastSlot { slab, .. } => returned.push(slab),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(returned, [3 * SLAB]);
        assert_eq!(slabs.drain_empty(), [0]);
        assert_eq!(slabs.take(3000), None);
    }

    #[test]
    fn what_is_no_live_block_is_refused() {
        let mut slabs = Slabs::new();
        let (offset, _) = slabs.take_from_new(640, 0);
        assert_eq!(slabs.give(SLAB, 640), Given::Not);
        assert_eq!(slabs.give(offset + 8, 640), Given::Wrong);
        assert_eq!(slabs.give(offset + 640, 640), Given::Wrong);
        assert_eq!(slabs.give(offset, 641), Given::Wrong);
        // Behind the last slot of a class that does not divide the slab.
        assert_eq!(slabs.give(SLAB / 640 * 640, 1), Given::Wrong);
        assert_eq!(slabs.give(offset, 640), Given::Slot { size: 640 });
        assert_eq!(slabs.give(offset, 640), Given::Wrong);
    }
}
