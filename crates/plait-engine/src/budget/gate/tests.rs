//! Senders at the gate: one, two in a certain order, and many.

use std::sync::mpsc;

use super::*;
use crate::machine::{Allowance, Bound};

const PLENTY: u64 = 1 << 50;
const LONG: Duration = Duration::from_secs(3600);
const MIB: u64 = 1 << 20;

/// A budget that was set to so many bytes.
fn budget(limit: u64) -> Budget {
    Budget { limit, is_set: true, allowance: Allowance { bytes: PLENTY, why: Bound::Machine } }
}

fn gate(limit: u64) -> Arc<Gate> {
    Gate::new(budget(limit), || PLENTY)
}

/// Asks until it has it, as a sender does.
fn wait(gate: &Arc<Gate>, bytes: u64) -> Permit {
    let mut turn = gate.turn();
    loop {
        match turn.try_take(bytes) {
            Ok(permit) => return permit,
            Err(NotNow::Wait(seen)) => drop(gate.wait_changed(seen, LONG)),
            Err(NotNow::Never(never)) => panic!("{never}"),
        }
    }
}

fn seen(outcome: Result<Permit, NotNow>) -> Seen {
    match outcome {
        Err(NotNow::Wait(seen)) => seen,
        other => panic!("{other:?} is not to wait"),
    }
}

