//! Calls that wait, calls too short to hand over, start-up, and noise.

use super::fixtures::{MIB, With, measured, rounds, run};
use super::{Case, serial, with};

pub fn cases() -> Vec<Case> {
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
