//! The GIL of this very process, read where it lies: no system call, and nothing to be allowed.
//!
//! A sampler that looks thousands of times a second would spend more on asking the kernel than on all else. The main
//! interpreter's GIL is part of the runtime's static data, which is mapped as long as the process lives.

use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Further from the runtime's beginning than this is no part of it.
const LARGEST_RUNTIME: u64 = 8 << 20;
/// A `struct _gil_runtime_state`.
const GIL_BYTES: u64 = 208;

/// The words of this process's GIL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnGil {
    /// Its address.
    pub address: u64,
    last_holder: &'static AtomicU64,
    locked: &'static AtomicI32,
    switches: &'static AtomicU64,
}

/// What they say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnMoment {
    /// Whether a thread holds it.
    pub held: bool,
    /// The address of the thread state that holds it, or held it last.
    pub last_holder: u64,
    /// How often it went from one thread to another.
    pub switches: u64,
}

impl OwnGil {
    /// The GIL at `gil`, if it lies in the static data of the runtime at `runtime`; `None` if it does not.
    pub fn within(runtime: u64, gil: u64) -> Option<Self> {
        if !gil.is_multiple_of(8) || !(runtime..runtime + LARGEST_RUNTIME).contains(&gil) {
            return None;
        }
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        if !are_mapped_together(&maps, runtime, gil + GIL_BYTES) {
            return None;
        }
        // SAFETY: aligned, checked above to be readable and, with the runtime, in one stretch of static data, which no
        // Python unmaps while the process lives: the extension that asks is linked against it. The interpreter changes
        // these words by atomic operations of the same sizes; here they are only read.
        unsafe {
            Some(Self {
                address: gil,
                last_holder: AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(gil as usize + 8)),
                locked: AtomicI32::from_ptr(std::ptr::with_exposed_provenance_mut(gil as usize + 16)),
                switches: AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(gil as usize + 24)),
            })
        }
    }

    /// What it says now.
    pub fn moment(&self) -> OwnMoment {
        OwnMoment {
            held: self.locked.load(Ordering::Acquire) == 1,
            last_holder: self.last_holder.load(Ordering::Acquire),
            switches: self.switches.load(Ordering::Relaxed),
        }
    }
}

/// Whether readable mappings without a gap reach from `start` to `end`.
fn are_mapped_together(maps: &str, start: u64, end: u64) -> bool {
    let mut reached = start;
    for line in maps.lines() {
        let Some((range, rest)) = line.split_once(' ') else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)) else { continue };
        if rest.starts_with('r') && (from..to).contains(&reached) {
            reached = to;
            if reached >= end {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_no_gap_and_is_readable() {
        let maps = "1000-2000 rw-p 00000000 fe:00 42 /python\n2000-3000 rw-p 00000000 00:00 0\n\
                    3000-4000 ---p 00000000 00:00 0\n5000-6000 r--p 00000000 00:00 0\n";
        assert!(are_mapped_together(maps, 0x1800, 0x2800));
        assert!(!are_mapped_together(maps, 0x1800, 0x3800), "not readable");
        assert!(!are_mapped_together(maps, 0x2800, 0x5800), "a gap");
        assert!(!are_mapped_together(maps, 0x4800, 0x5800), "begins nowhere");
    }

    #[test]
    fn words_of_static_data_are_read_and_others_refused() {
        static DATA: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];
        let at = DATA.as_ptr().expose_provenance() as u64;
        DATA[1].store(77, Ordering::Relaxed);
        DATA[2].store(1, Ordering::Relaxed);
        DATA[3].store(5, Ordering::Relaxed);
        let gil = OwnGil::within(at, at).expect("our own data");
        assert_eq!(gil.moment(), OwnMoment { held: true, last_holder: 77, switches: 5 });
        DATA[2].store(0, Ordering::Relaxed);
        assert!(!gil.moment().held);
        assert!(OwnGil::within(at, at + LARGEST_RUNTIME).is_none());
        assert!(OwnGil::within(at, at + 4).is_none());
        assert!(OwnGil::within(8, 8).is_none());
    }
}
