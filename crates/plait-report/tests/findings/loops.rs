//! Event loops that do not get to their events.

use plait_report::verdicts::Trust::{Likely, Sure};

use crate::Case;
use crate::scene::Scene;

const REST: [&str; 2] = ["EpollSelector.select selectors.py:9", "BaseEventLoop._run_once asyncio/base_events.py:1"];
const HANDLER: [&str; 4] = [
    "fetch /srv/app.py:20",
    "handle /srv/app.py:10",
    "Handle._run asyncio/events.py:88",
    "BaseEventLoop._run_once asyncio/base_events.py:2",
];

/// An event loop that rests, and then does as `within` says.
pub fn stalls(rest: usize, within: &str, times: usize) -> Scene {
    Scene::new().lane("main", &format!("{}{within}", "o".repeat(rest)).repeat(times)).seen("o", &REST)
}

pub fn cases() -> Vec<Case> {
    let sleeps = "s".repeat(20);
    let python = "P".repeat(20);
    vec![
        ("a callback that sleeps", stalls(30, &sleeps, 8).seen("s", &HANDLER), &["loop-stalled"], Sure),
        ("a callback that computes", stalls(30, &python, 8).seen("P", &HANDLER), &["loop-stalled"], Sure),
        (
            "a callback that computed once",
            stalls(400, &"P".repeat(12), 1).seen("P", &HANDLER),
            &["loop-stalled"],
            Likely,
        ),
        (
            "a callback in native code",
            stalls(30, &"N".repeat(20), 8).shots('N', "_json_loads", &HANDLER).seen("N", &HANDLER),
            &["loop-stalled"],
            Sure,
        ),
        (
            "a callback that waits for the GIL",
            stalls(30, &"w".repeat(20), 8).seen("w", &HANDLER),
            &["loop-stalled"],
            Sure,
        ),
        ("a callback that sleeps where nobody read its stack", stalls(30, &sleeps, 8), &["loop-stalled"], Sure),
        ("short callbacks", stalls(6, "PPPP", 40).seen("P", &HANDLER), &["mixed"], Likely),
        ("callbacks just too short", stalls(30, &"P".repeat(9), 10).seen("P", &HANDLER), &["io-bound"], Likely),
        (
            "one callback after another",
            stalls(4, "", 1)
                .lane("loop", &format!("{}{}", "o".repeat(4), "P".repeat(396)))
                .seen("o", &REST)
                .seen("P", &REST),
            &["python-cpu-bound"],
            Sure,
        ),
        (
            "uvloop",
            stalls(0, "", 0)
                .lane("loop", &format!("{}{sleeps}", "o".repeat(30)).repeat(8))
                .seen(
                    "o",
                    &["Runner.run asyncio/runners.py:1", "run /venv/lib/python3.13/site-packages/uvloop/__init__.py:2"],
                )
                .seen(
                    "s",
                    &[
                        "fetch /srv/app.py:20",
                        "handle /srv/app.py:10",
                        "Runner.run asyncio/runners.py:1",
                        "run /venv/lib/python3.13/site-packages/uvloop/__init__.py:2",
                    ],
                ),
            &["loop-stalled"],
            Sure,
        ),
        (
            "a worker that was forked within a loop",
            Scene::new()
                .lane("main", &format!("{}P", "o".repeat(19)).repeat(20))
                .seen("o", &REST)
                .process("python app.py")
                .lane("main", &format!("o{}", "P".repeat(39)).repeat(10))
                .seen(
                    "P",
                    &[
                        "work /srv/app.py:30",
                        "BaseProcess._bootstrap multiprocessing/process.py:3",
                        "Popen._launch multiprocessing/popen_fork.py:4",
                        "handle /srv/app.py:10",
                        "Handle._run asyncio/events.py:88",
                    ],
                ),
            &["python-cpu-bound"],
            Sure,
        ),
        (
            "a thread beside the loop that sleeps",
            stalls(19, "P", 20)
                .lane("pool", &"s".repeat(400))
                .seen("s", &["wait /srv/app.py:5", "_worker concurrent/futures/thread.py:90"]),
            &["io-bound"],
            Sure,
        ),
        ("nobody looked for a while", stalls(30, &"?".repeat(20), 8).gap(30, 50).gap(80, 100), &["idle"], Likely),
    ]
}
