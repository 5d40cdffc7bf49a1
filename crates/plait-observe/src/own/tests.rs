//! The account, driven by threads that are no Python: every clock but the GIL's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::calls::State;
use super::{Calls, clocks};

const MS: Duration = Duration::from_millis(1);

fn burn(cpu: Duration) {
    let until = clocks::own_cpu() + cpu.as_nanos() as u64;
    while clocks::own_cpu() < until {}
}

fn call(calls: &Calls, body: impl FnOnce()) {
    let ticket = calls.begin(1);
    body();
    calls.end(ticket, false);
}

/// Polls until `holds`, and gives what it was asked about.
fn until<T>(mut look: impl FnMut() -> T, holds: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = look();
        if holds(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        thread::sleep(MS / 4);
    }
}

#[test]
fn nothing_is_known_before_the_first_call() {
    let figures = Calls::new(None).figures();
    assert_eq!((figures.calls, figures.running, figures.wall, figures.seconds), (0, 0, 0.0, 0.0));
    assert_eq!((figures.cpu, figures.held, figures.native, figures.memory), (None, None, None, None));
}

#[test]
fn sleeping_is_no_work_and_burning_is() {
    let (asleep, busy) = (Calls::new(None), Calls::new(None));
    for _ in 0..3 {
        call(&asleep, || thread::sleep(5 * MS));
        call(&busy, || burn(5 * MS));
    }
    let (asleep, busy) = (asleep.figures(), busy.figures());
    assert_eq!((asleep.calls, asleep.running, asleep.unfinished), (3, 0, false));
    assert!(asleep.wall >= 0.005 && asleep.longest >= asleep.wall, "{asleep:?}");
    assert!(asleep.cpu.expect("read") < 0.5 * asleep.wall, "{asleep:?}");
    assert!(asleep.switches.expect("read") > 0.9, "{asleep:?}");
    assert!(busy.cpu.expect("read") > 0.0049, "{busy:?}");
    assert!(busy.busy <= busy.seconds && busy.wall >= busy.cpu.expect("read"), "{busy:?}");
    assert_eq!(busy.samples, 0, "nobody looks without a GIL");
}

#[test]
fn failures_are_calls() {
    let calls = Calls::new(None);
    for failed in [false, true, true] {
        let ticket = calls.begin(1);
        calls.end(ticket, failed);
    }
    let figures = calls.figures();
    assert_eq!((figures.calls, figures.failed), (3, 2));
}

#[test]
fn a_call_in_flight_is_told_of_from_outside() {
    let calls = Arc::new(Calls::new(None));
    let (release, released) = mpsc::channel::<()>();
    let inside = Arc::clone(&calls);
    let thread = thread::spawn(move || {
        call(&inside, || {
            burn(3 * MS);
            released.recv().expect("released");
        });
        call(&inside, || {});
        call(&inside, || released.recv().expect("released"));
    });
    let figures = until(|| calls.figures(), |figures| figures.cpu.is_some_and(|cpu| cpu >= 0.003));
    assert_eq!((figures.calls, figures.running, figures.unfinished), (0, 1, true));
    assert!(figures.wall >= 0.003 && figures.busy > 0.0, "{figures:?}");
    release.send(()).expect("it listens");
    // Two have ended; the third is part of the means as soon as it takes longer than they did.
    let ended = until(|| calls.figures(), |figures| figures.calls == 2 && figures.running == 1);
    let later = until(|| calls.figures(), |figures| figures.unfinished);
    assert!(later.longest >= ended.wall, "{later:?}");
    release.send(()).expect("it listens");
    thread.join().expect("ends");
    let figures = calls.figures();
    assert_eq!((figures.calls, figures.running, figures.unfinished), (3, 0, false));
}

