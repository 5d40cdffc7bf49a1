//! Programs that do not get the processors they want.

use plait_report::verdicts::Trust::{Likely, Sure, Unsure};
use plait_trace::Kind;

use crate::Case;
use crate::scene::{Scene, TICK};

/// A program that runs Python code for half of three seconds, and is stopped for the other half.
fn throttled(periods: u64, throttled: u64, ticks: u64) -> Scene {
    Scene::new()
        .lane("main", &"Pr".repeat(150))
        .with(|process| process.quota = Some(0.5))
        .grows(Kind::QuotaPeriods, periods)
        .grows(Kind::ThrottledPeriods, throttled)
        .grows(Kind::ThrottledTime, ticks * TICK)
}

/// So many processes, each of which computes for one tick and then waits for a processor for `ready` ticks.
fn crowd(processors: u32, number: usize, ready: usize) -> Scene {
    let pattern = format!("P{}", "r".repeat(ready));
    let lane = pattern.repeat(300 / pattern.len());
    let scene = Scene::on(processors).lane("main", &"l".repeat(300));
    (0..number).fold(scene, |scene, worker| {
        scene
            .process("python app.py")
            .with(|process| process.role = Some(format!("plait worker {worker}")))
            .lane("main", &lane)
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        ("stopped in most periods", throttled(30, 27, 140), &["throttled", "python-cpu-bound"], Sure),
        ("stopped in one period of eight", throttled(80, 10, 10), &["throttled", "python-cpu-bound"], Likely),
        ("stopped just often enough", throttled(30, 3, 6), &["throttled", "python-cpu-bound"], Unsure),
        ("stopped once", throttled(30, 1, 2), &["python-cpu-bound", "busy-machine"], Sure),
        ("stopped, by the time alone", throttled(0, 0, 60), &["throttled", "python-cpu-bound"], Sure),
        ("four workers on two processors", crowd(2, 4, 1), &["oversubscribed", "python-cpu-bound"], Sure),
        ("three workers on two processors", crowd(2, 3, 1), &["oversubscribed", "python-cpu-bound"], Sure),
        ("two workers on one processor", crowd(1, 2, 1), &["oversubscribed", "python-cpu-bound"], Sure),
        (
            "three workers on two processors that others use, too",
            crowd(2, 3, 3),
            &["python-cpu-bound", "busy-machine"],
            Sure,
        ),
        ("two workers that others disturb", crowd(2, 2, 1), &["python-cpu-bound", "busy-machine"], Sure),
        ("four workers on four processors", crowd(4, 4, 0), &["saturated", "python-cpu-bound"], Sure),
        ("four workers on eight processors", crowd(8, 4, 0), &["python-cpu-bound"], Sure),
        (
            "a native library with threads of its own",
            (0..6).fold(Scene::on(2).lane("main", &"nrr".repeat(100)), |scene, _| {
                scene.lane("", &"rrn".repeat(100)).foreign()
            }),
            &["oversubscribed", "native-releasing"],
            Sure,
        ),
        (
            "one thread beside a neighbour on the same processor",
            Scene::on(1).lane("main", &"Pr".repeat(150)),
            &["python-cpu-bound", "busy-machine"],
            Sure,
        ),
        ("one thread on its only processor", Scene::on(1).lane("main", &"P".repeat(300)), &["python-cpu-bound"], Sure),
        (
            "one thread that is out of luck whenever it wants the GIL",
            Scene::on(1).lane("main", &"Pr".repeat(150)).dropping_gil(),
            &["python-cpu-bound", "busy-machine"],
            Sure,
        ),
        ("nobody counted", Scene::on(2).lane("main", &"Pr".repeat(150)).uncounted(), &["python-cpu-bound"], Sure),
    ]
}
