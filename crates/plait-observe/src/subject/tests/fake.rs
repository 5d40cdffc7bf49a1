//! Runtimes made up in this process's own memory: builds that are not installed, and rubbish.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::offsets::{self, Places};
use super::*;
use crate::Version;
use crate::memory::Memory;

/// Words from the beginning of one made-up thing to the next.
const APART: usize = 512;

/// Byte offsets of the made-up layout, as its table tells them.
const HEAD: u64 = 800;
const NEXT: u64 = 16;
const ID: u64 = 24;
const THREADS: u64 = 32;
const GIL: u64 = 40;
const GC: u64 = 64;
const COLLECTING: u64 = 8;
const THREAD_NEXT: u64 = 8;
const THREAD_INTERP: u64 = 16;
const FRAME: u64 = 72;
const STATUS: u64 = 32;
const NATIVE: u64 = 160;
const INSTRUCTION: u64 = 56;

/// A runtime with one interpreter, its GIL, and threads; every word of it can be changed.
struct Fake {
    words: Vec<AtomicU64>,
    places: Places,
    minor: u8,
}

#[derive(Clone, Copy)]
enum Thing {
    Runtime,
    Interpreter,
    Gil,
    Frame,
    Thread(usize),
}

impl Fake {
    fn new(minor: u8, places: Places, free_threaded: bool, natives: &[u64]) -> Self {
        let words = (0..(4 + natives.len()) * APART).map(|_| AtomicU64::new(0)).collect();
        let fake = Self { words, places, minor };
        let table = [
            (0, u64::from_ne_bytes(*b"xdebugpy")),
            (8, 0x0300_00f0 | u64::from(minor) << 16),
            (offsets::FREE_THREADED, u64::from(free_threaded)),
            (offsets::INTERPRETERS, HEAD),
            (offsets::ID, ID),
            (offsets::NEXT, NEXT),
            (offsets::THREADS, THREADS),
            (places.gc, GC),
            (places.ceval_gil, GIL),
            (places.thread_next, THREAD_NEXT),
            (places.thread_next + 8, THREAD_INTERP),
            (places.thread_next + 16, FRAME),
            (places.native_id, NATIVE),
            (places.status, STATUS),
            (places.instruction, INSTRUCTION),
            (places.collecting, COLLECTING),
        ];
        for (place, value) in table {
            fake.set(Thing::Runtime, place, value);
        }
        fake.set(Thing::Runtime, HEAD, fake.at(Thing::Interpreter));
        fake.set(Thing::Interpreter, GIL, fake.at(Thing::Gil));
        if !free_threaded {
            fake.set(Thing::Gil, 0, 5000);
        }
        for (number, &native) in natives.iter().enumerate().rev() {
            let thread = Thing::Thread(number);
            fake.set(thread, THREAD_NEXT, fake.word(Thing::Interpreter, THREADS).load(Ordering::SeqCst));
            fake.set(Thing::Interpreter, THREADS, fake.at(thread));
            fake.set(thread, THREAD_INTERP, fake.at(Thing::Interpreter));
            fake.set(thread, NATIVE, native);
            fake.set(thread, FRAME, fake.at(Thing::Frame));
        }
        fake
    }

    fn word(&self, thing: Thing, offset: u64) -> &AtomicU64 {
        let number = match thing {
            Thing::Runtime => 0,
            Thing::Interpreter => 1,
            Thing::Gil => 2,
            Thing::Frame => 3,
            Thing::Thread(number) => 4 + number,
        };
        &self.words[number * APART + offset as usize / 8]
    }

    fn at(&self, thing: Thing) -> u64 {
        std::ptr::from_ref(self.word(thing, 0)).expose_provenance() as u64
    }

    fn set(&self, thing: Thing, offset: u64, value: u64) {
        assert!(offset.is_multiple_of(8));
        self.word(thing, offset).store(value, Ordering::SeqCst);
    }

    /// Sets a thread's `state`, an `int`.
    fn set_state(&self, number: usize, state: u32) {
        let at = STATUS + self.places.attached_after_status;
        let word = self.word(Thing::Thread(number), at);
        let shift = at % 8 * 8;
        let others = word.load(Ordering::SeqCst) & !(u64::from(u32::MAX) << shift);
        word.store(others | u64::from(state) << shift, Ordering::SeqCst);
    }