#[test]
fn a_batch_is_told_of_as_it_goes() {
    let calls = Arc::new(Calls::new(None));
    let (step, stepped) = mpsc::channel::<()>();
    let inside = Arc::clone(&calls);
    let thread = thread::spawn(move || {
        let mut batch = inside.batch(1);
        while stepped.recv().is_ok() {
            batch.done(false);
        }
    });
    assert!(!calls.wait(MS), "it has not ended");
    for done in 1..=3 {
        step.send(()).expect("it listens");
        let figures = until(|| calls.figures(), |figures| figures.calls == done);
        assert_eq!(figures.running, 1);
    }
    drop(step);
    until(|| calls.wait(50 * MS), |&ended| ended);
    thread.join().expect("ends");
    let figures = calls.figures();
    assert_eq!((figures.calls, figures.running), (3, 0));
    assert!(calls.wait(Duration::ZERO));
}

#[test]
fn waiting_is_for_every_batch_that_began() {
    let calls = Calls::new(None);
    assert!(!calls.wait(MS), "none has begun");
    drop(calls.batch(1));
    let second = calls.batch(1);
    assert!(!calls.wait(MS));
    drop(second);
    assert!(calls.wait(MS));
}

#[test]
fn tiny_calls_are_seldom_looked_at_closely_and_long_ones_always() {
    let closely = |wall: u64| {
        let mut state = State::default();
        (0..1000)
            .filter(|_| {
                let closely = state.pays();
                state.count(1, 0, wall, wall);
                closely
            })
            .count()
    };
    assert!((1..=10).contains(&closely(1_000)));
    assert!(closely(1_000_000) >= 999);
}

#[test]
fn the_cpu_of_tiny_calls_is_part_of_their_time() {
    let calls = Calls::new(None);
    for _ in 0..10_000 {
        call(&calls, || {});
    }
    let figures = calls.figures();
    assert_eq!(figures.calls, 10_000);
    assert!(figures.cpu.is_some_and(|cpu| cpu <= figures.wall), "{figures:?}");
}

#[test]
fn threads_beside_the_calls_are_seen_and_the_maker_is_not() {
    let native = |helper: bool, maker: bool| {
        let calls = Arc::new(Calls::new(None));
        let over = Arc::new(AtomicBool::new(false));
        let burnt = Arc::new(AtomicU64::new(0));
        let (inside, seen, helped) = (Arc::clone(&calls), Arc::clone(&over), Arc::clone(&burnt));
        let caller = thread::spawn(move || {
            call(&inside, || {
                let aside = helper.then(|| {
                    let seen = Arc::clone(&seen);
                    thread::spawn(move || {
                        while !seen.load(Ordering::Relaxed) {
                            helped.store(clocks::own_cpu(), Ordering::Relaxed);
                        }
                    })
                });
                while !seen.load(Ordering::Relaxed) {
                    thread::sleep(MS);
                }
                if let Some(aside) = aside {
                    aside.join().expect("ends");
                }
            });
        });
        until(|| calls.figures().running, |&running| running == 1);
        if maker {
            burn(20 * MS);
        }
        until(|| burnt.load(Ordering::Relaxed), |&burnt| !helper || burnt > 20_000_000);
        over.store(true, Ordering::Relaxed);
        caller.join().expect("ends");
        let figures = calls.figures();
        figures.native.expect("read") * figures.wall
    };
    assert!(native(true, false) > 0.019);
    // Other tests of this process run meanwhile when they are run as threads of one; then these figures are theirs, too.
    if std::env::var_os("NEXTEST").is_some() {
        assert!(native(false, true) < 0.015, "what the maker burns is its own");
    }
}

#[test]
fn calls_within_calls_and_many_threads_at_once() {
    let (outer, inner) = (Arc::new(Calls::new(None)), Arc::new(Calls::new(None)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (outer, inner) = (Arc::clone(&outer), Arc::clone(&inner));
            thread::spawn(move || {
                for _ in 0..100 {
                    call(&outer, || call(&inner, || call(&inner, || {})));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("ends");
    }
    assert_eq!((outer.figures().calls, outer.figures().running), (400, 0));
    assert_eq!((inner.figures().calls, inner.figures().running), (800, 0));
}
