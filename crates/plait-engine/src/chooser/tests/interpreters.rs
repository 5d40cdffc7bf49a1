//! Where interpreters are taken: where calls hold the GIL, nothing speaks against it, and what counts is the start.

use super::*;

/// A program that has started no workers, on a Python that has interpreters.
fn cold() -> Machine {
    Machine { process_pool: Pool::Cold, interpreters: Some(Pool::Cold), ..two_cores() }
}

/// So many calls of Python code that take a millisecond each.
fn short(calls: u64) -> Figures {
    Figures { remaining: Some(calls), ..computing(0.001) }
}

fn backend(figures: &Figures, machine: &Machine) -> Backend {
    choose(figures, machine, &Bounds::default()).backend
}

fn why_not(choice: &Choice) -> Option<&str> {
    let found = choice.candidates.iter().find(|each| each.backend == Backend::Interpreters).expect("a candidate");
    found.why_not.as_deref()
}

#[test]
fn a_short_burst_of_a_cold_program_goes_there() {
    let choice = choose(&short(200), &cold(), &Bounds::default());
    assert_eq!((choice.backend, choice.workers, choice.most_workers), (Backend::Interpreters, 2, 2), "{choice:?}");
    let outcome = choice.reasons.last().unwrap();
    assert!(outcome.starts_with("2 interpreters: "), "{outcome}");
    assert!(outcome.contains("2 processes"), "{outcome}");
    assert!(choice.margin.unwrap() > 1.0);
}

#[test]
fn its_place_is_between_too_little_and_much() {
    let by_calls = [10, 30, 100, 1000, 10_000, 1_000_000].map(|calls| backend(&short(calls), &cold()));
    let serial = by_calls.iter().position(|backend| *backend == Backend::Interpreters).expect("some");
    let there = by_calls[serial..].iter().take_while(|backend| **backend == Backend::Interpreters).count();
    assert!(by_calls[..serial].iter().all(|backend| *backend == Backend::Serial), "{by_calls:?}");
    assert!(by_calls[serial + there..].iter().all(|backend| *backend == Backend::Processes), "{by_calls:?}");
    assert!((1..4).contains(&serial) && serial + there < 5, "{by_calls:?}");
}

#[test]
fn processes_that_are_there_are_better() {
    let warm = Machine { process_pool: Pool::Warm, ..cold() };
    for calls in [20, 200, 20_000] {
        assert_eq!(backend(&short(calls), &warm), Backend::Processes);
        let both = Machine { interpreters: Some(Pool::Warm), ..warm.clone() };
        assert_eq!(backend(&short(calls), &both), Backend::Processes, "of about equal ones the simpler");
    }
}

#[test]
fn interpreters_that_are_there_are_better_than_processes_that_are_not() {
    let there = Machine { interpreters: Some(Pool::Warm), ..cold() };
    assert_eq!(backend(&short(20), &there), Backend::Interpreters);
    assert_eq!(backend(&short(20), &cold()), Backend::Serial);
}

#[test]
fn without_them_nothing_is_said_of_them() {
    let older = Machine { interpreters: None, ..cold() };
    let choice = choose(&short(200), &older, &Bounds::default());
    assert_eq!(choice.candidates.len(), 3);
    assert!(!format!("{choice:?}").to_lowercase().contains("interpreters"));
}

#[test]
fn what_speaks_against_them_is_said() {
    let refused = Figures { unloadable: Some("numpy refuses".to_owned()), ..short(200) };
    let choice = choose(&refused, &cold(), &Bounds::default());
    assert_ne!(choice.backend, Backend::Interpreters);
    assert!(choice.reasons.contains(&"not interpreters: numpy refuses".to_owned()), "{choice:?}");

    let shares = Figures { shares_state: Some("a counter".to_owned()), ..short(200) };
    let choice = choose(&shares, &cold(), &Bounds::default());
    assert_eq!(choice.backend, Backend::Serial);
    let said = "not processes or interpreters: it shares state with the program: a counter";
    assert!(choice.reasons.contains(&said.to_owned()), "{choice:?}");

    let by_user = Bounds { backends: Some(vec![Backend::Threads, Backend::Processes]), ..Bounds::default() };
    assert!(why_not(&choose(&short(200), &cold(), &by_user)).is_some());
}

#[test]
fn calls_that_one_may_want_to_stop_do_not_go_there() {
    let long = Figures { remaining: Some(4), ..computing(0.15) };
    let choice = choose(&long, &cold(), &Bounds::default());
    assert_ne!(choice.backend, Backend::Interpreters);
    assert_eq!(why_not(&choice), Some("a call took 150 ms, and nothing could stop one there"));
    let sometimes = Figures { longest: 2.0, ..short(200) };
    assert_ne!(backend(&sometimes, &cold()), Backend::Interpreters);
    let running = Figures { calls: 0, unfinished: true, ..computing(0.025) };
    assert_eq!(
        why_not(&choose(&running, &cold(), &Bounds::default())),
        Some("no call has ended yet, and nothing could stop one there")
    );
}

#[test]
fn where_memory_is_scarce_they_have_room_that_processes_do_not_have() {
    let scarce = Machine { memory: Some(12 << 20), ..cold() };
    let choice = choose(&short(200_000), &scarce, &Bounds::default());
    assert_eq!((choice.backend, choice.workers), (Backend::Interpreters, 2), "{choice:?}");
}

#[test]
fn calls_that_wait_stay_on_threads() {
    assert_eq!(backend(&waiting(0.01), &cold()), Backend::Threads);
}

#[test]
fn calls_that_grow_too_long_leave_them() {
    let (machine, open) = (cold(), Bounds::default());
    let choice = choose(&short(200), &machine, &open);
    let tried = Tried { workers: 2, rate: 4.0, cpu_share: 1.0 };
    let longer = Figures { interpreters_tried: Some(tried), remaining: Some(100), ..short(200) };
    let next = revise(&choice, &longer, &machine, &open, 0).expect("half a second a call");
    assert_eq!((next.backend, next.left.as_slice()), (Backend::Processes, &[Backend::Interpreters][..]));
    assert!(next.reasons.iter().any(|reason| reason.starts_with("2 interpreters finished a call every")), "{next:?}");
}

#[test]
fn a_run_of_unknown_length_need_not_wait_to_be_worth_processes() {
    let unknown = Figures { remaining: None, calls: 8, ..computing(0.001) };
    assert_eq!(backend(&unknown, &cold()), Backend::Interpreters);
    assert_eq!(backend(&unknown, &Machine { interpreters: None, ..cold() }), Backend::Serial);
}
