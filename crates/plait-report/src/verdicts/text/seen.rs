//! How the program was seen, and what was not.

use super::{DIM, INDENT, Page};
use crate::units::{count, number, seconds, share};
use crate::verdicts::Findings;

pub(super) fn text(findings: &Findings, page: Page) -> String {
    lines(findings).iter().map(|line| page.lines(line, "", INDENT, Some(DIM))).collect()
}

/// A sentence or two each.
pub(in crate::verdicts) fn lines(findings: &Findings) -> Vec<String> {
    let figures = &findings.figures;
    let missing = &figures.missing;
    let mut sentences = vec![format!("Seen: {} in {}", seconds(figures.seconds), looks(findings))];
    if missing.lateness_p99 > 0.0 {
        let (half, most) = (seconds(missing.lateness_p50), seconds(missing.lateness_p99));
        sentences.push(format!("half of them late by {half} at most, 99 of 100 by {most}"));
    }
    if let Some(observer) = missing.observer {
        sentences.push(format!("the observer used {} of a processor", percent(observer)));
    }
    let mut lines = vec![format!("{}.", sentences.join("; "))];
    if figures.start_up > 0.0 {
        lines.push(format!("Left out: the first {}, in which modules were loaded.", seconds(figures.start_up)));
    }
    let lost = lost(findings);
    if !lost.is_empty() {
        lines.push(format!("Not seen: {}.", lost.join("; ")));
    }
    lines.extend(missing.notes.iter().cloned());
    lines
}

fn looks(findings: &Findings) -> String {
    let missing = &findings.figures.missing;
    let looks = count(usize::try_from(findings.figures.samples).unwrap_or(usize::MAX), "look");
    let rate = format!("{:.0} a second", missing.rate);
    match missing.rate_asked {
        Some(asked) if (asked - missing.rate).abs() > 0.02 * asked => {
            format!("{looks}, {rate} where {asked:.0} were asked for")
        }
        _ => format!("{looks}, {rate}"),
    }
}

fn lost(findings: &Findings) -> Vec<String> {
    let missing = &findings.figures.missing;
    let dropped = &missing.dropped;
    let mut lost = Vec::new();
    if missing.gaps > 0 {
        let gaps = count(usize::try_from(missing.gaps).unwrap_or(usize::MAX), "gap");
        lost.push(format!("{gaps}, {} of the time, in which nobody looked", share(missing.gap_share)));
    }
    if missing.late > 0.0 {
        lost.push(format!("{} of the looks came too late to count", share(missing.late)));
    }
    let of_stacks = dropped.stacks as f64 / (dropped.stacks as f64 + missing.stacks as f64).max(1.0);
    let changed = format!("stacks that changed while they were read ({})", share(of_stacks));
    let kinds = [
        (dropped.stacks, changed.as_str()),
        (dropped.looks, "looks at a process that failed"),
        (dropped.shots, "native stacks that could not be taken"),
        (dropped.threads, "threads, for want of file descriptors"),
        (dropped.records, "records that could not be kept"),
    ];
    lost.extend(kinds.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")));
    if missing.is_cut {
        lost.push("the end: the file stops in the midst of a block, as its writer did".to_owned());
    }
    lost
}

/// As `share`, with a digit after the point where it says something.
fn percent(value: f64) -> String {
    if value > 0.0005 && value < 0.0995 { format!("{} %", number(value * 100.0)) } else { share(value) }
}
