//! The stream in every interleaving: a ring of a few words, so that it is full and starts anew within few steps.

use std::sync::Arc;

use loom::sync::atomic::AtomicU64 as Flag;
use loom::thread;

use super::*;
use crate::model;

fn ring(capacity: usize) -> (StreamWriter, StreamReader) {
    let words = Arc::new(StreamWords::new());
    let area = Area::new(capacity);
    (StreamWriter::new(Arc::clone(&words).into(), area.clone()), StreamReader::new(words.into(), area))
}

/// The bytes of a record are its number, so that half a record or one overwritten too early is seen.
fn write(writer: &mut StreamWriter, n: u64, words: usize) -> bool {
    let word = n.to_le_bytes();
    writer.write(&vec![word.as_slice(); words]).is_ok()
}

fn read(reader: &mut StreamReader) -> Option<u64> {
    let number = |bytes: &[u8]| {
        let first = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(bytes.chunks(8).all(|word| word == first.to_le_bytes()));
        first
    };
    reader.read(number).unwrap()
}

/// Three records in a ring that holds two: the third waits for the first to be given back, and starts at the front.
#[test]
fn records_are_whole_and_in_order() {
    model(|| {
        let (mut writer, mut reader) = ring(32);
        let writing = thread::spawn(move || {
            assert!(write(&mut writer, 1, 1));
            assert!(write(&mut writer, 2, 1));
            let third = write(&mut writer, 3, 1);
            (third, writer)
        });
        let mut got: Vec<_> = [read(&mut reader), read(&mut reader)].into_iter().flatten().collect();
        let (third, _writer) = writing.join().unwrap();
        got.extend(std::iter::from_fn(|| read(&mut reader)));
        assert_eq!(got, if third { vec![1, 2, 3] } else { vec![1, 2] });
    });
}

/// A record that does not fit before the end leaves a skip header behind.
#[test]
fn a_record_that_starts_anew_is_whole() {
    model(|| {
        let (mut writer, mut reader) = ring(64);
        // 24 bytes, given back; then 32 and 16 that would end at 72.
        assert!(write(&mut writer, 1, 2));
        assert_eq!(read(&mut reader), Some(1));
        let writing = thread::spawn(move || {
            assert!(write(&mut writer, 2, 3));
            write(&mut writer, 3, 1)
        });
        let mut got: Vec<_> = read(&mut reader).into_iter().collect();
        let third = writing.join().unwrap();
        got.extend(std::iter::from_fn(|| read(&mut reader)));
        assert_eq!(got, if third { vec![2, 3] } else { vec![2] });
    });
}

#[test]
fn a_writer_that_waits_for_space_is_woken() {
    model(|| {
        let (mut writer, mut reader) = ring(32);
        assert!(write(&mut writer, 1, 1) && write(&mut writer, 2, 1));
        let writing = thread::spawn(move || {
            while !write(&mut writer, 3, 1) {
                writer.wait_space(None);
            }
        });
        assert_eq!((read(&mut reader), read(&mut reader)), (Some(1), Some(2)));
        writing.join().unwrap();
        assert_eq!(read(&mut reader), Some(3));
    });
}

/// The announcement of an earlier wait, which timed out, is still there, and asked for less.
#[test]
fn an_earlier_wish_for_space_does_not_hide_a_later_one() {
    model(|| {
        let (mut writer, mut reader) = ring(64);
        assert!(write(&mut writer, 1, 1) && write(&mut writer, 2, 1) && write(&mut writer, 3, 2));
        let writing = thread::spawn(move || {
            assert!(write(&mut writer, 4, 3) || writer.wait_space(Some(Duration::ZERO)) != Wake::Rung);
            while !write(&mut writer, 5, 1) {
                writer.wait_space(None);
            }
        });
        assert_eq!(read(&mut reader), Some(1));
        writing.join().unwrap();
    });
}

/// The other half of a wake-up: what was written is seen after the bell.
#[test]
fn a_reader_that_sleeps_on_a_bell_misses_no_record() {
    model(|| {
        let (mut writer, mut reader) = ring(64);
        let bell = Arc::new(Bell::new());
        let other = Arc::clone(&bell);
        let done = Arc::new(Flag::new(0));
        let note = Arc::clone(&done);
        let writing = thread::spawn(move || {
            write(&mut writer, 7, 1);
            other.ring();
            note.store(1, Ordering::Relaxed);
            writer
        });
        let got = loop {
            match read(&mut reader) {
                Some(number) => break number,
                None => bell.wait(|| !reader.is_empty(), None),
            };
        };
        assert_eq!(got, 7);
        drop(writing.join().unwrap());
    });
}
