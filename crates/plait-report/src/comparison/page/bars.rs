//! Bars by backend: time with its spread, speed-up, and the small ones. All lengths are shares of the place there is, so
//! that text keeps its size on any screen.

use maud::{Markup, html};

use crate::comparison::row::Row;
use crate::comparison::spread::Spread;
use crate::comparison::{Comparison, column::Column};
use crate::scale::{percent, written};
use crate::units::{self, NONE};

/// One bar: its length, how far it spreads, and what stands beside it.
struct Bar {
    value: Option<f64>,
    spread: Option<(f64, f64)>,
    text: String,
    title: String,
}

/// Time by backend, whiskers from the fastest round to the slowest.
pub(super) fn time(comparison: &Comparison, looks: &[usize]) -> Markup {
    let bar = |row: &Row| {
        let range = row.seconds.filter(|seconds| seconds.rounds > 1);
        let from_to = range.map(|s| format!(", rounds from {}", units::seconds_range(s.min, s.max)));
        Bar {
            value: row.seconds.map(|seconds| seconds.median),
            spread: range.map(|seconds| (seconds.min, seconds.max)),
            text: Column::Time.cell(row),
            title: format!("{}: {}{}", row.name(), Column::Time.cell(row), from_to.unwrap_or_default()),
        }
    };
    let bars: Vec<_> = comparison.rows().iter().zip(looks).map(|(row, &look)| (row, look, bar(row))).collect();
    bars_of(&bars, 0.0, None)
}

/// Speed-up by backend, whiskers over the middle half of the rounds, with serial's line.
pub(super) fn speed_up(comparison: &Comparison, looks: &[usize]) -> Markup {
    let bar = |row: &Row| {
        let text = Column::SpeedUp.cell(row);
        Bar {
            value: row.speedup.map(|speedup| speedup.median),
            spread: row.speedup.filter(|speedup| speedup.rounds > 1).map(|Spread { q1, q3, .. }| (q1, q3)),
            title: format!("{}: {text} of serial's speed", row.name()),
            text,
        }
    };
    let rows = comparison.rows().iter().zip(looks).filter(|(row, _)| row.speedup.is_some());
    let bars: Vec<_> = rows.map(|(row, &look)| (row, look, bar(row))).collect();
    bars_of(&bars, 0.0, Some(1.0))
}

/// One small figure by backend, of those that have it. `whole`: what a full bar stands for, where more than the
/// largest figure.
pub(super) fn small(
    comparison: &Comparison,
    looks: &[usize],
    figure: fn(&Row) -> Option<f64>,
    text: fn(f64) -> String,
    whole: f64,
) -> Markup {
    let rows = comparison.rows().iter().zip(looks).filter(|(row, _)| row.ran());
    let bars = rows.filter_map(|(row, &look)| {
        let (value, text) = (figure(row)?, text(figure(row)?));
        let title = format!("{}: {text}", row.name());
        Some((row, look, Bar { value: Some(value), spread: None, text, title }))
    });
    bars_of(&bars.collect::<Vec<_>>(), whole, None)
}

/// The bars, on one scale that begins with nothing.
fn bars_of(bars: &[(&Row, usize, Bar)], whole: f64, line: Option<f64>) -> Markup {
    let high = |bar: &Bar| Some(bar.spread.map_or(0.0, |(_, high)| high).max(bar.value?));
    let end = bars.iter().filter_map(|(_, _, bar)| high(bar)).chain(line).fold(whole, f64::max);
    html! {
        ul.bars {
            @for (row, look, bar) in bars {
                li class={ "c" (look) @if row.peer { " peer" } } {
                    span.name { (row.name()) }
                    @match (bar.value, row.error_line()) {
                        (_, Some(error)) => span.failed { "failed: " (error) },
                        (None, None) => span.none { (NONE) },
                        (Some(value), None) => {
                            (drawn(bar, value, end, line))
                            span.value { (bar.text) }
                        },
                    }
                }
            }
        }
    }
}

fn drawn(bar: &Bar, value: f64, end: f64, line: Option<f64>) -> Markup {
    let at = |value: f64| written(percent(value, end));
    html! {
        svg.bar role="img" aria-label=(bar.title) width="100%" height="24" {
            title { (bar.title) }
            rect.track width="100%" height="16" y="4" rx="4" {}
            rect.fill width=(at(value)) height="16" y="4" rx="4" {}
            @if let Some(value) = line {
                line.reference x1=(at(value)) x2=(at(value)) y1="0" y2="24" {}
            }
            @if let Some((low, high)) = bar.spread {
                // Twice, so that the whisker stands out from the bar and from the ground.
                @for class in ["halo", "whisker"] {
                    g class=(class) {
                        line x1=(at(low)) x2=(at(high)) y1="12" y2="12" {}
                        line x1=(at(low)) x2=(at(low)) y1="8" y2="16" {}
                        line x1=(at(high)) x2=(at(high)) y1="8" y2="16" {}
                    }
                }
            }
        }
    }
}
