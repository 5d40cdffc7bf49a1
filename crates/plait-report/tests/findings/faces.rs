//! The findings as they are read: text and JSON, kept as snapshots.

use plait_report::verdicts::judge;
use plait_trace::{Dropped, Ended, Record};

use crate::gil::hog;
use crate::loops::stalls;
use crate::scene::Scene;

fn text(scene: Scene, width: usize) -> String {
    judge(&scene.build()).to_text(width, false)
}

fn pool() -> Scene {
    let scene = Scene::on(2).lane("main", &"l".repeat(300));
    (0..12).fold(scene, |scene, worker| {
        let scene =
            scene.process("python app.py").with(|process| process.role = Some(format!("plait worker {worker}")));
        scene.lane("main", &"Prrrrr".repeat(50)).seen("P", &["count /srv/app.py:7", "work /srv/app.py:9"])
    })
}

#[test]
fn a_hog() {
    insta::assert_snapshot!(text(hog(40, 10, true), 80));
}

#[test]
fn a_hog_in_a_narrow_terminal() {
    insta::assert_snapshot!(text(hog(40, 10, true), 44));
}

#[test]
fn threads_in_turns() {
    let lane = |own: usize| (0..3).map(|turn| if turn == own { 'P' } else { 'w' }).collect::<String>().repeat(100);
    let scene = (0..3).fold(Scene::new(), |scene, own| {
        scene
            .lane(&format!("worker-{own}"), &lane(own))
            .seen("P", &["loads json/__init__.py:346", "load /srv/app.py:12"])
    });
    insta::assert_snapshot!(text(scene.switches(1_400), 80));
}

#[test]
fn a_pool_that_is_too_large() {
    insta::assert_snapshot!(text(pool(), 80));
}

#[test]
fn an_event_loop_and_what_was_missed() {
    let calls = [
        "get /venv/lib/python3.13/site-packages/requests/api.py:73",
        "handle /srv/app.py:10",
        "Handle._run asyncio/events.py:88",
    ];
    let scene = stalls(30, &"i".repeat(20), 8).seen("i", &calls).gap(5, 20).gap(60, 61);
    let scene = scene.note("perf is not permitted here: switches are read from /proc").with(|process| {
        process.why = Some("Python 3.10 is too old to look into: 3.11 is the first".into());
    });
    let mut recording = scene.build();
    let dropped = Dropped { stacks: 12, looks: 3, ..Dropped::default() };
    let ended = recording.ended.expect("it ended");
    let ended = Ended { looks: 3_500, late: 40, lateness_p99: 2_400_000, dropped, ..ended };
    recording.put(&Record::Ended(ended)).expect("an end");
    insta::assert_snapshot!(judge(&recording).to_text(80, false));
}

#[test]
fn too_short_a_look() {
    insta::assert_snapshot!(text(Scene::new().lane("main", &"P".repeat(30)), 80));
}

#[test]
fn nothing() {
    insta::assert_snapshot!(judge(&plait_trace::Recording::default()).to_text(80, false));
}

#[test]
fn json() {
    let json = serde_json::to_string_pretty(&judge(&hog(40, 10, true).build())).expect("findings have a JSON form");
    insta::assert_snapshot!(json);
}

#[test]
fn colors_change_nothing_but_color() {
    for width in [120, 80, 40] {
        for scene in [hog(40, 10, true), pool(), Scene::new()] {
            let findings = judge(&scene.build());
            let (plain, colored) = (findings.to_text(width, false), findings.to_text(width, true));
            assert!(!plain.contains('\u{1b}') && colored.contains('\u{1b}'));
            let mut pieces = colored.split('\u{1b}');
            let mut stripped = pieces.next().unwrap_or_default().to_owned();
            stripped.extend(pieces.map(|piece| piece.split_once('m').expect("a color code").1));
            let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            assert_eq!(trimmed(&stripped), trimmed(&plain));
        }
    }
}
