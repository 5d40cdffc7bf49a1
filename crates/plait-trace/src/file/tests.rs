use proptest::prelude::*;

use super::*;
use crate::fuzz;
use crate::{
    Began, Count, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Note, Process, ProcessKey, Shot, Sight, Span,
    Stack, State, Subject, Task, Thread, ThreadKey,
};

fn process() -> Process {
    Process {
        key: ProcessKey(0),
        pid: 1234,
        parent: None,
        found: 0,
        command: "python ümläut.py".into(),
        python: Some("3.13.1".into()),
        sight: Sight::Gil,
        why: None,
        processors: 2,
        quota: Some(0.5),
        role: Some("plait worker 3".into()),
    }
}

/// One record of each kind.
fn records() -> Vec<Record> {
    let (process_key, thread, gil) = (ProcessKey(0), ThreadKey(0), GilKey(0));
    vec![
        Record::Began(Began {
            unix: 1,
            monotonic: 5,
            plait: "0.1.0".into(),
            what: "PID 1234".into(),
            root: 1234,
            period: 1_000_000,
            processors: 2,
        }),
        Record::Process(process()),
        Record::Gil(Gil { key: gil, process: process_key, interpreters: vec![0, 3], interval: 5_000_000 }),
        Record::Thread(Thread {
            key: thread,
            process: process_key,
            tid: 1234,
            name: "main".into(),
            interpreter: Some(0),
            found: 0,
        }),
        Record::Span(Span { thread, from: 0, to: 3_000, state: State::HoldsNative, call: None }),
        Record::Span(Span { thread, from: 3_000, to: 600_000_000_000, state: State::Lock, call: Some(202) }),
        Record::Hold(Hold { gil, from: 0, to: 3_000, thread: Some(thread) }),
        Record::Count(Count { of: Subject::Gil(gil), kind: Kind::Switches, at: 3_000, value: u64::MAX }),
        Record::Count(Count { of: Subject::Machine, kind: Kind::Pressure, at: 3_000, value: 1 }),
        Record::Frame(Frame { key: FrameKey(0), function: "A.b.<locals>.c".into(), file: "/a b.py".into(), line: 7 }),
        Record::Stack(Stack { thread, at: 1_000, frames: vec![FrameKey(0); 3] }),
        Record::Shot(Shot {
            thread,
            at: 1_000,
            function: Some("sorted".into()),
            natives: vec!["a".into()],
            frames: vec![FrameKey(0)],
            pause: 50_000,
        }),
        Record::Task(Task { thread, from: 0, to: 2_000, name: "count_primes".into(), id: 77 }),
        Record::Gap(Gap { from: 5, to: 9 }),
        Record::Note(Note { process: Some(process_key), text: "no perf".into() }),
        Record::ThreadEnded { thread, at: 600_000_000_000 },
        Record::ProcessEnded { process: process_key, at: 600_000_000_000 },
        Record::Ended(Ended { at: 600_000_000_001, looks: 5, ..Ended::default() }),
    ]
}

fn written(records: &[Record], flush_each: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file).expect("memory");
    for record in records {
        writer.take(record).expect("memory");
        if flush_each {
            writer.flush().expect("memory");
        }
    }
    writer.flush().expect("memory");
    file
}

fn put_together(records: &[Record]) -> Recording {
    let mut recording = Recording::default();
    records.iter().for_each(|record| recording.put(record).expect("in order"));
    recording
}

#[test]
fn what_is_written_is_read() {
    for flush_each in [false, true] {
        let read = read(written(&records(), flush_each).as_slice()).expect("whole");
        assert_eq!(read, put_together(&records()));
        assert!(!read.cut);
    }
}

#[test]
fn a_file_that_was_cut_is_read_up_to_there() {
    let file = written(&records(), true);
    let mut most = 0;
    // Miri takes a second for each.
    for length in (14..file.len()).filter(|length| !cfg!(miri) || (file.len() - length) % 97 == 1) {
        let recording = read(&file[..length]).expect("cut is not damaged");
        let found = recording.threads.len() + recording.frames.len() + recording.notes.len();
        assert!(found >= most, "at {length}");
        most = found;
        assert!(recording.ended.is_none());
    }
    assert_eq!(most, 3);
}

