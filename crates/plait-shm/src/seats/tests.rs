//! Sitting down, waking and dying, on the words the machine has.

use super::*;
use std::sync::Arc;

/// Sits down without sleeping, as a worker does between its announcement and its sleep.
fn sit(seats: &Seats, worker: u16) {
    let mut looks = 0;
    let wake = seats.park(
        WorkerId(worker),
        || {
            looks += 1;
            if looks == 2 {
                let ticket = seats.tickets[worker as usize].load(Ordering::Relaxed);
                assert_eq!(ticket.wrapping_add(1), seats.drawn.load(Ordering::Relaxed));
            }
            false
        },
        Some(Duration::ZERO),
    );
    assert_eq!(wake, Wake::TimedOut);
    let (map, bit) = seats.bit(WorkerId(worker));
    map.fetch_or(bit, Ordering::Relaxed);
}

#[test]
fn the_last_to_sit_is_the_first_to_be_woken() {
    let seats = Seats::new();
    // Near the point where tickets wrap.
    seats.drawn.store(u32::MAX - 1, Ordering::Relaxed);
    for worker in [3, 200, 77, 239, 0] {
        sit(&seats, worker);
    }
    assert_eq!(seats.count(), 5);
    let woken: Vec<_> = std::iter::from_fn(|| seats.wake_last()).map(|worker| worker.0).collect();
    assert_eq!(woken, [0, 239, 77, 200, 3]);
    assert_eq!(seats.count(), 0);
}

#[test]
fn waking_one_worker_leaves_the_others_seated() {
    let seats = Seats::new();
    sit(&seats, 1);
    sit(&seats, 2);
    seats.wake(WorkerId(1));
    seats.wake(WorkerId(7));
    assert_eq!(seats.wake_last(), Some(WorkerId(2)));
    assert_eq!(seats.wake_last(), None);
}

#[test]
fn the_dead_leave_their_seats() {
    let seats = Seats::new();
    sit(&seats, 1);
    sit(&seats, 2);
    seats.leave(WorkerId(2));
    seats.leave(WorkerId(2));
    assert_eq!(seats.count(), 1);
    assert_eq!(seats.wake_last(), Some(WorkerId(1)));
}

#[test]
fn while_one_looks_nobody_is_woken() {
    let seats = Seats::new();
    sit(&seats, 1);
    let woken = seats.look(WorkerId(2), || {
        assert_eq!(seats.look(WorkerId(3), || unreachable!("one at a time")), None);
        seats.wake_last().is_some()
    });
    assert_eq!(woken, Some(false));
    assert_eq!(seats.wake_last(), Some(WorkerId(1)));
}

#[test]
fn the_dead_do_not_look() {
    let seats = Seats::new();
    sit(&seats, 1);
    seats.looking.store(3, Ordering::Relaxed);
    seats.leave(WorkerId(5));
    assert_eq!(seats.wake_last(), None);
    seats.leave(WorkerId(2));
    assert_eq!(seats.wake_last(), Some(WorkerId(1)));
}

#[test]
fn bits_of_nobody_are_passed_over() {
    let seats = Seats::new();
    seats.sitting[3].store(u64::MAX << 48, Ordering::Relaxed);
    assert_eq!(seats.wake_last(), None);
}

#[test]
fn a_worker_asleep_is_woken() {
    let shared = Arc::new((Seats::new(), AtomicU32::new(0)));
    let other = Arc::clone(&shared);
    let worker = std::thread::spawn(move || {
        while other.1.load(Ordering::Relaxed) == 0 {
            other.0.park(WorkerId(5), || other.1.load(Ordering::Relaxed) != 0, None);
        }
    });
    while shared.0.count() == 0 {
        std::thread::yield_now();
    }
    shared.1.store(1, Ordering::Relaxed);
    shared.0.wake_last();
    worker.join().unwrap();
    assert_eq!(shared.0.count(), 0);
}
