//! The last bytes of a text without end: what a worker printed, for the parent to read after its death.
//!
//! Promises: of one writer at a time the reader gets the bytes that were written last, in order and without a gap; a writer killed
//! in the middle costs at most one piece of the oldest bytes; two threads that write at once mix their bytes and do no
//! other harm. Writing is plain stores, no lock and no system call.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU8, AtomicU64, Line, fence};

/// How many bytes are kept.
#[cfg(not(loom))]
const KEPT: usize = 4096;
#[cfg(loom)]
const KEPT: usize = 4;

/// Longer writes go piece by piece, so that one that is interrupted has not overwritten everything.
const PIECE: usize = KEPT / 4;

/// The last 4096 bytes of a text, in shared memory.
///
/// | word | meaning | who writes, when |
/// |---|---|---|
/// | `begun` | the length of the text with the piece that is being written | the writer, by adding the piece's length, before the piece |
/// | `bytes` | byte `p` of the text at `p` modulo 4096 | the writer |
/// | `written` | the length of the text without that piece | the writer, by adding the piece's length, after the piece |
#[repr(C)]
pub struct Tail {
    ends: Line<Ends>,
    bytes: [AtomicU8; KEPT],
}

#[repr(C)]
struct Ends {
    begun: AtomicU64,
    written: AtomicU64,
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for Tail {}

impl Tail {
    /// The worker appends `text`, of any length.
    pub fn write(&self, text: &[u8]) {
        // What would be overwritten by the rest of it is not written at all.
        let kept = &text[text.len().saturating_sub(KEPT)..];
        for piece in kept.chunks(PIECE) {
            let len = piece.len() as u64;
            // Adding, so that two writers at once get places of their own.
            let start = self.ends.begun.fetch_add(len, Relaxed);
            // SYNC POINT with the fence in `read`: who reads a byte written below sees that the piece was begun.
            fence(Release);
            for (at, byte) in (start..).zip(piece) {
                self.byte(at).store(*byte, Relaxed);
            }
            // SYNC POINT with the first load in `read`.
            self.ends.written.fetch_add(len, Release);
        }
    }

    /// The last bytes of the text, at most 4096; exact once the writer is dead, but for the piece that it was writing.
    pub fn read(&self) -> Vec<u8> {
        // SYNC POINT with the last step of `write`.
        let end = self.ends.written.load(Acquire);
        let kept = KEPT as u64;
        let bytes: Vec<u8> = (end.saturating_sub(kept)..end).map(|at| self.byte(at).load(Relaxed)).collect();
        // SYNC POINT with the fence in `write`.
        fence(Acquire);
        // The oldest of them may be of a newer piece.
        let overwritten = self.ends.begun.load(Relaxed).saturating_sub(end.max(kept));
        let stale = usize::try_from(overwritten).unwrap_or(usize::MAX).min(bytes.len());
        bytes[stale..].to_vec()
    }

    fn byte(&self, at: u64) -> &AtomicU8 {
        &self.bytes[(at % KEPT as u64) as usize]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Region, WorkerMemory};
    use std::sync::Arc;

    fn both_sides() -> (Arc<WorkerMemory>, Arc<WorkerMemory>) {
        let (parent, _control, _results, fd) = WorkerMemory::create(0, 0, [Region::default(); 2]).unwrap();
        let (worker, ..) = WorkerMemory::open(fd).unwrap();
        (parent, worker)
    }

    /// Byte `at` of the text that the tests write.
    fn byte(at: usize) -> u8 {
        (at * 31 + (at >> 8) * 7) as u8
    }

    /// How much is written at a time: shorter and longer than what is kept, and across its end.
    const LENGTHS: &[usize] = match cfg!(miri) {
        true => &[0, 1, 3000, 1095, 1, 4097],
        false => &[0, 1, 100, 3000, 995, 1, 4095, 4096, 4097, 20_000, 17, 1024, 1025],
    };

    #[test]
    fn the_last_bytes_are_kept_in_order() {
        let (parent, worker) = both_sides();
        assert_eq!(parent.tail().read(), b"");
        let mut text = Vec::new();
        for &len in LENGTHS {
            let more: Vec<u8> = (text.len()..text.len() + len).map(byte).collect();
            worker.tail().write(&more);
            text.extend(more);
            assert_eq!(parent.tail().read(), text[text.len().saturating_sub(4096)..], "after {len} more");
        }
    }

    /// As a writer leaves it that is killed within a piece.
    #[test]
    fn a_piece_that_was_begun_hides_what_it_may_have_overwritten() {
        let (parent, worker) = both_sides();
        worker.tail().write(b"first");
        let interrupt = |text: &[u8]| {
            let ends = &worker.tail().ends;
            let start = ends.begun.fetch_add(text.len() as u64, Relaxed);
            (start..).zip(text).for_each(|(at, byte)| worker.tail().byte(at).store(*byte, Relaxed));
        };
        interrupt(&[b'x'; 1000]);
        assert_eq!(parent.tail().read(), b"first", "there was room beside it");
        let (parent, worker) = both_sides();
        worker.tail().write(&(0..5000).map(byte).collect::<Vec<_>>());
        let interrupt = |len: u64| worker.tail().ends.begun.fetch_add(len, Relaxed);
        interrupt(1000);
        assert_eq!(parent.tail().read(), (904..5000).map(byte).skip(1000).collect::<Vec<_>>());
        interrupt(u64::MAX / 2);
        assert_eq!(parent.tail().read(), b"");
    }

    #[test]
    #[cfg_attr(miri, ignore = "time")]
    fn a_live_writer_is_read_without_a_gap() {
        let (parent, worker) = both_sides();
        let writer = std::thread::spawn(move || {
            // Bytes count up, so that any stretch of the text shows whether it is one.
            let text: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
            text.chunks(333).for_each(|part| worker.tail().write(part));
        });
        while !writer.is_finished() {
            let seen = parent.tail().read();
            assert!(seen.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        }
        writer.join().unwrap();
        assert_eq!(parent.tail().read().len(), 4096);
    }

    #[test]
    fn two_writers_do_no_harm() {
        let (parent, worker) = both_sides();
        std::thread::scope(|scope| {
            for byte in [1, 2] {
                let tail = worker.tail();
                scope.spawn(move || {
                    (0..if cfg!(miri) { 300 } else { 2000 }).for_each(|len| tail.write(&vec![byte; len % 50]))
                });
            }
        });
        let seen = parent.tail().read();
        assert_eq!(seen.len(), 4096);
        assert!(seen.iter().all(|byte| [1, 2].contains(byte)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::model;
    use loom::thread;
    use std::sync::Arc;

    /// Four bytes are kept, and a piece is one. The writer runs in the model's first thread, as in `status/loom_tests.rs`.
    #[test]
    fn a_reader_gets_bytes_in_order_without_a_gap() {
        model(|| {
            let bytes = [0; KEPT].map(AtomicU8::new);
            let [begun, written] = [0; 2].map(AtomicU64::new);
            let tail = Arc::new(Tail { ends: Line(Ends { begun, written }), bytes });
            tail.write(&[1, 2, 3]);
            let seen = Arc::clone(&tail);
            let parent = thread::spawn(move || {
                let read = seen.read();
                assert!(read.windows(2).all(|pair| pair[1] == pair[0] + 1), "{read:?}");
                // Three were there before, and two may replace the oldest of them.
                assert!(read.last().is_some_and(|last| *last >= 3), "{read:?}");
            });
            tail.write(&[4, 5]);
            parent.join().unwrap();
            assert_eq!(tail.read(), [2, 3, 4, 5]);
        });
    }
}
