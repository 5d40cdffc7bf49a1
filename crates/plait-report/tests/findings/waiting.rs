//! Programs that wait for something that is neither the GIL nor a processor.

use plait_report::verdicts::Trust::{Likely, Sure, Unsure};

use crate::Case;
use crate::scene::Scene;

fn one(pattern: &str) -> Scene {
    Scene::new().lane("main", &pattern.repeat(400 / pattern.len()))
}

const LOOP: [&str; 2] = ["EpollSelector.select selectors.py:9", "BaseEventLoop._run_once asyncio/base_events.py:1"];

/// Four threads of which one at a time has a lock, in which it does as `within` says.
fn locked(within: &str) -> Scene {
    let length = within.len();
    (0..4).fold(Scene::new(), |scene, own| {
        let lane: String =
            (0..4).map(|turn| if turn == own { within.to_owned() } else { "l".repeat(length) }).collect();
        scene.lane(&format!("worker-{own}"), &lane.repeat(400 / lane.len())).seen("l", &["update /srv/app.py:20"])
    })
}

pub fn cases() -> Vec<Case> {
    let alternating = |other: &str| format!("{}P", other.repeat(19));
    vec![
        ("a client, one request after another", one(&alternating("i")), &["io-bound"], Sure),
        ("many files", one(&alternating("d")), &["io-bound"], Sure),
        ("short sleeps", one("sssssssssP"), &["io-bound"], Sure),
        (
            "sixteen threads with requests",
            (0..16).fold(Scene::new(), |scene, _| scene.lane("pool", &format!("{}n", "i".repeat(99)).repeat(4))),
            &["io-bound"],
            Sure,
        ),
        ("an event loop with connections", one(&alternating("o")).seen("o", &LOOP), &["io-bound"], Sure),
        ("an event loop with much to do", one("oooPPPPPPo").seen("o", &LOOP), &["mixed"], Likely),
        ("requests, and Python code a fifth of the time", one("iiiiP"), &["io-bound"], Likely),
        (
            "requests, and Python code almost a quarter of the time",
            one(&format!("{}{}", "i".repeat(76), "P".repeat(24))),
            &["io-bound"],
            Unsure,
        ),
        ("requests, and Python code a third of the time", one("iiP"), &["mixed"], Likely),
        ("requests without counters", one(&alternating("i")).uncounted(), &["io-bound"], Sure),
        ("one long request", one("i"), &["idle"], Likely),
        ("a server that nobody calls", Scene::new().lane("main", &"o".repeat(400)), &["idle"], Sure),
        ("a lock, held asleep", locked("sssss"), &["lock-bound"], Sure),
        ("a lock, held in native code", locked("nnnnP"), &["lock-bound"], Sure),
        ("a lock, held in Python code half of the time", locked("PPPss"), &["lock-bound"], Sure),
        ("a lock, held in Python code", locked("PPPPP"), &["python-cpu-bound"], Sure),
        (
            "a lock that no stack explains",
            Scene::new().lane("a", &"lllls".repeat(80)).lane("b", &"slsll".repeat(80)).lane("c", &"llsls".repeat(80)),
            &["lock-bound"],
            Unsure,
        ),
        ("one thread that waits for locks", one("lllnl").seen("l", &["main /srv/app.py:2"]), &["mixed"], Likely),
        (
            "workers that wait for work",
            (0..4).fold(Scene::on(8).lane("main", &"l".repeat(400)), |scene, _| {
                scene.lane("pool", &"nlllllllll".repeat(40)).seen("l", &["_worker concurrent/futures/thread.py:90"])
            }),
            &["native-releasing"],
            Sure,
        ),
        (
            "workers that wait for each other's results",
            Scene::new()
                .lane("a", &"nnlll".repeat(80))
                .seen(
                    "l",
                    &[
                        "Condition.wait threading.py:3",
                        "Future.result concurrent/futures/_base.py:4",
                        "step /srv/app.py:1",
                    ],
                )
                .lane("b", &"llnnl".repeat(80))
                .seen("l", &["Condition.wait threading.py:3", "Queue.get queue.py:4", "step /srv/app.py:2"]),
            &["native-releasing"],
            Sure,
        ),
    ]
}
