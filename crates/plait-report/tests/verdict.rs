//! The verdict follows from the figures: one made-up set of figures per rule, and the sentences it must give.

mod fixtures;

use fixtures::{MIB, With, failed, measured, primes, rounds, run};
use plait_report::comparison::{Advice, Grounds, Run};
use plait_report::{Comparison, Measurements};

/// A name, the figures, the best backend and the whole verdict.
type Case = (&'static str, Measurements, Option<&'static str>, &'static str);

fn with(mut measured: Measurements, change: impl FnOnce(&mut Measurements)) -> Measurements {
    change(&mut measured);
    measured
}

fn peer(run: Run) -> Run {
    Run { peer: true, ..run }
}

/// A serial run that computes for `seconds`.
fn serial(seconds: f64) -> Run {
    run("serial", 1, seconds).cores(1.0)
}

fn that_compute() -> Vec<Case> {
    let eight = |seconds: f64| [seconds; 8];
    vec![
        (
            "threads wait for the GIL, processes gain",
            primes(),
            Some("processes"),
            "Use processes: 1.9x faster than serial on 2 workers. Threads gained nothing (0.99x) because they spent 49 % \
             of their time waiting for the GIL.",
        ),
        (
            "threads lose to serial by waiting for the GIL",
            measured(vec![serial(2.0), run("threads", 2, 2.6).gil_wait(0.5), run("processes", 2, 1.0).cores(2.0)]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Threads lost time (0.77x) because they spent 50 % of \
             their time waiting for the GIL.",
        ),
        (
            "threads gain a part of what processes gain",
            measured(vec![serial(2.0), run("threads", 2, 1.5).gil_wait(0.3), run("processes", 2, 1.0).cores(2.0)]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Threads gained less (1.3x) because they spent 30 % of \
             their time waiting for the GIL.",
        ),
        (
            "threads gain nothing, and nothing says why",
            measured(vec![serial(2.0), run("threads", 2, 2.0), run("processes", 2, 1.0).cores(2.0)]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Threads reached 1.0x.",
        ),
        (
            "native code that releases the GIL",
            measured(vec![
                serial(2.0),
                run("threads", 2, 1.02).cores(1.95).gil_wait(0.02).startup(0.0003).memory(20 * MIB),
                run("processes", 2, 1.05).cores(1.95).startup(0.05).memory(90 * MIB),
            ]),
            Some("threads"),
            "Use threads: 2.0x faster than serial on 2 workers. The calls compute outside the GIL: threads used 1.9 \
             cores at a time and waited for the GIL 2 % of the time. Processes were no faster (1.9x), and threads start in \
             300 µs instead of 50.0 ms and take 20.0 MiB instead of 90.0 MiB.",
        ),
        (
            "a Python without a GIL",
            with(
                measured(vec![serial(2.0), run("threads", 2, 1.0).cores(1.98), run("processes", 2, 1.2).cores(1.9)]),
                |m| m.machine.gil = false,
            ),
            Some("threads"),
            "Use threads: 2.0x faster than serial on 2 workers. This Python runs without a GIL, and threads used 2.0 \
             cores at a time. Processes reached 1.7x.",
        ),
        (
            "a Python without a GIL, where threads gain nothing all the same",
            with(
                measured(vec![serial(2.0), run("threads", 2, 2.2).gil_wait(0.4), run("processes", 2, 1.0).cores(2.0)]),
                |m| m.machine.gil = false,
            ),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Threads reached 0.91x.",
        ),
        (
            "one core",
            with(
                measured(vec![
                    serial(2.0),
                    run("threads", 2, 2.02).cores(1.0).gil_wait(0.5),
                    run("processes", 2, 2.04).cores(1.0),
                ]),
                |m| m.machine.cpus = 1,
            ),
            Some("serial"),
            "Stay with serial: only one core is available, so nothing can compute side by side (threads 0.99x, \
             processes 0.98x).",
        ),
        (
            "two cores, busy with other work",
            measured(vec![
                serial(2.0).calls(&eight(0.25), 1),
                run("threads", 2, 2.02).cores(1.0).gil_wait(0.5),
                run("processes", 2, 1.98).cores(1.02).calls(&eight(0.49), 2),
            ]),
            Some("serial"),
            "Stay with serial: nothing was faster by more than the noise (threads 0.99x, processes 1.0x). Threads spent \
             50 % of their time waiting for the GIL. Processes got 1.0 of the 2 cores they could use, and each call took \
             2.0x as long as in serial for the same CPU time: the cores were busy with other work.",
        ),
        (
            "a gain far below what the workers could bring, for busy cores",
            with(
                measured(vec![
                    serial(2.0).calls(&eight(0.25), 1),
                    run("processes", 4, 1.0).cores(2.0).calls(&eight(0.48), 4),
                ]),
                |m| m.machine.cpus = 4,
            ),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 4 workers. Processes got 2.0 of the 4 cores they could use, and \
             each call took 1.9x as long as in serial for the same CPU time: the cores were busy with other work.",
        ),
        (
            "calls that need more CPU side by side",
            with(
                measured(vec![
                    serial(2.0).calls(&eight(0.25), 1),
                    run("processes", 4, 1.0).cpu(3.9).calls(&eight(0.48), 4),
                ]),
                |m| m.machine.cpus = 4,
            ),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 4 workers. On processes a single call took 1.9x as long as in \
             serial.",
        ),
        (
            "one call as long as all the others",
            with(
                measured(vec![
                    serial(2.0).calls(&[1.0, 0.25, 0.25, 0.25, 0.25], 1),
                    run("processes", 4, 1.02).cpu(2.0).calls(&[1.0, 0.25, 0.25, 0.25, 0.25], 4),
                ]),
                |m| (m.machine.cpus, m.items) = (4, 5),
            ),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 4 workers. On processes the longest call alone took 98 % of the \
             time, so more workers cannot help.",
        ),
        (
            "fewer items than workers",
            with(
                measured(vec![
                    serial(2.0).calls(&[1.0, 1.0], 1),
                    run("processes", 8, 1.02).cpu(2.0).calls(&[1.0, 1.0], 8),
                ]),
                |m| (m.machine.cpus, m.items) = (8, 2),
            ),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 8 workers. There were only 2 items for 8 workers.",
        ),
        (
            "cores that stand idle, and nothing says why",
            with(measured(vec![serial(2.0), run("processes", 8, 1.0).cores(2.1)]), |m| m.machine.cpus = 8),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 8 workers. Processes got 2.1 of the 8 cores they could use.",
        ),
    ]
}

fn on_a_busy_machine() -> Vec<Case> {
    vec![
        (
            "threads only got more of the busy cores than serial",
            measured(vec![
                run("serial", 1, 3.7).cores(0.36).starved(0.63),
                run("threads", 2, 1.7).cores(0.74).gil_wait(0.36),
                run("processes", 2, 3.6).cores(0.4),
            ]),
            Some("serial"),
            "Stay with serial: threads took turns on one core, so their gain is the machine's unevenness (threads 2.2x, processes 1.0x). Other programs had \
             the cores for 63 % of serial's time: compare again when the machine is quiet. Threads spent 36 % of their time \
             waiting for the GIL. Processes got 0.40 of the 2 cores they could use.",
        ),
        (
            "threads that compute outside the GIL gain on a busy machine, too",
            measured(vec![
                run("serial", 1, 4.0).cores(0.3).starved(0.7),
                run("threads", 2, 2.0).cores(0.6).gil_wait(0.02),
            ]),
            Some("threads"),
            "Use threads: 2.0x faster than serial on 2 workers. Other programs had the cores for 70 % of serial's time: \
             compare again when the machine is quiet.",
        ),
        (
            "threads cannot gain by turns on one core, whatever the times",
            measured(vec![
                run("serial", 1, 2.4).cores(0.95),
                run("threads", 2, 1.5).cores(0.95).gil_wait(0.35),
                rounds("processes", 2, &[1.4, 1.3, 1.5, 1.2, 1.6]).cores(1.0),
            ]),
            Some("processes"),
            "Use processes: 1.7x faster than serial on 2 workers. Threads gained less (1.6x) because they spent 35 % of \
             their time waiting for the GIL.",
        ),
        (
            "threads gain where calls leave a part of the core unused",
            measured(vec![run("serial", 1, 2.0).cores(0.6), run("threads", 2, 1.25).cores(0.96).gil_wait(0.3)]),
            Some("threads"),
            "Use threads: 1.6x faster than serial on 2 workers.",
        ),
        (
            "processes gain all the same",
            measured(vec![
                run("serial", 1, 4.0).cores(0.25).starved(0.7),
                run("threads", 2, 4.0).cores(0.25).gil_wait(0.5),
                run("processes", 2, 2.0).cores(0.5),
            ]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Other programs had the cores for 70 % of serial's time: \
             compare again when the machine is quiet. Threads gained nothing (1.0x) because they spent 50 % of their time \
             waiting for the GIL.",
        ),
        (
            "calls that wait wait on a busy machine, too",
            measured(vec![
                run("serial", 1, 4.0).cores(0.01).starved(0.05),
                run("threads", 2, 2.0).cores(0.02).gil_wait(0.0),
            ]),
            Some("threads"),
            "Use threads: 2.0x faster than serial on 2 workers. The calls mostly wait: in serial they used 1 % of a core.",
        ),
    ]
}

fn that_wait_or_are_short() -> Vec<Case> {
    vec![
        (
            "calls that wait: threads are as fast as processes, and cheaper",
            measured(vec![
                run("serial", 1, 8.0).cores(0.04).memory(30 * MIB),
                run("threads", 8, 1.02).cores(0.3).gil_wait(0.01).startup(0.0012).memory(31 * MIB),
                run("processes", 8, 1.01).cores(0.4).startup(0.051).memory(210 * MIB),
            ]),
            Some("threads"),
            "Use threads: 7.8x faster than serial on 8 workers. The calls mostly wait: in serial they used 4 % of a core. \
             Processes were no faster (7.9x), and threads start in 1.20 ms instead of 51.0 ms and take 31.0 MiB instead \
             of 210 MiB.",
        ),
        (
            "calls that wait, on one core: threads gain all the same",
            with(measured(vec![run("serial", 1, 8.0).cores(0.04), run("threads", 8, 1.0).cores(0.3)]), |m| {
                m.machine.cpus = 1;
            }),
            Some("threads"),
            "Use threads: 8.0x faster than serial on 8 workers. The calls mostly wait: in serial they used 4 % of a core.",
        ),
        (
            "calls that wait for one another",
            measured(vec![
                run("serial", 1, 8.0).cores(0.04).calls(&[1.0; 8], 1),
                run("threads", 8, 8.1).cores(0.04).calls(&[4.5; 8], 8),
            ]),
            Some("serial"),
            "Stay with serial: nothing was faster (threads 0.99x). The calls mostly wait: in serial they used 4 % of a \
             core. On threads a single call took 4.5x as long as in serial.",
        ),
        (
            "calls shorter than their handing over",
            with(
                measured(vec![
                    serial(0.013).calls(&[1.2e-6; 8], 1),
                    run("threads", 2, 0.05).gil_wait(0.4),
                    run("processes", 2, 0.12),
                ]),
                |m| m.items = 10_000,
            ),
            Some("serial"),
            "Stay with serial: nothing was faster (threads 0.26x, processes 0.11x). A call takes 1.20 µs, but on \
             processes each item took 12.0 µs: handing calls over costs more than it gains.",
        ),
        (
            "start-up that eats the gain",
            measured(vec![serial(0.1), run("processes", 2, 0.06).cores(1.9).startup(0.06)]),
            Some("serial"),
            "Stay with serial: with start-up counted, nothing was faster (without it, processes 1.7x). Once started, processes are \
             1.7x faster, but starting them takes 60.0 ms and saves 40.0 ms.",
        ),
        (
            "start-up that eats what processes gain over threads",
            measured(vec![
                run("serial", 1, 0.4).cores(0.1),
                run("threads", 8, 0.08).startup(0.001),
                run("processes", 8, 0.06).startup(0.05),
            ]),
            Some("threads"),
            "Use threads: 5.0x faster than serial on 8 workers. The calls mostly wait: in serial they used 10 % of a core. \
             Once started, processes are 1.3x faster, but starting them takes 50.0 ms and saves 20.0 ms.",
        ),
        (
            "start-up that is not small beside the time",
            measured(vec![serial(1.0), run("processes", 2, 0.5).cores(2.0).startup(0.25)]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Start-up takes another 250 ms: 1.3x with it.",
        ),
        (
            "differences within the noise: the simplest",
            measured(vec![
                rounds("serial", 1, &[1.0, 1.4, 0.9, 1.2, 1.1]),
                rounds("threads", 2, &[1.1, 1.0, 1.0, 1.15, 1.0]),
                rounds("processes", 2, &[0.9, 1.35, 1.0, 1.1, 1.05]),
            ]),
            Some("serial"),
            "Stay with serial: nothing was faster by more than the noise (threads 1.0x, processes 1.0x). Rounds of processes \
             differed by up to 29 % from their median, so small differences do not show.",
        ),
        (
            "one round does not show a small gain",
            measured(vec![rounds("serial", 1, &[1.0]), rounds("threads", 2, &[0.9])]),
            Some("serial"),
            "Stay with serial: nothing was faster by more than the noise (threads 1.1x).",
        ),
    ]
}

fn that_failed() -> Vec<Case> {
    let error = "2 of 8 calls raised ValueError: not a number";
    vec![
        (
            "one backend failed",
            measured(vec![
                serial(2.0),
                run("threads", 2, 2.0),
                failed("processes", 2, "cannot send count: it is a\nlambda"),
            ]),
            Some("serial"),
            "Stay with serial: nothing was faster (threads 1.0x). Processes failed: cannot send count: it is a lambda.",
        ),
        (
            "some calls raised, so that the time does not count",
            measured(vec![
                serial(2.0),
                run("threads", 2, 1.99),
                run("processes", 2, 0.1).each(|round| round.failed_calls = 7),
            ]),
            Some("serial"),
            "Stay with serial: nothing was faster by more than the noise (threads 1.0x). Processes failed: 7 of 8 calls \
             failed.",
        ),
        (
            "only one ran",
            measured(vec![serial(1.93), failed("threads", 2, error), failed("processes", 2, error)]),
            Some("serial"),
            "Only serial ran to the end (1.93 s): there is nothing to compare it with. Threads and processes failed: 2 of \
             8 calls raised ValueError: not a number.",
        ),
        (
            "only threads ran",
            measured(vec![failed("serial", 1, "not on the main thread!"), run("threads", 2, 1.93)]),
            Some("threads"),
            "Only threads ran to the end (1.93 s): there is nothing to compare them with. Serial failed: not on the main \
             thread!",
        ),
        (
            "all failed alike",
            measured(vec![failed("serial", 1, error), failed("threads", 2, error), failed("processes", 2, error)]),
            None,
            "No backend ran to the end. Serial, threads and processes failed: 2 of 8 calls raised ValueError: not a number.",
        ),
        (
            "all failed, each in its way",
            measured(vec![failed("serial", 1, error), failed("threads", 2, "out of memory.")]),
            None,
            "No backend ran to the end. Serial failed: 2 of 8 calls raised ValueError: not a number. Threads failed: out \
             of memory.",
        ),
        (
            "serial failed: the others are compared with each other",
            measured(vec![failed("serial", 1, error), run("threads", 2, 2.0), run("processes", 2, 1.0)]),
            Some("processes"),
            "Use processes: 2.0x faster than threads on 2 workers. Serial failed: 2 of 8 calls raised ValueError: not a \
             number.",
        ),
        (
            "serial failed, and the others are equal",
            measured(vec![failed("serial", 1, error), run("threads", 2, 1.0), run("processes", 2, 1.0)]),
            Some("threads"),
            "Use threads: processes did not beat them by more than the noise. Serial failed: 2 of 8 calls raised \
             ValueError: not a number.",
        ),
        (
            "interrupted after two of five rounds",
            with(
                measured(vec![
                    rounds("serial", 1, &[2.0, 2.0, 2.0]),
                    rounds("threads", 2, &[2.0, 2.0]),
                    rounds("processes", 2, &[1.0, 1.0]),
                ]),
                |m| m.interrupted = true,
            ),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Threads reached 1.0x. Interrupted: this rests on 2 of 5 \
             rounds.",
        ),
        (
            "interrupted before anything ended",
            with(measured(vec![rounds("serial", 1, &[])]), |m| m.interrupted = true),
            None,
            "Nothing was measured. Interrupted before every backend had ended a round.",
        ),
        ("nothing at all", measured(vec![]), None, "Nothing was measured."),
    ]
}

fn that_have_peers_or_twins() -> Vec<Case> {
    vec![
        (
            "a peer beats plait's own of the same kind",
            measured(vec![serial(2.0), run("processes", 2, 1.2).cores(1.8), peer(run("loky", 2, 1.0))]),
            Some("processes"),
            "Use processes: 1.7x faster than serial on 2 workers. The peer loky was 1.2x faster than plait's processes.",
        ),
        (
            "a peer that is faster only within the noise, and one that failed",
            measured(vec![
                serial(2.0),
                run("processes", 2, 1.02).cores(1.8),
                peer(run("loky", 2, 1.0)),
                peer(failed("joblib", 2, "not installed")),
            ]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Of the peers, joblib did not run to the end.",
        ),
        (
            "a peer's threads are set against plait's threads",
            measured(vec![
                serial(2.0),
                run("threads", 2, 2.3),
                run("processes", 2, 1.0).cores(2.0),
                peer(run("concurrent.futures threads", 2, 2.0)),
            ]),
            Some("processes"),
            "Use processes: 2.0x faster than serial on 2 workers. Threads reached 0.87x. The peer concurrent.futures threads was \
             1.1x faster than plait's threads.",
        ),
        (
            "only peers ran: none of them is the best",
            measured(vec![failed("serial", 1, "killed"), peer(run("loky", 2, 1.0))]),
            None,
            "No backend ran to the end. Serial failed: killed.",
        ),
        (
            "two sizes of the same backend",
            with(
                measured(vec![serial(4.0), run("processes", 2, 2.0).cores(2.0), run("processes", 4, 1.0).cores(4.0)]),
                |m| m.machine.cpus = 4,
            ),
            Some("processes"),
            "Use processes: 4.0x faster than serial on 4 workers. Processes (2 workers) reached 2.0x.",
        ),
    ]
}

#[test]
fn the_verdict_follows_from_the_figures() {
    let cases =
        [that_compute(), on_a_busy_machine(), that_wait_or_are_short(), that_failed(), that_have_peers_or_twins()]
            .concat();
    assert!(cases.len() >= 36);
    let mut wrong = String::new();
    for (name, measured, best, text) in cases {
        let comparison = Comparison::from(measured);
        let (best_seen, seen) = (comparison.best().map(|row| row.backend.as_str()), comparison.verdict().to_string());
        if (best_seen, seen.as_str()) != (best, text) {
            wrong.push_str(&format!("\n{name}\n  expected {best:?}: {text}\n  seen     {best_seen:?}: {seen}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    let forward = primes();
    let mut backward = primes();
    backward.runs.reverse();
    let (forward, backward) = (Comparison::from(forward), Comparison::from(backward));
    assert_eq!(forward.verdict(), backward.verdict());
    assert_eq!(forward.code_line(), backward.code_line());
}

#[test]
fn grounds_are_data_too() {
    let comparison = Comparison::from(measured(vec![serial(1.0), run("threads", 2, 2.0)]));
    let Advice::StaySerial { grounds, others } = &comparison.verdict().advice else {
        panic!("{}", comparison.verdict())
    };
    assert_eq!((*grounds, others.len()), (Grounds::Slower, 1));
    assert_eq!(
        comparison.code_line().as_deref(),
        Some("results = list(plait.map(count_primes, ITEMS, backend=\"serial\"))"),
    );
}