    fn attach(&self) -> Result<Subject, Reason> {
        let pid = std::process::id();
        let version = Version { major: 3, minor: self.minor, micro: 0 };
        let python = Python { pid, version, runtime: self.at(Thing::Runtime) };
        Subject::of(python, Memory::of(pid).expect("own memory opens"))
    }

    fn refusal(&self) -> String {
        self.attach().map(|_| ()).unwrap_err().to_string()
    }
}

const ALL: [(u8, Places); 3] = [(13, offsets::V3_13), (14, offsets::V3_14), (15, offsets::V3_15)];

/// Numbers of threads of this process that live as long as the test: its main thread and the test's own.
fn natives() -> [u64; 2] {
    [u64::from(std::process::id()), rustix::thread::gettid().as_raw_nonzero().get() as u64]
}

#[test]
fn attached_threads_of_a_free_threaded_build_are_told() {
    for (minor, places) in ALL {
        let natives = natives();
        let many: Vec<u64> = natives.iter().copied().cycle().take(150).collect();
        let fake = Fake::new(minor, places, true, &many);
        let subject = fake.attach().expect("it runs without a GIL");
        assert!(subject.is_free_threaded() && subject.gils().is_empty());
        assert_eq!(subject.threads().len(), 150);
        assert!(subject.threads().iter().all(|thread| thread.gil.is_none()));
        assert_eq!(subject.attached(), Ok(vec![]));
        fake.set_state(1, 1);
        fake.set_state(2, 2);
        fake.set_state(140, 1);
        assert_eq!(subject.attached(), Ok(vec![natives[1] as Pid, natives[0] as Pid]));
        fake.set(Thing::Thread(140), NATIVE, natives[1]);
        assert_eq!(subject.attached(), Ok(vec![natives[1] as Pid]), "another thread has that state now");
        let gone = Gil { address: fake.at(Thing::Gil) };
        assert!(matches!(subject.look(gone), Err(Reason::Unrecognised { .. })));
    }
}

#[test]
fn a_free_threaded_build_with_its_gil_switched_on_is_refused() {
    for (minor, places) in ALL {
        let fake = Fake::new(minor, places, true, &natives());
        let mut subject = fake.attach().expect("it runs without a GIL");
        fake.set(Thing::Gil, 0, 1);
        assert!(matches!(subject.refresh(), Err(Reason::GilSwitchedOn { .. })));
        assert!(fake.refusal().contains("with its GIL switched on"));
    }
}

#[test]
fn a_look_follows_what_the_table_says() {
    for (minor, places) in ALL {
        let natives = natives();
        let fake = Fake::new(minor, places, false, &natives);
        let subject = fake.attach().expect("it is sound");
        let gil = main_gil(&subject);
        let state = fake.at(Thing::Thread(1));
        let free = GilLook { held: false, holder: None, state: 0, switches: 0, spot: None, collecting: false };
        assert_eq!(subject.look(gil), Ok(free), "nobody ever had it");
        fake.set(Thing::Gil, 8, state);
        fake.set(Thing::Gil, 16, 1);
        fake.set(Thing::Gil, 24, 7);
        fake.set(Thing::Frame, INSTRUCTION, 0x1234);
        let spot = Spot { frame: fake.at(Thing::Frame), instruction: 0x1234 };
        let held =
            GilLook { held: true, holder: Some(natives[1] as Pid), state, switches: 7, spot: Some(spot), ..free };
        for _ in 0..2 {
            assert_eq!(subject.look(gil), Ok(held), "at first by and by, then in one go");
        }
        fake.set(Thing::Frame, INSTRUCTION, 0x1236);
        fake.set(Thing::Interpreter, GC + COLLECTING, 1);
        let moved = GilLook { spot: Some(Spot { instruction: 0x1236, ..spot }), collecting: true, ..held };
        assert_eq!(subject.look(gil), Ok(moved));
        fake.set(Thing::Thread(1), FRAME, 8);
        assert_eq!(subject.look(gil), Ok(GilLook { spot: None, ..moved }), "a frame that is none");
        fake.set(Thing::Thread(1), FRAME, fake.at(Thing::Frame));
        assert_eq!(subject.look(gil), Ok(moved));
        fake.set(Thing::Gil, 8, 64);
        let rubbish = GilLook { state: 64, holder: None, spot: None, collecting: false, ..moved };
        assert_eq!(subject.look(gil), Ok(rubbish), "a holder that is none");
        fake.set(Thing::Gil, 8, fake.at(Thing::Frame));
        let stranger = GilLook { state: fake.at(Thing::Frame), ..rubbish };
        assert_eq!(subject.look(gil), Ok(stranger), "of no interpreter");
        fake.set(Thing::Gil, 16, 0);
        fake.set(Thing::Gil, 8, state);
        assert_eq!(subject.look(gil), Ok(GilLook { held: false, spot: None, ..moved }), "it had it last");
        fake.set(Thing::Gil, 16, 77);
        assert!(matches!(subject.look(gil), Err(Reason::Unrecognised { .. })));
        fake.set(Thing::Gil, 16, u64::from(u32::MAX));
        assert!(matches!(subject.look(gil), Err(Reason::NotReady { .. })));
    }
}

