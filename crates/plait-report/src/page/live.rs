//! The page of a program that is watched while it runs: the same page, which asks for its last seconds again and again.

use std::io;

use maud::html;
use plait_trace::{Nanos, Recording};

use super::coarse::Coarse;
use super::{cards, charts, pack, whole};
use crate::plain_text::{one_line, shortened};
use crate::verdicts::{judge, judge_between};

/// How much of the past is shown.
const SHOWN: Nanos = 60_000_000_000;
/// How much of it is judged.
const JUDGED: Nanos = 10_000_000_000;
/// It is drawn several times a second, so there must be less of it than of a page that is drawn once.
const MOST: usize = 150_000;
const MOST_STACKS: usize = 20_000;

/// The page, without anything that was seen: its script asks for that, by the names `lanes` and `verdict`.
#[must_use]
pub fn live_page(what: &str) -> String {
    let what = shortened(&one_line(what), super::LONGEST);
    let body = html! {
        header { p.brand { "plait watch" span.quiet { " · " } bdi.function { (what) } } }
        div id="said" { p.lead { "Looking …" } }
        (charts(None))
    };
    let footer = html! { p { "The last minute, looked at about a thousand times a second. Made by plait." } };
    whole(&format!("{what} – plait watch"), &body, &footer, "'self'").into_string()
}

/// The last minute, as the script reads it.
///
/// # Errors
/// None but those of memory.
pub fn live_lanes(recording: &Recording) -> io::Result<Vec<u8>> {
    let from = recording.length().saturating_sub(SHOWN);
    let mut last = recording.clone();
    last.forget_before(from);
    pack::packed(&last, &judge(&last), from, &Coarse::within(&last, MOST, MOST_STACKS))
}

/// What the last seconds say, as a part of the page.
#[must_use]
pub fn live_verdict(recording: &Recording) -> String {
    let findings = judge_between(recording, recording.length().saturating_sub(JUDGED), Nanos::MAX);
    html! { (cards::headline(&findings)) (cards::cards(&findings)) }.into_string()
}
