//! A recording as a page: verdicts that lead to their evidence, lanes and curves to look into, and the same in tables.
//!
//! One file that loads nothing. What can be said without a script is said in HTML, so that the page is never blank: the verdicts,
//! the tables, and what is missing. The script, which `web/` is the source of, draws the lanes from [the packed recording](pack).
//! What the recorded program has named stays text everywhere, and the page's policy allows no script but that one.

mod bundle;
mod cards;
mod coarse;
mod live;
mod names;
mod pack;
mod tables;
mod waits;

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plait_trace::Recording;

use self::coarse::Coarse;
pub use self::live::{live_lanes, live_page, live_verdict};
use crate::plain_text::{one_line, shortened};
use crate::units;
use crate::verdicts::{Findings, judge};

/// Longer commands are cut in titles.
const LONGEST: usize = 120;

/// Writes a recording as a page.
///
/// # Errors
/// Those of `out`.
pub fn page<W: Write>(recording: &Recording, mut out: W) -> io::Result<()> {
    let findings = judge(recording);
    let coarse = Coarse::of(recording);
    let packed = pack::packed_text(recording, &findings, &coarse)?;
    let body = html! {
        (said(recording, &findings))
        (charts(Some(recording)))
        (tables::tables(recording, &findings))
        script id="recording" type="text/plain" { (PreEscaped(packed)) }
    };
    let title = format!("{} – plait", shortened(&one_line(&findings.what), LONGEST));
    let whole = whole(&title, &body, &tables::seen(&findings, &coarse), "'none'");
    out.write_all(whole.into_string().as_bytes())?;
    out.flush()
}

/// The page around its parts.
fn whole(title: &str, body: &Markup, footer: &Markup, connect: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(bundle::policy(connect));
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                link rel="icon" href="data:,";
                title { (title) }
                @for style in bundle::STYLES { style { (PreEscaped(style)) } }
            }
            body {
                (body)
                footer { (footer) }
                script { (PreEscaped(bundle::SCRIPT)) }
            }
        }
    }
}

/// What was recorded, and the verdicts.
fn said(recording: &Recording, findings: &Findings) -> Markup {
    let length = units::seconds(recording.length() as f64 / 1e9);
    html! {
        div id="said" {
            header {
                p.brand { "plait record" span.quiet { " · " (length) " of " } bdi.function { (shortened(&one_line(&findings.what), LONGEST)) } }
                (cards::headline(findings))
            }
            @for line in warnings(recording) { p.warning role="note" { (line) } }
            (cards::cards(findings))
        }
    }
}

/// What a reader must know before reading on.
fn warnings(recording: &Recording) -> Vec<String> {
    let mut lines = Vec::new();
    if recording.cut {
        lines.push("The recording was cut off in the midst, as by a full disk or a recorder that was killed. What there is of it is shown.".to_owned());
    } else if recording.ended.is_none() {
        lines.push(
            "The recording has no end: its recorder still runs, or was killed. What there is of it is shown."
                .to_owned(),
        );
    }
    if recording.threads.iter().all(|lane| lane.spans.is_empty()) {
        lines.push(match recording.processes.is_empty() {
            true => "No process was seen: there are no lanes to draw.".to_owned(),
            false => "No thread was seen doing anything: there are no lanes to draw.".to_owned(),
        });
    } else if recording.processes.iter().all(|track| track.process.python.is_none()) {
        lines.push("No Python was seen in it: shown is what the kernel says of its threads.".to_owned());
    }
    lines
}

/// The place of the lanes, which the script fills: of a recording, or of a program that is watched.
fn charts(recording: Option<&Recording>) -> Markup {
    let is_live = recording.is_none();
    html! {
        section.card id="charts" aria-label="lanes" hidden[recording.is_some_and(|it| it.threads.is_empty())] data-live[is_live] {
            div.tools {
                h2 { "Lanes" }
                span.quiet id="range" aria-live="polite" {}
                @if is_live {
                    span.tag id="live-state" role="status" { "connecting" }
                    label.quiet { input id="live-pause" type="checkbox"; " pause" }
                }
                span.fill {}
                label.quiet { input id="hide-idle" type="checkbox"; " hide idle" }
                span.quiet id="lane-count" aria-live="polite" {}
                input id="search" type="search" placeholder="thread, task, function" aria-label="search threads, tasks and functions" spellcheck="false" autocomplete="off";
                span.buttons {
                    button id="zoom-out" type="button" title="zoom out (-)" aria-label="zoom out" { "−" }
                    button id="zoom-in" type="button" title="zoom in (+)" aria-label="zoom in" { "+" }
                    button id="show-all" type="button" title="show all (0)" { "all" }
                }
            }
            ul.legend id="legend" aria-label="colours" {}
            div id="curves" {}
            div id="lanes" { p.quiet.waiting { "The lanes are being drawn." } }
            noscript { p.warning { "The lanes are drawn by a script, which this browser does not run. Verdicts and tables are whole without it." } }
            p.warning id="trouble" role="alert" hidden {}
            details id="help" { summary { "Keys and gestures" } div.keys id="keys" {} }
            details id="spans" { summary { "The chosen lane as a table" } div.scroll id="spans-of" tabindex="0" role="region" aria-label="stretches of the chosen lane" {} }
        }
    }
}

#[cfg(test)]
mod tests;
