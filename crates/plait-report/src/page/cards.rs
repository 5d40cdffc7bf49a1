//! The verdicts as cards. What was seen when is a button that shows it in the lanes.

use maud::{Markup, html};

use crate::plain_text::one_line;
use crate::units;
use crate::verdicts::{Confidence, Evidence, Findings, Trust, Verdict, Word};

/// So many places of each verdict can be jumped to.
const PLACES: usize = 4;

/// The first verdict, large.
pub(super) fn headline(findings: &Findings) -> Markup {
    let Some(first) = findings.verdicts.first() else { return html! {} };
    html! {
        h1 { (first.title) }
        p.lead { (first.sentence) }
        p.remedy { span.arrow aria-hidden="true" { "→ " } (first.remedy) }
        (evidence(first))
    }
}

/// The verdicts after the first, a card each; and of the first, how sure it is.
pub(super) fn cards(findings: &Findings) -> Markup {
    let others = findings.verdicts.get(1..).unwrap_or_default();
    html! {
        @if !others.is_empty() {
            div.verdicts aria-label="further verdicts" {
                @for verdict in others { (card(verdict, findings.figures.processes.len() > 1)) }
            }
        }
    }
}

fn card(verdict: &Verdict, names_whose: bool) -> Markup {
    html! {
        section.card.verdict {
            h2 { (verdict.title) (chip(verdict.word, verdict.confidence)) }
            @if names_whose { p.subtitle { bdi { (verdict.about.name) } } }
            p { (verdict.sentence) }
            p.remedy { span.arrow aria-hidden="true" { "→ " } (verdict.remedy) }
            (evidence(verdict))
        }
    }
}

fn chip(word: Word, confidence: Confidence) -> Markup {
    html! {
        @if word != Word::NotEnoughData {
            span.tag.unsure[confidence.word == Trust::Unsure] title={ "confidence: " (units::share(confidence.share)) } {
                (confidence.word)
            }
        }
    }
}

fn evidence(verdict: &Verdict) -> Markup {
    html! {
        @if !verdict.evidence.is_empty() {
            ul.places {
                @for place in verdict.evidence.iter().take(PLACES) { li { (jump(place, &told(place))) } }
            }
        }
    }
}

/// A button that shows a stretch of a thread in the lanes; text where there is no script.
pub(super) fn jump(to: &Evidence, text: &str) -> Markup {
    jump_to(to.thread.0, to.from, to.to, text)
}

pub(super) fn jump_to(thread: u32, from: u64, to: u64, text: &str) -> Markup {
    html! {
        button.jump type="button" data-thread=(thread) data-from=(from / 1000) data-to=(to / 1000) title="show it in the lanes" {
            bdi { (text) }
        }
    }
}

fn told(place: &Evidence) -> String {
    let seconds = |at: u64| units::seconds(at as f64 / 1e9);
    let mut text =
        format!("{} at {}, for {}", place.name, seconds(place.from), seconds(place.to.saturating_sub(place.from)));
    if let Some(function) = &place.function {
        text.push_str(&format!(": {}", one_line(function)));
    } else if let Some(state) = place.state {
        text.push_str(&format!(": {}", state.label()));
    }
    if let Some(spot) = place.callback.as_ref().or(place.spot.as_ref()) {
        text.push_str(&format!(", {spot}"));
    }
    text
}
