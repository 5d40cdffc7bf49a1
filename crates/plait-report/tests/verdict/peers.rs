//! Peers beside plait's own backends, and one backend in two sizes.

use super::fixtures::{With, failed, measured, run};
use super::{Case, peer, serial, with};

pub fn cases() -> Vec<Case> {
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
