//! Programs that nothing can be said of, or not much.

use plait_report::verdicts::Trust::{Likely, Sure, Unsure};
use plait_trace::{Record, Sight};

use crate::Case;
use crate::scene::Scene;

fn one(letters: &str) -> Scene {
    Scene::new().lane("main", letters)
}

fn unseen(scene: Scene) -> Scene {
    scene.with(|process| {
        process.sight = Sight::Kernel;
        process.why = Some("not permitted: run plait as root, or set kernel.yama.ptrace_scope=0".into());
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        ("too short", one(&"P".repeat(99)), &["not-enough-data"], Sure),
        ("long enough for what is likely", one(&"P".repeat(199)), &["python-cpu-bound"], Likely),
        ("just long enough for that", one(&"P".repeat(100)), &["python-cpu-bound"], Likely),
        ("long enough to be sure", one(&"P".repeat(200)), &["python-cpu-bound"], Sure),
        ("too few looks", one(&"P".repeat(400)).looks(199), &["not-enough-data"], Sure),
        ("just enough looks", one(&"P".repeat(400)).looks(200), &["python-cpu-bound"], Likely),
        ("nothing at all", Scene::new(), &["not-enough-data"], Sure),
        (
            "a program whose work was done in a moment",
            one(&"l".repeat(400)).process("python b.py").lane("main", &"P".repeat(50)),
            &["not-enough-data"],
            Sure,
        ),
        (
            "many short workers that do the same",
            (0..8).fold(one(&"l".repeat(400)), |scene, worker| {
                let lane = format!("{}{}", ".".repeat(50 * worker), "P".repeat(50));
                scene.process("python app.py").lane("main", &lane)
            }),
            &["python-cpu-bound"],
            Sure,
        ),
        (
            "processor time that no thread is seen to use",
            one(&"s".repeat(400)).uncounted().grows(plait_trace::Kind::CpuTime, 3_000_000_000),
            &["not-enough-data"],
            Sure,
        ),
        ("a sleeper", one(&"s".repeat(400)), &["idle"], Sure),
        (
            "a sleeper that has been started and will be ended",
            one(&format!("{}{}{}", "P".repeat(10), "s?ss".repeat(95), "G".repeat(10))),
            &["idle"],
            Sure,
        ),
        (
            "threads that wait for a GIL that cannot be seen",
            unseen(one(&"nlnl".repeat(100))).lane("other", &"lnln".repeat(100)),
            &["unseen"],
            Sure,
        ),
        ("a pool without work", one(&"l".repeat(400)).lane("pool", &"l".repeat(400)), &["idle"], Sure),
        (
            "a nursery of plait's, which sleeps with a GIL that nobody else wants",
            one(&"l".repeat(400))
                .process("python -m it")
                .lane("main", &format!("{}{}", "P".repeat(12), "B".repeat(388)))
                .seen("B", &["main /srv/python/plait/_nursery.py:37"]),
            &["idle"],
            Sure,
        ),
        (
            "a program that sleeps with the GIL",
            one(&format!("{}{}", "P".repeat(12), "B".repeat(388))).seen("B", &["main app.py:37"]),
            &["native-holding"],
            Sure,
        ),
        ("a heartbeat", one(&format!("{}P", "o".repeat(199)).repeat(4)), &["idle"], Sure),
        ("a GIL that cannot be seen", unseen(one(&"n".repeat(400))), &["unseen"], Sure),
        (
            "a GIL that cannot be seen, and hardly anything to see",
            unseen(one(&"nllllllllllllll".repeat(30))),
            &["unseen"],
            Sure,
        ),
        ("requests of a program that cannot be seen", unseen(one(&"iiiiiiiiin".repeat(40))), &["io-bound"], Likely),
        (
            "a program that is no Python",
            one(&"n".repeat(400)).with(|process| {
                process.sight = Sight::Kernel;
                process.python = None;
                process.command = "gcc -O2 a.c".into();
            }),
            &["unseen"],
            Sure,
        ),
        ("mixed, far from all causes", one(&"PPPPnnnniiiisssslllloooo".repeat(20)), &["mixed"], Likely),
        ("what was not looked at lowers the trust", one(&"P".repeat(400)).gap(0, 100), &["python-cpu-bound"], Unsure),
        (
            "a process that ended long before the others",
            one(&"i".repeat(400)).put(Record::ProcessEnded { process: plait_trace::ProcessKey(0), at: 100 }),
            &["not-enough-data"],
            Sure,
        ),
    ]
}