#[test]
fn what_is_no_trace_is_refused() {
    assert!(matches!(read(b"".as_slice()), Err(ReadError::NotATrace)));
    assert!(matches!(read(b"plait trac".as_slice()), Err(ReadError::NotATrace)));
    assert!(matches!(read(b"#!/usr/bin/env python3\n".as_slice()), Err(ReadError::NotATrace)));
    let newer = [MAGIC.as_slice(), &(FORMAT + 1).to_le_bytes()].concat();
    let error = read(newer.as_slice()).expect_err("newer");
    assert!(error.to_string().ends_with("update plait"), "{error}");
}

#[test]
fn a_changed_byte_is_noticed() {
    let file = written(&records(), false);
    for at in (14..file.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        match read(changed.as_slice()) {
            Err(ReadError::Damaged { at: 14, .. }) => {}
            // A changed length may say that more follows than there is.
            Ok(recording) => assert!(recording.cut && at < 18, "at {at}"),
            Err(error) => panic!("at {at}: {error}"),
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "time")]
fn ten_minutes_of_twenty_busy_threads_are_small() {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file).expect("memory");
    writer.take(&Record::Process(process())).expect("memory");
    for key in 0..20 {
        let thread = Thread {
            key: ThreadKey(key),
            process: ProcessKey(0),
            tid: key,
            name: "t".into(),
            interpreter: None,
            found: 0,
        };
        writer.take(&Record::Thread(thread)).expect("memory");
    }
    // Each look at which the GIL went on ends two spans; it goes on about every 5 ms, at an odd moment.
    let mut random = 7_u64;
    for turn in 0_u64..120_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = turn * 5_000_000 + (random >> 44);
        let thread = ThreadKey((turn % 20) as u32);
        let waited =
            Span { thread, from: from.saturating_sub(90_000_000), to: from, state: State::Waits, call: Some(202) };
        let held = Span { thread, from, to: from + 3_900_000, state: State::HoldsPython, call: None };
        if waited.from < waited.to {
            writer.take(&Record::Span(waited)).expect("memory");
        }
        writer.take(&Record::Span(held)).expect("memory");
    }
    writer.flush().expect("memory");
    drop(writer);
    assert!(file.len() < 10 << 20, "{} bytes", file.len());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), headed in any::<bool>()) {
        if headed {
            bytes.splice(0..0, [MAGIC.as_slice(), &FORMAT.to_le_bytes()].concat());
        }
        let _ = read(bytes.as_slice());
    }

    #[test]
    fn no_contents_make_it_panic(plain in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).expect("memory");
        writer.pending = plain;
        writer.put_block().expect("memory");
        let _ = read(file.as_slice());
    }
}

fn recording() -> Recording {
    let mut recording = Recording::default();
    records().iter().for_each(|record| recording.put(record).expect("in order"));
    recording
}

#[test]
fn fuzz_trace_file() {
    let mut whole = Vec::new();
    recording().replay(&mut Writer::new(&mut whole).expect("memory")).expect("memory");
    let one = fuzz::trace_of(&fuzz::contents_of(&recording()));
    fuzz::fuzz("trace_file", env!("CARGO_MANIFEST_DIR"), &[one, whole], |bytes| drop(read(bytes)));
}

#[test]
fn fuzz_trace_records() {
    let contents = fuzz::contents_of(&recording());
    fuzz::fuzz("trace_records", env!("CARGO_MANIFEST_DIR"), &[contents], |bytes| {
        if let Ok(recording) = read(fuzz::trace_of(bytes).as_slice()) {
            let again = read(fuzz::trace_of(&fuzz::contents_of(&recording)).as_slice()).expect("it was read before");
            // Not as a whole: what was described twice counts as it was described last, and a time of the first is gone.
            assert!(fuzz::contents_of(&again) == fuzz::contents_of(&recording), "what was read is a recording");
        }
    });
}
