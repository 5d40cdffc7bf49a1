//! Backends that failed, in part or altogether, and comparisons that were interrupted.

use super::fixtures::{With, failed, measured, rounds, run};
use super::{Case, serial, with};

pub fn cases() -> Vec<Case> {
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
