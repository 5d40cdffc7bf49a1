//! Machines that other programs keep busy: what the figures still show, and what they do not.

use super::Case;
use super::fixtures::{With, measured, rounds, run};

pub fn cases() -> Vec<Case> {
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
