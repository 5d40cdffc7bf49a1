//! The stream against a model, one step at a time; and against a writer and a reader that write whatever they like.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::segment::Segment;

const WORDS: usize = size_of::<StreamWords>();

struct Ring {
    words: Place<StreamWords>,
    raw: Place<[AtomicU64]>,
    writer: StreamWriter,
    reader: StreamReader,
}

fn ring(capacity: usize) -> Ring {
    let segment = Arc::new(Segment::create("plait-test", WORDS + capacity).unwrap().0);
    let words = || Place::<StreamWords>::new(&segment, 0);
    let area = || Area::new(&segment, WORDS, capacity);
    Ring {
        words: words(),
        raw: Place::slice(&segment, WORDS, capacity / 8),
        writer: StreamWriter::new(words(), area()),
        reader: StreamReader::new(words(), area()),
    }
}

fn record(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (n * 13 + i * 5) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

    /// Each step writes a record of the given length, or reads one.
    #[test]
    fn records_come_out_as_they_went_in(
        capacity in 4_u32..9,
        steps in proptest::collection::vec(proptest::option::weighted(0.6, 0..300_usize), 1..400),
    ) {
        let capacity = 1_usize << capacity;
        let mut ring = ring(capacity);
        let mut waiting = VecDeque::new();
        for (n, step) in steps.into_iter().enumerate() {
            let used: usize = ring.writer.used();
            prop_assert!(used <= capacity && (used == 0) == waiting.is_empty());
            match step {
                Some(len) => {
                    let len = len % (capacity + 8);
                    let data = record(n, len);
                    let (a, b) = data.split_at(len / 3);
                    match ring.writer.write(&[a, b]) {
                        Ok(()) => waiting.push_back(data),
                        Err(WriteError::TooLarge { max }) => prop_assert!(len > max && max == capacity / 2 - 8),
                        Err(WriteError::Full) => {
                            prop_assert!(!waiting.is_empty(), "an empty ring takes every record");
                            prop_assert_eq!(ring.writer.wait_space(Some(Duration::ZERO)), Wake::TimedOut);
                            // No room is claimed to be missing that is there.
                            prop_assert!(used + 2 * footprint(len) > capacity);
                        }
                        Err(WriteError::Malformed) => prop_assert!(false),
                    }
                }
                None => {
                    prop_assert_eq!(ring.reader.is_empty(), waiting.is_empty());
                    prop_assert_eq!(ring.reader.read(<[u8]>::to_vec), Ok(waiting.pop_front()));
                }
            }
        }
    }

    /// Whatever a worker writes into the words and the ring, the reader answers with records within it, or Malformed for ever.
    #[test]
    fn a_wild_writer_is_malformed(
        good in 0..6_usize,
        head in prop_oneof![0..600_u64, any::<u64>()],
        wild in proptest::collection::vec((0..32_usize, prop_oneof![any::<u64>(), 0..300_u64, Just(header(0, SKIP))]), 0..40),
    ) {
        let mut ring = ring(256);
        for n in 0..good {
            let _ = ring.writer.write(&[&record(n, n * 11)]);
        }
        let _ = ring.reader.read(|_| ());
        for (at, word) in wild {
            // Half of the time with a header that is right but for its length.
            let word = if at % 2 == 0 { header(at as u64 * 8, word as u32) } else { word };
            ring.raw[at].store(word, Ordering::Relaxed);
        }
        ring.words.head.store(head, Ordering::Relaxed);
        let mut broken = false;
        for _ in 0..100 {
            match ring.reader.read(<[u8]>::len) {
                Ok(read) => prop_assert!(!broken && read.is_none_or(|len| len <= 120)),
                Err(Malformed) => broken = true,
            }
        }
    }

    /// Whatever the reader's process writes, the writer stays within the ring.
    #[test]
    fn a_wild_reader_is_full_or_malformed(tails in proptest::collection::vec(prop_oneof![0..600_u64, any::<u64>()], 1..40)) {
        let mut ring = ring(256);
        for (n, tail) in tails.into_iter().enumerate() {
            ring.words.tail.store(tail, Ordering::Relaxed);
            let _ = ring.writer.write(&[&record(n, n * 7 % 120)]);
            prop_assert!(ring.writer.used() <= 256);
            prop_assert!(ring.writer.head - ring.writer.seen_tail <= 256);
        }
    }
}

#[test]
fn a_header_of_another_place_is_malformed() {
    let mut ring = ring(256);
    ring.writer.write(&[b"one"]).unwrap();
    ring.raw[0].store(header(256, 3), Ordering::Relaxed);
    assert_eq!(ring.reader.read(|_| ()), Err(Malformed));
    ring.raw[0].store(header(0, 3), Ordering::Relaxed);
    assert_eq!(ring.reader.read(|_| ()), Err(Malformed), "once broken is broken");
}

#[test]
fn a_reader_that_panics_has_read() {
    let mut ring = ring(256);
    ring.writer.write(&[b"bad"]).unwrap();
    ring.writer.write(&[b"good"]).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ring.reader.read(|_| std::panic::resume_unwind(Box::new(())))
    }));
    assert!(caught.is_err());
    assert_eq!(ring.reader.read(<[u8]>::to_vec), Ok(Some(b"good".to_vec())));
}

#[test]
fn the_writer_sleeps_until_its_record_fits() {
    let Ring { mut writer, mut reader, .. } = ring(256);
    const RECORDS: usize = if cfg!(miri) { 200 } else { 20_000 };
    let writing = std::thread::spawn(move || {
        for n in 0..RECORDS {
            let data = record(n, n % 121);
            while writer.write(&[&data]) == Err(WriteError::Full) {
                writer.wait_space(None);
            }
        }
    });
    let mut n = 0;
    while n < RECORDS {
        let read = reader.read(|data| assert_eq!(data, record(n, n % 121))).unwrap();
        n += usize::from(read.is_some());
    }
    writing.join().unwrap();
}