#[test]
fn what_was_taken_comes_back() {
    let gate = gate(100);
    let first = gate.turn().try_take(60).unwrap();
    let second = gate.turn().try_take(40).unwrap();
    assert_eq!((first.bytes(), gate.in_flight()), (60, 100));
    let before = seen(gate.turn().try_take(1));
    drop(second);
    assert!(gate.wait_changed(before, LONG), "what changed before the waiting began is not missed");
    assert_eq!(gate.in_flight(), 60);
    drop(gate.turn().try_take(40).unwrap());
    drop(first);
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn without_a_change_the_wait_ends_with_its_time() {
    let gate = gate(100);
    let _all = gate.take(100);
    let mut turn = gate.turn();
    let before = seen(turn.try_take(1));
    assert!(!gate.wait_changed(before, Duration::from_millis(1)));
}

#[test]
fn what_is_there_already_counts_whatever_the_budget_says() {
    let gate = gate(100);
    let results = [gate.take(80), gate.take(80)];
    assert_eq!(gate.in_flight(), 160);
    seen(gate.turn().try_take(1));
    drop(results);
    gate.turn().try_take(1).unwrap();
}

#[test]
fn a_result_that_the_program_keeps_cannot_be_waited_for() {
    let gate = gate(100);
    let result = gate.take(120);
    let before = seen(gate.turn().try_take(10));
    result.keep();
    result.keep();
    assert_eq!((gate.in_flight(), gate.kept()), (0, Kept { bytes: 120, objects: 1 }));
    assert!(gate.wait_changed(before, LONG), "who waited learns that it is in vain");
    let never = Never::Filled { asked: 10, limit: 100, kept: Kept { bytes: 120, objects: 1 } };
    assert_eq!(gate.turn().try_take(10).unwrap_err(), NotNow::Never(never));
    let before = gate.seen();
    drop(result);
    assert!(gate.wait_changed(before, LONG));
    assert_eq!(gate.kept(), Kept::default());
    gate.turn().try_take(10).unwrap();
}

#[test]
fn a_permit_is_split_into_parts_that_end_apart() {
    let gate = gate(100);
    let mut rest = gate.take(90);
    let mut array = rest.split(50);
    array.keep();
    assert_eq!((rest.bytes(), gate.in_flight(), gate.kept()), (40, 40, Kept { bytes: 50, objects: 1 }));
    let half = array.split(20);
    assert_eq!(gate.kept(), Kept { bytes: 50, objects: 2 });
    drop(array);
    assert_eq!(gate.kept(), Kept { bytes: 20, objects: 1 });
    let all = rest.split(1000);
    assert_eq!((all.bytes(), rest.bytes()), (40, 0));
    drop((rest, all, half));
    assert_eq!((gate.in_flight(), gate.kept()), (0, Kept::default()));
}

/// A gate over 1,000 MiB whose system has what the atomic says, and how often it was looked at.
fn watched(available: u64) -> (Arc<Gate>, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (available, looks) = (Arc::new(AtomicU64::new(available)), Arc::new(AtomicU64::new(0)));
    let figures = (Arc::clone(&available), Arc::clone(&looks));
    let look = move || {
        figures.1.fetch_add(1, Ordering::Relaxed);
        figures.0.load(Ordering::Relaxed)
    };
    (Gate::new(budget(1000 * MIB), look), available, looks)
}

#[test]
fn the_system_is_asked_for_large_messages_only() {
    let (gate, available, looks) = watched(32 * MIB);
    let looked = || looks.load(Ordering::Relaxed);
    let small: Vec<_> = (0..10).map(|_| gate.turn().try_take(LOOK_FROM - 1).unwrap()).collect();
    assert_eq!(looked(), 0);
    drop(gate.turn().try_take(30 * MIB).unwrap());
    assert_eq!(looked(), 1);
    seen(gate.turn().try_take(100 * MIB));
    drop(small);
    assert!(matches!(gate.turn().try_take(100 * MIB), Err(NotNow::Never(Never::NoRoom { .. }))));
    available.store(200 * MIB, Ordering::Relaxed);
    drop(gate.turn().try_take(100 * MIB).unwrap());
    assert!(looked() > 3);
}

#[test]
fn an_old_figure_makes_nobody_give_up() {
    let available = Arc::new(AtomicU64::new(2000 * MIB));
    let figure = Arc::clone(&available);
    let gate = Gate::new(Budget { is_set: false, ..budget(1000 * MIB) }, move || figure.load(Ordering::Relaxed));
    let _array = gate.try_keep(1200 * MIB).unwrap();
    available.store(0, Ordering::Relaxed);
    let flying = gate.take(100 * MIB);
    assert!(gate.turn().try_take(20 * MIB).is_err());
    available.store(100 * MIB, Ordering::Relaxed);
    drop(flying);
    gate.turn().try_take(MIB).unwrap();
}

#[test]
fn free_blocks_stay_as_the_figures_allow() {
    let (gate, available, _) = watched(PLENTY);
    let flying = gate.take(700 * MIB);
    assert_eq!(gate.keep_warm(), 300 * MIB);
    let array = gate.try_keep(200 * MIB).unwrap();
    assert_eq!(gate.keep_warm(), 100 * MIB);
    drop((flying, array));
    assert_eq!(gate.keep_warm(), 500 * MIB);
    available.store(10 * MIB, Ordering::Relaxed);
    // A large wish looks at the system anew.
    assert!(gate.try_keep(20 * MIB).is_err());
    assert_eq!(gate.keep_warm(), 0);
}

#[test]
fn shared_arrays_need_room_in_the_system_and_not_in_the_budget() {
    let (gate, _, _) = watched(1600 * MIB);
    let array = gate.try_keep(1500 * MIB).unwrap();
    assert_eq!(gate.kept(), Kept { bytes: 1500 * MIB, objects: 1 });
    assert!(matches!(gate.try_keep(1501 * MIB), Err(Never::NoRoom { .. })));
    assert_eq!(gate.kept().objects, 1);
    drop(array);
    assert_eq!(gate.kept(), Kept::default());
}

/// Another thread that stands in line for `bytes`, until it is sent a word; then it waits for its turn and ends with it.
fn stand(gate: &Arc<Gate>, bytes: u64) -> (mpsc::Sender<()>, thread::JoinHandle<Permit>) {
    let ((go, wait_go), (stands, wait_stands)) = (mpsc::channel(), mpsc::channel());
    let gate = Arc::clone(gate);
    let thread = thread::spawn(move || {
        let mut turn = gate.turn();
        seen(turn.try_take(bytes));
        stands.send(()).unwrap();
        wait_go.recv().unwrap();
        loop {
            match turn.try_take(bytes) {
                Ok(permit) => return permit,
                Err(NotNow::Wait(seen)) => drop(gate.wait_changed(seen, LONG)),
                Err(NotNow::Never(never)) => panic!("{never}"),
            }
        }
    });
    wait_stands.recv().unwrap();
    (go, thread)
}

#[test]
fn a_large_message_is_not_overtaken_by_small_ones() {
    let gate = Gate::with_courtesy(budget(100), || PLENTY, LONG);
    let first = gate.take(60);
    let (go, large) = stand(&gate, 90);
    let mut small = gate.turn();
    let before = seen(small.try_take(10));
    drop(first);
    assert!(gate.wait_changed(before, LONG));
    seen(small.try_take(10));
    seen(gate.turn().try_take(10));
    go.send(()).unwrap();
    let large = large.join().unwrap();
    assert_eq!(gate.in_flight(), 90);
    let permit = small.try_take(10).unwrap();
    drop((large, permit));
    assert_eq!((gate.in_flight(), gate.waiting.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn who_gives_up_leaves_the_line() {
    let gate = Gate::with_courtesy(budget(100), || PLENTY, LONG);
    let _first = gate.take(60);
    let mut large = gate.turn();
    seen(large.try_take(90));
    let behind = |gate: Arc<Gate>| move || gate.turn().try_take(10).map(drop).is_ok();
    assert!(!thread::spawn(behind(Arc::clone(&gate))).join().unwrap());
    let before = gate.seen();
    drop(large);
    assert!(gate.wait_changed(before, LONG), "those behind learn of it");
    assert!(thread::spawn(behind(Arc::clone(&gate))).join().unwrap());
}

#[test]
fn courtesy_ends_when_those_in_front_do_not_move() {
    let gate = Gate::with_courtesy(budget(100), || PLENTY, Duration::ZERO);
    let first = gate.take(60);
    let (go, large) = stand(&gate, 90);
    let mut small = gate.turn();
    seen(small.try_take(10));
    drop(small.try_take(10).unwrap());
    drop(first);
    go.send(()).unwrap();
    assert_eq!(large.join().unwrap().bytes(), 90);
}

#[test]
fn a_callback_does_not_wait_behind_its_own_thread() {
    let gate = Gate::with_courtesy(budget(100), || PLENTY, LONG);
    let _first = gate.take(60);
    let mut outer = gate.turn();
    seen(outer.try_take(90));
    gate.turn().try_take(10).unwrap();
}

#[test]
fn many_threads_share_a_budget() {
    const THREADS: u64 = 16;
    const ROUNDS: u64 = if cfg!(miri) { 10 } else { 500 };
    let gate = gate(1000);
    let most = AtomicU64::new(0);
    // Every wait is without a limit: a wake-up that is lost hangs the test.
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (gate, most) = (&gate, &most);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Some take all of the budget, and one in a while more than that.
                    let bytes = match (thread * 31 + round * 17) % 97 {
                        0 => 2500,
                        1..5 => 1000,
                        other => other * 5,
                    };
                    let permit = wait(gate, bytes);
                    let in_flight = gate.in_flight();
                    if bytes <= 1000 {
                        most.fetch_max(in_flight, Ordering::Relaxed);
                    } else {
                        assert_eq!(in_flight, bytes, "alone");
                    }
                    if round % 3 == 0 {
                        thread::yield_now();
                    }
                    drop(permit);
                }
            });
        }
    });
    assert!(most.into_inner() <= 1000);
    assert_eq!((gate.in_flight(), gate.kept()), (0, Kept::default()));
    assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn many_threads_keep_and_drop_what_they_took() {
    let gate = gate(u64::MAX);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for bytes in 0..if cfg!(miri) { 20 } else { 2000 } {
                    let mut permit = wait(&gate, bytes);
                    let half = permit.split(bytes / 2);
                    half.keep();
                    drop(permit);
                    assert!(gate.kept().bytes >= half.bytes());
                }
            });
        }
    });
    assert_eq!((gate.in_flight(), gate.kept()), (0, Kept::default()));
}
