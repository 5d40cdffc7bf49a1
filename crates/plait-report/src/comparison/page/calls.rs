//! Each call's time by backend: one point per call in the order of their start, one series per backend.

use std::fmt::Write;

use maud::{Markup, html};

use super::series::swatch;
use crate::comparison::{Call, Comparison, Row};
use crate::scale::{Scale, percent, written};
use crate::units;

/// More points than this per backend do not tell more, and make the page heavy.
const MOST_POINTS: usize = 160;
/// With more points than this, a line between them hides more than it shows.
const MOST_JOINED: usize = 64;
/// So many places can all be named on a small screen.
const MOST_NAMED: usize = 10;

/// The calls of one backend that are drawn: place in the order of start, and the call.
struct Series<'a> {
    row: &'a Row,
    look: usize,
    points: Vec<(usize, Call)>,
}

/// The plot, or nothing when no call was timed.
pub(super) fn calls(comparison: &Comparison, looks: &[usize]) -> Option<Markup> {
    let with_calls = comparison.rows().iter().zip(looks).filter(|(row, _)| !row.calls.is_empty());
    let series: Vec<Series<'_>> =
        with_calls.map(|(row, &look)| Series { row, look, points: thinned(&row.calls) }).collect();
    let most = series.iter().map(|series| series.row.calls.len()).max()?;
    let longest = series.iter().flat_map(|series| &series.points).map(|(_, call)| call.seconds).fold(0.0, f64::max);
    let (scale, last) = (Scale::up_to(longest, 4), most.saturating_sub(1).max(1));
    let left_out = series.iter().any(|series| series.points.len() < series.row.calls.len());
    Some(html! {
        ul.legend {
            @for Series { row, look, .. } in &series {
                li {
                    (swatch(*look)) (row.name())
                    @if let Some(mean) = row.call_seconds { span.quiet { " mean " (units::seconds(mean)) } }
                }
            }
        }
        div.plot {
            div.y-axis aria-hidden="true" {
                @for &tick in &scale.ticks {
                    span style={ "bottom:" (written(scale.percent(tick))) } { (units::tick(tick, scale.end)) }
                }
            }
            svg.field role="img" aria-label=(described(&series)) width="100%" height="100%" {
                @for &tick in &scale.ticks {
                    @let y = written(100.0 - scale.percent(tick));
                    line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                }
                @for series in &series { (drawn(series, &scale, last)) }
            }
            div.x-axis aria-hidden="true" {
                @for place in places(last, most) {
                    span style={ "left:" (written(across(place, last))) } { (place + 1) }
                }
            }
        }
        p.axis-title {
            "calls in the order of their start; time of each, in the round nearest to the median"
            @if left_out { "; of more than " (MOST_POINTS) " calls, evenly spaced ones" }
        }
    })
}

fn drawn(series: &Series<'_>, scale: &Scale, last: usize) -> Markup {
    let height = |seconds: f64| 100.0 - scale.percent(seconds);
    html! {
        g class={ "series c" (series.look) @if series.points.len() > MOST_JOINED { " dense" } } {
            @if (2..=MOST_JOINED).contains(&series.points.len()) {
                svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" {
                    polyline points=(joined(series, scale, last)) {}
                }
            }
            @for (place, call) in &series.points {
                use href={ "#mark" (series.look) } x=(written(across(*place, last))) y=(written(height(call.seconds))) {
                    title {
                        (series.row.name()) ", item " (call.item) " on worker " (call.worker) ": " (units::seconds(call.seconds))
                    }
                }
            }
        }
    }
}

fn joined(series: &Series<'_>, scale: &Scale, last: usize) -> String {
    series.points.iter().fold(String::new(), |mut points, (place, call)| {
        let gap = if points.is_empty() { "" } else { " " };
        let (x, y) = (across(*place, last), 100.0 - scale.percent(call.seconds));
        let _ = write!(points, "{gap}{x:.2},{y:.2}");
        points
    })
}

/// Where a call lies from left to right, in percent, with a margin for the marks at both ends.
fn across(place: usize, last: usize) -> f64 {
    2.0 + percent(place as f64, last as f64) * 0.96
}

/// The places to name: all of a few, else first, last and the quarters.
fn places(last: usize, most: usize) -> Vec<usize> {
    if most <= MOST_NAMED { (0..most).collect() } else { (0..=4).map(|quarter| last * quarter / 4).collect() }
}

/// Evenly spaced calls, at most [`MOST_POINTS`], always with the longest.
fn thinned(calls: &[Call]) -> Vec<(usize, Call)> {
    let numbered = || calls.iter().copied().enumerate();
    if calls.len() <= MOST_POINTS {
        return numbered().collect();
    }
    let longest = numbered().max_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds)).map(|(place, _)| place);
    let stride = calls.len().div_ceil(MOST_POINTS - 1);
    numbered().filter(|&(place, _)| place % stride == 0 || Some(place) == longest).collect()
}

fn described(series: &[Series<'_>]) -> String {
    let one = |series: &Series<'_>| {
        let seconds = || series.row.calls.iter().map(|call| call.seconds);
        let (low, high) = (seconds().fold(f64::INFINITY, f64::min), seconds().fold(0.0, f64::max));
        format!("{}: {}", series.row.name(), units::seconds_range(low, high))
    };
    format!("time of single calls by backend; {}", series.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_longest_call_and_the_bound() {
        let call = |item: usize| Call { item, seconds: if item == 777 { 9.0 } else { 1.0 }, ..Call::default() };
        for count in [1, 160, 161, 1000, 100_000] {
            let calls: Vec<Call> = (0..count).map(call).collect();
            let points = thinned(&calls);
            assert!(points.len() <= MOST_POINTS && points[0].0 == 0, "{count}");
            assert!(count <= 777 || points.iter().any(|(place, _)| *place == 777), "{count}");
        }
    }

    #[test]
    fn few_calls_name_each_place_once() {
        assert_eq!(places(1, 1), [0]);
        assert_eq!(places(1, 2), [0, 1]);
        assert_eq!(places(100, 101), [0, 25, 50, 75, 100]);
    }
}
