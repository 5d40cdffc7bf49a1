//! Programs whose threads wait for the GIL.

use plait_report::verdicts::Trust::{Likely, Sure, Unsure};

use crate::Case;
use crate::scene::Scene;

/// A thread that is in native code with the GIL for `hold` ticks, and another that waits for it, in a second of so many.
pub fn hog(hold: usize, rest: usize, waits: bool) -> Scene {
    let other = if waits { "w" } else { "s" };
    let times = 400 / (hold + rest);
    let calls = ["Pattern.findall re/__init__.py:5", "scan /srv/app.py:12"];
    Scene::new()
        .lane("main", &format!("{}{}", "N".repeat(hold), "s".repeat(rest)).repeat(times))
        .seen("N", &calls)
        .shots('N', "_sre_SRE_Pattern_findall", &calls)
        .lane("ticker", &format!("{}{}", other.repeat(hold), "Ps".repeat(rest / 2)).repeat(times))
}

/// So many threads that take turns with the GIL.
fn turns(threads: usize) -> Scene {
    let pattern = |own: usize| (0..threads).map(|turn| if turn == own { 'P' } else { 'w' }).collect::<String>();
    (0..threads).fold(Scene::new(), |scene, own| {
        scene.lane(&format!("worker-{own}"), &pattern(own).repeat(400 / threads)).seen("P", &["count /srv/app.py:7"])
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        ("a hog", hog(40, 10, true), &["gil-hog"], Sure),
        ("a hog now and then", hog(10, 40, true), &["gil-hog"], Sure),
        ("a short hog now and then", hog(3, 98, true), &["gil-hog"], Sure),
        ("a short hog, rarely", hog(2, 150, true), &["gil-hog"], Unsure),
        ("a hog that bothers nobody", hog(40, 10, false), &["native-holding"], Sure),
        (
            "one short hold",
            Scene::new()
                .lane("main", &format!("{}NN", "Ps".repeat(200)))
                .lane("other", &format!("{}ww", "s".repeat(400))),
            &["mixed"],
            Likely,
        ),
        (
            "a hold that another waits for at its end only",
            Scene::new().lane("main", &"NNNNNNNNNNP".repeat(30)).lane("other", &"sssssssssws".repeat(30)),
            &["gil-hog"],
            Sure,
        ),
        (
            "a hog that sleeps",
            Scene::new().lane("main", &"BBBBBBBBss".repeat(40)).lane("other", &"wwwwwwwwPs".repeat(40)),
            &["gil-hog"],
            Sure,
        ),
        (
            "what looks like a hog where processors are short, and has no name",
            Scene::on(1).lane("main", &"NNNssrrrrrrr".repeat(40)).lane("other", &"wwwPssrrrrrr".repeat(40)),
            &["python-cpu-bound", "busy-machine"],
            Sure,
        ),
        (
            "threads in turns that lose their processor now and then",
            Scene::on(1)
                .lane("a", &"PNNrPwww".repeat(50))
                .seen("PN", &["count /srv/app.py:7"])
                .natives('N', &["_PyEval_EvalFrameDefault"])
                .lane("b", &"wwwwwPPr".repeat(50)),
            &["gil-contention", "busy-machine"],
            Sure,
        ),
        (
            "the same, where no native stack could be taken",
            Scene::on(1).lane("a", &"PNNrPwww".repeat(50)).lane("b", &"wwwwwPPr".repeat(50)),
            &["gil-hog", "gil-contention", "busy-machine"],
            Unsure,
        ),
        (
            "a hog that loses its processor now and then",
            Scene::on(1)
                .lane("a", &"PNNrPwww".repeat(50))
                .shots('N', "_pickle_dumps", &["dump /srv/app.py:7"])
                .lane("b", &"wwwwwPPr".repeat(50)),
            &["gil-hog", "gil-contention", "busy-machine"],
            Sure,
        ),
        (
            "one thread that loses its processor now and then",
            Scene::on(1).lane("a", &"PNNr".repeat(100)).natives('N', &["_PyEval_EvalFrameDefault"]),
            &["python-cpu-bound", "busy-machine"],
            Sure,
        ),
        ("two threads in turns", turns(2), &["gil-contention"], Sure),
        ("four threads in turns", turns(4), &["gil-contention"], Sure),
        (
            "two threads, one of which mostly waits for something else",
            Scene::new().lane("a", &"PPPPPPPw".repeat(40)).lane("b", &"wiwwiiwP".repeat(40)),
            &["gil-contention"],
            Likely,
        ),
        (
            "threads in turns that sleep together",
            Scene::new().lane("a", &"PwssPwssss".repeat(40)).lane("b", &"wPsswPssss".repeat(40)),
            &["mixed"],
            Likely,
        ),
        (
            "turns with the GIL lying free between them",
            Scene::new().lane("a", &"PPPPhwwwwh".repeat(40)).lane("b", &"wwwwwPPPPw".repeat(40)),
            &["gil-contention"],
            Sure,
        ),
        (
            "collections that others wait for",
            Scene::new().lane("main", &"PGGGGPPPPPPPPPPPPPPP".repeat(20)).lane("b", &"sswwwsssssssssssssss".repeat(20)),
            &["gc-pause", "python-cpu-bound"],
            Sure,
        ),
        ("collections alone", Scene::new().lane("main", &"PPPGG".repeat(80)), &["gc-pause", "python-cpu-bound"], Sure),
        (
            "a few short collections",
            Scene::new().lane("main", &"PPPPPPPPPPPPPPPPPPPPPPPPG".repeat(16)),
            &["python-cpu-bound"],
            Sure,
        ),
        (
            "native stacks tell a collection that its memory does not",
            Scene::new()
                .lane("main", &"PNNNNPPPPP".repeat(40))
                .shots('N', "gc_collect_main", &["load /srv/app.py:3"])
                .lane("b", &"swwwwsssss".repeat(40)),
            &["gc-pause", "python-cpu-bound"],
            Sure,
        ),
        (
            "two interpreters with a GIL each",
            Scene::new().lane("main", &"P".repeat(300)).process("python other.py").lane("main", &"P".repeat(300)),
            &["saturated", "python-cpu-bound", "python-cpu-bound"],
            Sure,
        ),
    ]
}
