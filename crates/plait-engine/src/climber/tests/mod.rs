//! The promises of the climber, against invented servers.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use server::{Server, best_fixed, run};

use super::*;

mod server;

/// The most threads in these runs.
const MOST: usize = 512;

/// A run with a climber that knows how long a call takes alone: its rate as a share of that of the best fixed width, and
/// the width at its end.
fn climb(server: &Server, width: usize, calls: usize) -> (f64, usize) {
    let mut climber = Climber::new(width, MOST, Some(server.alone()), false);
    let seconds = run(server, calls, width, |started, ended| climber.on_call(started, ended, false));
    (best_fixed(server, calls) / seconds, climber.width())
}

fn from_anywhere(server: &Server, calls: usize, share: f64, widths: std::ops::RangeInclusive<usize>) {
    for width in [1, 4, 32, 256] {
        let (reached, end) = climb(server, width, calls);
        assert!(reached >= share, "{server:?} from {width}: {reached:.2} of the best rate, {end} at the end");
        assert!(widths.contains(&end), "{server:?} from {width}: {end} at the end");
    }
}

#[test]
fn a_server_without_a_limit_gets_all_there_are() {
    from_anywhere(&Server::new(0.05), 20_000, 0.75, MOST..=MOST);
}

#[test]
fn a_server_that_answers_some_at_a_time_gets_as_many() {
    from_anywhere(&Server::new(0.05).slots(8), 20_000, 0.95, 8..=16);
    from_anywhere(&Server::new(0.05).slots(100), 20_000, 0.9, 100..=200);
    from_anywhere(&Server::new(0.05).slots(8), 1_000, 0.9, 8..=16);
}

#[test]
fn what_is_shared_beyond_a_limit_gets_no_more() {
    from_anywhere(&Server::new(0.02).shared(16), 20_000, 0.95, 16..=32);
}

#[test]
fn a_lock_gets_hardly_more_than_one() {
    from_anywhere(&Server::new(0.001).slots(1), 10_000, 0.95, 1..=3);
}

#[test]
fn a_server_that_collapses_is_left_in_peace() {
    from_anywhere(&Server::new(0.05).collapse(8), 20_000, 0.6, 4..=12);
    from_anywhere(&Server::new(0.02).collapse(32), 20_000, 0.5, 20..=48);
}

#[test]
fn noise_does_not_lead_astray() {
    from_anywhere(&Server::new(0.05).slots(8).noise(0.5), 20_000, 0.9, 5..=64);
    from_anywhere(&Server::new(0.02).tail(0.05, 10.0).slots(20), 20_000, 0.85, 4..=128);
    from_anywhere(&Server::new(0.05).noise(1.0), 20_000, 0.4, 100..=MOST);
    from_anywhere(&Server::new(0.02).tail(0.05, 10.0), 20_000, 0.7, 150..=MOST);
}

#[test]
fn a_limit_that_changes_midway_is_followed() {
    from_anywhere(&Server::new(0.02).slots(8).then(64), 20_000, 0.85, 50..=256);
    from_anywhere(&Server::new(0.02).slots(64).then(4), 20_000, 0.9, 4..=80);
}

#[test]
fn who_does_not_know_how_long_a_call_takes_alone_finds_out() {
    for (server, share) in
        [(Server::new(0.05), 0.7), (Server::new(0.05).slots(8), 0.9), (Server::new(0.02).shared(16), 0.9)]
    {
        for width in [1, 8, 64] {
            let mut climber = Climber::new(width, MOST, None, false);
            let seconds = run(&server, 20_000, width, |started, ended| climber.on_call(started, ended, false));
            let reached = best_fixed(&server, 20_000) / seconds;
            assert!(reached >= share, "{server:?} from {width}: {reached:.2}, {} at the end", climber.width());
        }
    }
}

/// One call at a time comes, long before the next: more threads would find nothing to do.
#[test]
fn slow_inputs_do_not_raise_the_width() {
    let mut climber = Climber::new(64, MOST, Some(0.01), false);
    for call in 0..2_000 {
        let now = f64::from(call) * 0.02;
        assert!(climber.on_call(now, now + 0.01, false) <= 64);
    }
}

/// A first call of each thread that takes ten times as long says nothing of a queue.
#[test]
fn slow_first_calls_do_not_shrink_the_width() {
    let mut climber = Climber::new(16, MOST, Some(0.01), false);
    for _ in 0..16 {
        assert_eq!(climber.on_call(0.0, 0.1, true), 16);
    }
    for _ in 0..16 {
        climber.on_call(0.1, 0.11, false);
    }
    assert!(climber.width() > 16, "they are quick from then on: {}", climber.width());
}

#[test]
fn what_was_found_is_measured_first_and_no_leap_beyond_it() {
    let server = Server::new(0.02).slots(16);
    let mut first = Climber::new(16, MOST, Some(server.alone()), false);
    run(&server, 4_000, 16, |started, ended| first.on_call(started, ended, false));
    assert!((14..=32).contains(&first.found()), "{}", first.found());
    let mut again = Climber::new(first.found(), MOST, Some(server.alone()), true);
    assert!(first.found() == again.width() && !again.leaps());
    let seconds = run(&server, 4_000, again.width(), |started, ended| again.on_call(started, ended, false));
    assert!(best_fixed(&server, 4_000) / seconds > 0.9, "{seconds}");
}

#[test]
fn what_is_allowed_bounds_it() {
    let server = Server::new(0.02);
    let mut climber = Climber::new(4, 8, Some(server.alone()), false);
    let width = |calls: usize, climber: &mut Climber| {
        let from = climber.width();
        run(&server, calls, from, |started, ended| climber.on_call(started, ended, false));
        climber.width()
    };
    assert_eq!(width(500, &mut climber), 8);
    climber.allow(3);
    assert_eq!(climber.width(), 8, "what runs is not taken away");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]

    #[test]
    fn the_width_keeps_its_bounds_whatever_it_is_told(
        width in any::<usize>(),
        most in 0..2000usize,
        alone in prop::option::of(any::<f64>()),
        found in any::<bool>(),
        calls in prop::collection::vec((any::<f64>(), any::<f64>(), any::<bool>(), any::<bool>()), 0..400),
    ) {
        let mut climber = Climber::new(width, most, alone, found);
        let mut again = climber.clone();
        let mut now = 0.0;
        for (started, seconds, sane, is_first) in calls {
            let (started, ended) = if sane { (now, now + seconds.abs() % 1.0) } else { (started, seconds) };
            now += 0.001;
            let width = climber.on_call(started, ended, is_first);
            prop_assert!((1..=most.max(1)).contains(&width));
            prop_assert_eq!(width, climber.width());
            prop_assert_eq!(again.on_call(started, ended, is_first), width);
        }
    }
}