#[test]
fn rubbish_is_refused_in_words() {
    let fake = || Fake::new(14, offsets::V3_14, false, &natives());
    let spoilt = |thing: Thing, offset: u64, value: u64| {
        let fake = fake();
        fake.set(thing, offset, value);
        fake.refusal()
    };
    use Thing::{Gil, Interpreter, Runtime, Thread};
    assert!(spoilt(Runtime, 0, 1).contains("does not begin with a table of offsets"));
    assert!(spoilt(Runtime, 8, 0x030d_00f0).contains("of another version"));
    assert!(spoilt(Runtime, offsets::V3_14.thread_next, 3).contains("an offset in its table cannot be one"));
    assert!(spoilt(Runtime, offsets::V3_14.gc, 1 << 40).contains("an offset in its table cannot be one"));
    assert!(spoilt(Runtime, offsets::V3_14.native_id, 4096).contains("an offset in its table cannot be one"));
    assert!(spoilt(Runtime, HEAD, 0).contains("has not finished starting"));
    assert!(spoilt(Runtime, HEAD, 8).contains("leads nowhere"));
    assert!(spoilt(Interpreter, NEXT, 1 << 63).contains("leads nowhere"));
    assert!(spoilt(Interpreter, ID, 3).contains("not numbered"));
    assert!(spoilt(Interpreter, GIL, 0).contains("has not finished starting"));
    assert!(spoilt(Interpreter, GIL, 16).contains("leads nowhere"));
    assert!(spoilt(Interpreter, GC + COLLECTING, 9).contains("garbage collector"));
    assert!(spoilt(Gil, 0, 0).contains("has not finished starting"));
    assert!(spoilt(Gil, 0, 1 << 50).contains("there is no GIL where it should be"));
    assert!(spoilt(Gil, 16, 2).contains("there is no GIL where it should be"));
    assert!(spoilt(Thread(0), THREAD_INTERP, 0).contains("do not belong to their interpreter"));

    let round = fake();
    round.set(Interpreter, NEXT, round.at(Interpreter));
    assert!(round.refusal().contains("does not end"));
    let held = fake();
    held.set(Gil, 16, 1);
    held.set(Gil, 8, held.at(Thing::Frame));
    assert!(held.refusal().contains("held by a thread of no interpreter"));
}

#[test]
fn a_list_of_threads_that_does_not_end_is_left() {
    let fake = Fake::new(14, offsets::V3_14, false, &natives());
    fake.set(Thing::Thread(1), THREAD_NEXT, fake.at(Thing::Thread(0)));
    assert!(fake.attach().is_ok_and(|subject| subject.threads().len() == 2));
}

#[test]
fn before_3_13_a_number_that_others_claim_too_tells_nothing_of_a_sub_interpreter() {
    let own = u64::from(std::process::id());
    let mut numbers = Numbers::of(std::process::id());
    numbers.refresh();
    let interpreters = [(10, 1), (20, 0)].map(|(address, id)| Interpreter { address, id, gil: None });
    let state = |address, interpreter, native_id| ThreadState { address, interpreter, native_id };
    let told = |minor, states: &[ThreadState]| {
        let python = Python { pid: 1, version: Version { major: 3, minor, micro: 0 }, runtime: 0 };
        tids(python, &interpreters, states, &numbers)
    };
    let tid = Some(own as Pid);
    let shared = [state(1, 10, own), state(2, 20, own)];
    assert_eq!(told(12, &shared), [None, tid]);
    assert_eq!(told(13, &shared), [tid, tid]);
    assert_eq!(told(12, &[state(1, 10, own), state(2, 20, 0)]), [tid, None]);
    assert_eq!(told(13, &[state(1, 20, u64::from(Pid::MAX)), state(2, 30, own)]), [None, None]);
}
