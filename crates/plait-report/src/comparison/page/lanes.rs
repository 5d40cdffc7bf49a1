//! What the threads of each backend did in one round, on one scale of time: serial's one lane, threads that take turns with the
//! GIL, processes side by side.

use maud::{Markup, html};
use plait_trace::State;

use super::series::swatch;
use crate::comparison::{Comparison, Row};
use crate::scale::{percent, written};
use crate::sketch::{Lane, Sketch, UNSEEN, states};
use crate::units;

/// The lanes, or nothing where none were drawn.
pub(super) fn lanes(comparison: &Comparison, looks: &[usize]) -> Option<Markup> {
    let drawn: Vec<(&Row, usize, &Sketch)> = comparison
        .rows()
        .iter()
        .zip(looks)
        .filter_map(|(row, &look)| Some((row, look, row.sketch.as_ref()?)))
        .collect();
    if drawn.iter().all(|(.., sketch)| sketch.lanes.is_empty()) {
        return None;
    }
    let longest = drawn.iter().map(|(.., sketch)| sketch.seconds).reduce(f64::max)?;
    Some(html! {
        (legend(drawn.iter().map(|(.., sketch)| *sketch)))
        @for (row, look, sketch) in &drawn {
            section.strip {
                h3 { (swatch(*look)) (row.name()) span.quiet { " " (units::seconds(sketch.seconds)) } }
                @for lane in &sketch.lanes {
                    div.lane {
                        span.name { bdi { (lane.name) } }
                        div.track style={ "width:" (written(percent(sketch.seconds, longest))) } { (drawn_lane(lane)) }
                    }
                }
                @if sketch.lanes.is_empty() { p.quiet { (UNSEEN) } }
                @if sketch.left_out > 0 { p.quiet { (units::count(sketch.left_out, "more thread")) } }
            }
        }
    })
}

fn legend<'a>(sketches: impl Iterator<Item = &'a Sketch>) -> Markup {
    html! {
        ul.legend {
            @for state in states(sketches) {
                li { span class={ "swatch-state s-" (state.word()) } aria-hidden="true" {} (state.label()) }
            }
        }
    }
}

fn drawn_lane(lane: &Lane) -> Markup {
    let columns = lane.letters.chars().count();
    html! {
        svg role="img" aria-label=(told(lane)) width="100%" height="14" viewBox={ "0 0 " (columns) " 14" } preserveAspectRatio="none" {
            title { (told(lane)) }
            @for (state, path) in lane.paths(14.0) { path class={ "s-" (state.word()) } d=(path) {} }
        }
    }
}

/// What it did, for who cannot see it: its states, the longest first.
fn told(lane: &Lane) -> String {
    let all = lane.letters.chars().filter(|letter| *letter != ' ').count().max(1);
    let count = |state: State| lane.letters.chars().filter(|letter| *letter == state.letter()).count();
    let mut shares: Vec<(usize, State)> = State::ALL.into_iter().map(|state| (count(state), state)).collect();
    shares.retain(|(count, _)| *count > 0);
    shares.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let shares: Vec<String> = shares
        .iter()
        .map(|(count, state)| format!("{} {}", state.label(), units::share(*count as f64 / all as f64)))
        .collect();
    format!("{}: {}", lane.name, shares.join(", "))
}
