//! What a look costs.

use std::time::Instant;

use plait_trace::{GilKey, Nanos, Record, ThreadKey};

use super::stage::{GIL, PERIOD, call};
use crate::Pid;
use crate::lanes::{GilSeen, Lanes, Sched, ThreadFiles, ThreadLook};
use crate::memory::Naps;
use crate::subject::{GilLook, Spot};

/// One that has the GIL, one in eight that want it, and the rest idle; the GIL goes round every fifth look.
struct Crowd {
    threads: Vec<ThreadLook>,
    gil: GilSeen,
    look: usize,
}

impl Crowd {
    fn new(size: usize) -> Self {
        let look = GilLook { held: true, holder: None, state: 0, switches: 0, spot: None, collecting: false };
        let thread = |key: usize| ThreadLook {
            key: ThreadKey(key as u32),
            tid: key as Pid,
            call: call('s'),
            sched: None,
            turn: None,
            naps: Naps::default(),
            attached: None,
        };
        Self { threads: (0..size).map(thread).collect(), gil: GilSeen { key: GilKey(0), gil: GIL, look }, look: 0 }
    }

    fn next(&mut self) -> Nanos {
        let at = self.look as Nanos * PERIOD;
        let rivals = self.threads.len() / 8 + 1;
        let holder = self.look / 5 % rivals;
        for (place, thread) in self.threads[..rivals].iter_mut().enumerate() {
            thread.call = call(if place == holder { 'R' } else { 'w' });
            thread.sched = (place == holder).then_some(Sched { run: at / 2, delay: at / 2 });
        }
        self.gil.look.holder = Some(holder as Pid);
        self.gil.look.switches = (self.look / 5) as u64;
        self.gil.look.spot = Some(Spot { frame: 1, instruction: self.look as u64 });
        self.look += 1;
        at
    }
}

#[test]
fn idle_threads_write_nothing() {
    let mut crowd = Crowd::new(100);
    let (mut lanes, mut out) = (Lanes::new(), Vec::new());
    for _ in 0..1000 {
        let at = crowd.next();
        lanes.look(at, &[crowd.gil], &crowd.threads, &mut out);
    }
    let idle = |record: &&Record| matches!(record, Record::Span(span) if span.thread.index() > 12);
    assert_eq!(out.iter().filter(idle).count(), 0);
    // 199 times the GIL went from one thread to another: a hold, and a span of each of the two.
    assert!(out.len() <= 3 * 200, "{}", out.len());
}

/// `cargo test --release -p plait-observe -- --ignored --nocapture look_takes`
#[test]
#[ignore = "measures"]
fn a_look_takes() {
    for size in [20, 200] {
        let mut crowd = Crowd::new(size);
        let (mut lanes, mut out) = (Lanes::new(), Vec::with_capacity(1 << 20));
        let mut costs = Vec::new();
        for _ in 0..20_000 {
            let at = crowd.next();
            let begin = Instant::now();
            lanes.look(at, &[crowd.gil], &crowd.threads, &mut out);
            costs.push(begin.elapsed());
        }
        costs.sort_unstable();
        println!(
            "{size} threads: {:?} a look, one in a hundred {:?}; {} records",
            costs[10_000],
            costs[19_800],
            out.len()
        );
    }
    let tid = rustix::thread::gettid().as_raw_nonzero().get() as Pid;
    let mut files = ThreadFiles::open(std::process::id(), tid).expect("our own");
    let mut time = |what: &str, read: &mut dyn FnMut(&mut ThreadFiles)| {
        let begin = Instant::now();
        for _ in 0..20_000 {
            read(&mut files);
        }
        println!("{what}: {:?}", begin.elapsed() / 20_000);
    };
    time("call of a thread that runs", &mut |files| drop(files.call()));
    time("its processor time", &mut |files| drop(files.sched()));
}
