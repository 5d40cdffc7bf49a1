//! The comparison as one picture: bars of time, and what the threads did.

use maud::html;

use super::page::series;
use super::{Comparison, Row};
use crate::picture::{LEFT, NAME, Picture, QUIET, RIGHT};
use crate::plain_text::{one_line, shortened};
use crate::sketch::Sketch;
use crate::units;

const BAR: usize = 30;
/// The colours of the page's looks, on light ground.
const LOOKS: [&str; series::LOOKS] =
    ["#7d8790", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#3d98d3", "#8a7a00"];

pub(super) fn picture(comparison: &Comparison) -> String {
    let mut picture = Picture::new(RIGHT);
    let advice = comparison.verdict().advice.to_string();
    picture.headline(&advice);
    let machine = &comparison.machine;
    picture.about(&format!(
        "{} · {} · {} · Python {}",
        shortened(&one_line(&comparison.function), 60),
        units::count(comparison.items, "item"),
        units::count(machine.cpus, "core"),
        one_line(&machine.python)
    ));
    let looks = series::looks(comparison);
    bars(&mut picture, comparison, &looks);
    lanes(&mut picture, comparison, &looks);
    picture.finish(&format!("{}: {advice}", one_line(&comparison.function)))
}

fn bars(picture: &mut Picture, comparison: &Comparison, looks: &[usize]) {
    let longest = comparison.rows().iter().filter_map(|row| row.seconds).map(|s| s.median).fold(0.0, f64::max);
    for (row, &look) in comparison.rows().iter().zip(looks) {
        let y = picture.take(BAR);
        let seconds = row.seconds.map(|seconds| seconds.median);
        let length = seconds.map_or(0.0, |s| s / longest.max(f64::MIN_POSITIVE) * (RIGHT - LEFT) as f64);
        picture.draw(html! {
            text x=(LEFT - 14) y=(y + 19) text-anchor="end" { (name(row)) }
            @match (seconds, row.error_line()) {
                (_, Some(_)) => text x=(LEFT) y=(y + 19) fill="#a8330a" { "failed" },
                (Some(seconds), None) => {
                    rect x=(LEFT) y=(y + 4) width=(format!("{length:.1}")) height="20" rx="3" fill=(LOOKS[look]) {}
                    text x=(RIGHT + 14) y=(y + 19) font-weight="600" {
                        (units::seconds(seconds))
                        @if let Some(speedup) = row.speedup { tspan fill=(QUIET) font-weight="400" { "  " (units::times(speedup.median)) } }
                    }
                },
                (None, None) => text x=(LEFT) y=(y + 19) fill=(QUIET) { (units::NONE) },
            }
        });
    }
    picture.take(18);
}

fn lanes(picture: &mut Picture, comparison: &Comparison, looks: &[usize]) {
    let rows = || comparison.rows().iter().zip(looks);
    let drawn: Vec<(&Row, usize, &Sketch)> =
        rows().filter_map(|(row, &look)| Some((row, look, row.sketch.as_ref()?))).collect();
    let Some(longest) = drawn.iter().map(|(.., sketch)| sketch.seconds).reduce(f64::max) else { return };
    for (row, look, sketch) in &drawn {
        let y = picture.take(26);
        picture.draw(html! { text x=(LEFT) y=(y + 18) font-weight="600" fill=(LOOKS[*look]) { (name(row)) } });
        picture.lanes(sketch, longest);
    }
    picture.axis(longest);
    picture.legend(drawn.iter().map(|(.., sketch)| *sketch));
}

fn name(row: &Row) -> String {
    shortened(&row.name(), NAME)
}
