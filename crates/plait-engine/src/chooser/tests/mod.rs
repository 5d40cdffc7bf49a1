//! The promises of the chooser.

mod interpreters;
mod monotony;
mod world;

use super::*;

fn two_cores() -> Machine {
    Machine {
        cpus: 2,
        physical: Some(2),
        memory: Some(8 << 30),
        thread_pool: Pool::Warm,
        process_pool: Pool::Warm,
        interpreters: None,
    }
}

/// Python code that computes for so long.
fn computing(seconds: f64) -> Figures {
    Figures {
        calls: 3,
        remaining: Some(200),
        wall: seconds,
        cpu: seconds,
        held: seconds,
        wanted: 0.0,
        switches: 0.0,
        native: 0.0,
        ..Figures::default()
    }
}

#[test]
fn nothing_known_is_serial() {
    let choice = choose(&Figures::default(), &Machine::default(), &Bounds::default());
    assert_eq!((choice.backend, choice.workers), (Backend::Serial, 1));
}

#[test]
fn nothing_left_is_serial() {
    let choice = choose(&Figures { remaining: Some(0), ..computing(0.01) }, &two_cores(), &Bounds::default());
    assert_eq!((choice.backend, choice.seconds), (Backend::Serial, 0.0));
}

#[test]
fn json_may_leave_out_what_is_not_known() {
    let figures: Figures =
        serde_json::from_str(r#"{"calls": 2.0, "wall": 0.01, "cpu": null, "held": null, "remaining": 5}"#).unwrap();
    assert_eq!((figures.calls, figures.remaining, figures.gil), (2, Some(5), true));
    assert!(figures.cpu.is_nan() && figures.pickle.is_nan());
    let machine: Machine = serde_json::from_str(r#"{"cpus": 4, "physical": null, "memory": null}"#).unwrap();
    let bounds: Bounds = serde_json::from_str(r#"{"backends": ["threads"]}"#).unwrap();
    let choice = choose(&figures, &machine, &bounds);
    let json = serde_json::to_string(&choice).unwrap();
    assert!(json.contains(r#""backend":"threads""#), "{json}");
    assert_eq!(serde_json::from_str::<Choice>(&json).unwrap(), choice);
}

#[test]
fn a_call_without_a_switch_did_not_wait() {
    // 60 % on a processor, and never given up by itself: taken away by other programs.
    let preempted = Figures { cpu: 0.006, held: 0.006, ..computing(0.01) };
    let choice = |figures| choose(&figures, &two_cores(), &Bounds::default());
    assert_eq!(choice(preempted.clone()).workers, 2, "as many as there are processors");
    let waiting = Figures { switches: 3.0, ..preempted };
    assert!(choice(waiting).workers > 2, "more, for they wait");
}

#[test]
fn what_the_user_said_about_state_counts_more_than_what_was_seen() {
    let seen = Figures { shares_state: Some("a counter".to_owned()), ..computing(0.01) };
    let backend = |task| choose(&Figures { task, ..seen.clone() }, &two_cores(), &Bounds::default()).backend;
    assert_eq!([backend(None), backend(Some(true))], [Backend::Serial; 2]);
    assert_eq!(backend(Some(false)), Backend::Processes);
}

#[test]
fn a_run_of_unknown_length_goes_on() {
    let endless = |calls| Figures { calls, remaining: None, ..computing(0.001) };
    let cold = Machine { process_pool: Pool::Cold, ..two_cores() };
    assert_eq!(choose(&endless(10), &cold, &Bounds::default()).backend, Backend::Serial, "0.1 s more");
    assert_eq!(choose(&endless(100), &cold, &Bounds::default()).backend, Backend::Processes, "1 s more");
}

#[test]
fn a_switch_is_paid_for_and_a_switch_back_twice() {
    let machine = two_cores();
    let open = Bounds::default();
    let serial = choose(&computing(1e-6), &machine, &open);
    let now = computing(0.01);
    let next = revise(&serial, &now, &machine, &open, 0).expect("half the time");
    assert_eq!((next.backend, next.left.as_slice()), (Backend::Processes, &[Backend::Serial][..]));

    // A third less is more than the margin of a second switch, and less than twice that.
    let been_there = Choice { left: vec![Backend::Processes], ..serial.clone() };
    let heavier = Figures { pickle: 0.001, sent_bytes: 1e6, ..now.clone() };
    assert!(revise(&serial, &heavier, &machine, &open, 1).is_some());
    assert!(revise(&been_there, &heavier, &machine, &open, 1).is_none());
    assert!(revise(&serial, &heavier, &machine, &open, 2).is_none(), "each switch makes the next one harder");
    assert!(revise(&serial, &now, &machine, &open, MOST_SWITCHES).is_none());

    let little_left = Figures { remaining: Some(1), ..now };
    assert!(revise(&serial, &little_left, &machine, &open, 0).is_none());
}

#[test]
fn state_that_shows_later_ends_processes() {
    let (machine, open) = (two_cores(), Bounds::default());
    let choice = choose(&computing(0.01), &machine, &open);
    assert_eq!(choice.backend, Backend::Processes);
    let seen = Figures { shares_state: Some("a counter".to_owned()), ..computing(0.01) };
    assert_eq!(revise(&choice, &seen, &machine, &open, 0).unwrap().backend, Backend::Serial);
}

#[test]
fn what_threads_reached_counts_more_than_what_was_predicted() {
    let (machine, open) = (two_cores(), Bounds::default());
    // Its figures say that threads run at once. They do not: memory is as fast as it is.
    let native = Figures { held: 1e-5, ..computing(0.01) };
    let choice = choose(&native, &machine, &open);
    assert_eq!(choice.backend, Backend::Threads);
    let tried = Figures {
        threads_tried: Some(Tried { workers: 2, rate: 100.0, cpu_share: 1.0 }),
        remaining: Some(100),
        ..native
    };
    let next = choose(&tried, &machine, &open);
    let threads = next.candidates.iter().find(|each| each.backend == Backend::Threads).unwrap();
    assert!(threads.seconds >= 1.0, "{next:?}");
}

/// A call that waits for so long, and computes for a hundredth of that.
fn waiting(seconds: f64) -> Figures {
    let cpu = 0.01 * seconds;
    Figures { wall: seconds, cpu, held: cpu, switches: 1.0, ..computing(seconds) }
}

#[test]
fn threads_begin_few_and_with_what_is_known() {
    let choice = |figures| choose(&figures, &two_cores(), &Bounds::default());
    let begun = choice(waiting(0.01));
    assert_eq!((begun.backend, begun.workers), (Backend::Threads, 16), "the climber doubles them soon");
    let slow = Figures { calls: 0, unfinished: true, ..waiting(0.025) };
    assert!(choice(slow).workers > 40, "of slow calls it would learn late");
    assert_eq!(choice(Figures { width: Some(8), ..waiting(0.01) }).workers, 8);
    assert!(choice(Figures { width: Some(150), ..waiting(0.01) }).workers > 64);
    let few = Figures { width: Some(1), ..waiting(0.01) };
    assert_eq!(choice(few).workers, 2, "one for each processor");
}

#[test]
fn of_one_call_that_waits_only_a_part_is_taken_for_what_others_compute() {
    let cold = Machine { process_pool: Pool::Cold, ..two_cores() };
    let first = Figures { calls: 1, cpu: 0.003, held: 0.003, ..waiting(0.02) };
    let choice = |figures| choose(&figures, &cold, &Bounds::default());
    assert_eq!(choice(first.clone()).backend, Backend::Threads);
    let all = Figures { calls: 20, ..first };
    assert!(choice(all).seconds > 2.0 * choice(Figures { calls: 1, cpu: 0.003, held: 0.003, ..waiting(0.02) }).seconds);
}

#[test]
fn where_an_earlier_run_settled_is_taken_unless_it_is_clearly_slower() {
    let machine = two_cores();
    let choice = |figures| choose(&figures, &machine, &Bounds::default());
    // The GIL is held for a half: threads and processes are about as fast.
    let near = Figures { held: 0.005, ..computing(0.01) };
    assert_eq!(choice(near.clone()).backend, Backend::Threads);
    assert_eq!(choice(Figures { settled: Some(Backend::Processes), ..near }).backend, Backend::Processes);
    let far = Figures { settled: Some(Backend::Threads), ..computing(0.01) };
    assert_eq!(choice(far).backend, Backend::Processes);
}

#[test]
fn what_a_backend_reached_with_other_calls_is_no_hindrance() {
    let (machine, open) = (Machine { cpus: 8, physical: Some(8), ..two_cores() }, Bounds::default());
    let calls = |cpu_each: f64| {
        // Threads hold each other up; processes reached 5 ms a call, with calls that took a processor for so long.
        let on_threads = Choice { left: vec![Backend::Processes], ..choose(&waiting(0.01), &machine, &open) };
        assert_eq!(on_threads.backend, Backend::Threads);
        let reached = Tried { workers: 8, rate: 200.0, cpu_share: cpu_each * 200.0 / 8.0 };
        let figures = Figures { processes_tried: Some(reached), remaining: Some(1000), ..computing(0.006) };
        revise(&on_threads, &figures, &machine, &open, 2).map(|next| next.backend)
    };
    assert_eq!(calls(0.006), None, "the same calls: a fifth less is not worth it");
    assert_eq!(calls(0.02), Some(Backend::Processes), "other calls: an eighth is what can be had");
}
