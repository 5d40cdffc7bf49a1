//! Programs that compute.

use plait_report::verdicts::Trust::{Likely, Sure, Unsure};
use plait_trace::Sight;

use crate::Case;
use crate::scene::Scene;

fn one(pattern: &str) -> Scene {
    Scene::new().lane("main", &pattern.repeat(400 / pattern.len()))
}

fn free_threaded(scene: Scene) -> Scene {
    scene.with(|process| process.sight = Sight::FreeThreaded)
}

pub fn cases() -> Vec<Case> {
    vec![
        ("Python code", one("P"), &["python-cpu-bound"], Sure),
        ("Python code with pauses", one("PPPPs"), &["python-cpu-bound"], Sure),
        ("Python code, almost too little", one("PPPPPPPPPPPPPPssssss"), &["python-cpu-bound"], Unsure),
        ("Python code, a little too little", one("PPPPPPPPPPPPPsssssss"), &["mixed"], Likely),
        ("Python code, just too little", one(&format!("{}{}", "P".repeat(69), "s".repeat(31))), &["mixed"], Unsure),
        ("Python code half of the time", one("PPss"), &["mixed"], Likely),
        (
            "Python code beside a pool without work",
            one("P")
                .lane("pool-1", &"l".repeat(400))
                .seen("l", &["_worker concurrent/futures/thread.py:90"])
                .lane("pool-2", &"l".repeat(400)),
            &["python-cpu-bound"],
            Sure,
        ),
        ("native code that keeps the GIL, alone", one("NNNNNNNNNP"), &["native-holding"], Sure),
        ("native code and Python code in equal parts", one("NNNNNPPPPP"), &["python-cpu-bound"], Unsure),
        ("native code that keeps the GIL asleep", one("BBBBBBBBBP"), &["native-holding"], Sure),
        ("native code without the GIL", one("nnnnnnnnnP"), &["native-releasing"], Sure),
        (
            "native code without the GIL on two threads of four processors",
            Scene::on(4).lane("a", &"nnnnnnnP".repeat(50)).lane("b", &"nnPnnnnn".repeat(50)),
            &["native-releasing"],
            Likely,
        ),
        ("native code half of the time, the network else", one("nnnniiiiii"), &["mixed"], Likely),
        ("native code and as much Python code", one("nPnP"), &["mixed"], Likely),
        (
            "native code beside an event loop at rest",
            Scene::on(4)
                .lane("main", &"o".repeat(400))
                .seen("o", &["select selectors.py:9", "BaseEventLoop._run_once asyncio/base_events.py:1"])
                .lane("pool", &"n".repeat(400)),
            &["native-releasing"],
            Sure,
        ),
        (
            "a library's own threads compute for one that waits for them",
            Scene::on(4).lane("main", &"n".repeat(400)).lane("", &"n".repeat(400)).foreign(),
            &["native-releasing"],
            Sure,
        ),
        (
            "free threads that compute",
            free_threaded(Scene::on(4).lane("a", &"A".repeat(400)).lane("b", &"A".repeat(400))),
            &["free-threaded"],
            Sure,
        ),
        (
            "free threads that fill the machine",
            free_threaded(one("A").lane("b", &"A".repeat(400))),
            &["saturated", "free-threaded"],
            Sure,
        ),
        ("free threads that wait", free_threaded(one("iiiiiiiiia")), &["io-bound"], Likely),
        ("free threads that hardly compute", free_threaded(one("ssssssAsss")), &["io-bound"], Likely),
    ]
}
