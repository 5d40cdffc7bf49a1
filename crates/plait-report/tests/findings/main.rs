//! The verdicts follow from what was recorded: one drawn recording for each case, and the words it must give. The cases are in
//! the files beside this one, by what the programs do.

mod computing;
mod details;
mod faces;
mod gil;
mod loops;
mod machine;
mod properties;
mod rest;
mod scene;
mod waiting;

use plait_report::verdicts::{Findings, Trust, judge};
use scene::Scene;

/// A name, the recording, the words it must give in this order, and how far the first is to be trusted.
pub type Case = (&'static str, Scene, &'static [&'static str], Trust);

fn words(findings: &Findings) -> Vec<&'static str> {
    findings.verdicts.iter().map(|verdict| verdict.word.as_str()).collect()
}

#[test]
fn the_verdicts_follow_from_the_recording() {
    let cases: Vec<Case> = machine::cases()
        .into_iter()
        .chain(gil::cases())
        .chain(computing::cases())
        .chain(waiting::cases())
        .chain(loops::cases())
        .chain(rest::cases())
        .collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut wrong = String::new();
    for (name, scene, expected, trust) in cases {
        let findings = judge(&scene.build());
        let (seen, seen_trust) = (words(&findings), findings.verdicts[0].confidence.word);
        if seen != expected || seen_trust != trust {
            wrong.push_str(&format!("{name}: {expected:?} {trust}, but {seen:?} {seen_trust}\n"));
            for verdict in &findings.verdicts {
                wrong.push_str(&format!("    {} {}\n", verdict.sentence, verdict.confidence.share));
                for figure in &verdict.figures {
                    wrong.push_str(&format!("        {} {} {}\n", figure.name, figure.value, figure.bound));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
