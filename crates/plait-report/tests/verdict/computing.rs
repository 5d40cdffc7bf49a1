//! Calls that compute: whether threads gain depends on the GIL, whether processes do on the cores.

use super::fixtures::{MIB, With, measured, primes, run};
use super::{Case, serial, with};

pub fn cases() -> Vec<Case> {
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
