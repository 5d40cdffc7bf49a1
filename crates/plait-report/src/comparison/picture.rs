//! The comparison as one picture, for papers and slides: bars of time, and what the threads did, as SVG that needs no page around
//! it. On light ground, as paper is.

use maud::{Markup, html};

use super::page::lanes::{paths, states};
use super::page::scale::Scale;
use super::page::series;
use super::{Comparison, Row};
use crate::colors;
use crate::plain_text::{one_line, shortened};
use crate::sketch::Sketch;
use crate::units;
use crate::wrap::wrapped;

/// Lengths in the units of the picture, of which it is so many wide.
const WIDTH: usize = 960;
const MARGIN: usize = 36;
/// Names end here, and what is drawn begins.
const LEFT: usize = 190;
/// What is drawn ends here, and figures begin.
const RIGHT: usize = 780;
const BAR: usize = 30;
const LANE: usize = 15;
/// Characters in a line of the headline, and of names.
const HEADLINE: usize = 68;
const NAME: usize = 22;
/// The colours of the page's looks, on light ground.
const LOOKS: [&str; series::LOOKS] =
    ["#7d8790", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00", "#3d98d3", "#8a7a00"];
const INK: &str = "#16191d";
const QUIET: &str = "#5c6670";

/// Parts of the picture from top to bottom, and how far down they reach.
struct Picture {
    parts: Vec<Markup>,
    y: usize,
}

pub(super) fn picture(comparison: &Comparison) -> String {
    let mut picture = Picture { parts: Vec::new(), y: MARGIN };
    picture.headline(comparison);
    let looks = series::looks(comparison);
    picture.bars(comparison, &looks);
    picture.lanes(comparison, &looks);
    let height = picture.y + MARGIN / 2;
    let title = format!("{}: {}", one_line(&comparison.function), comparison.verdict().advice);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height)
            font-family="system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif" font-size="14" fill=(INK) role="img" {
            title { (title) }
            rect width=(WIDTH) height=(height) fill="#ffffff" {}
            @for part in &picture.parts { (part) }
        }
    };
    format!("{}\n", svg.into_string())
}

impl Picture {
    /// Takes so much of the height, and gives where it begins.
    fn take(&mut self, height: usize) -> usize {
        let y = self.y;
        self.y += height;
        y
    }

    fn headline(&mut self, comparison: &Comparison) {
        let advice = comparison.verdict().advice.to_string();
        for line in wrapped(&advice, HEADLINE, 0).lines() {
            let y = self.take(32) + 24;
            self.parts.push(html! { text x=(MARGIN) y=(y) font-size="25" font-weight="700" { (line) } });
        }
        let machine = &comparison.machine;
        let about = format!(
            "{} · {} · {} · Python {}",
            shortened(&one_line(&comparison.function), 60),
            units::count(comparison.items, "item"),
            units::count(machine.cpus, "core"),
            one_line(&machine.python)
        );
        let y = self.take(44) + 16;
        self.parts.push(html! { text x=(MARGIN) y=(y) fill=(QUIET) { (about) } });
    }

    fn bars(&mut self, comparison: &Comparison, looks: &[usize]) {
        let longest = comparison.rows().iter().filter_map(|row| row.seconds).map(|s| s.median).fold(0.0, f64::max);
        for (row, &look) in comparison.rows().iter().zip(looks) {
            let y = self.take(BAR);
            let seconds = row.seconds.map(|seconds| seconds.median);
            let length = seconds.map_or(0.0, |s| s / longest.max(f64::MIN_POSITIVE) * (RIGHT - LEFT) as f64);
            self.parts.push(html! {
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
        self.take(18);
    }

    fn lanes(&mut self, comparison: &Comparison, looks: &[usize]) {
        let rows = || comparison.rows().iter().zip(looks);
        let drawn: Vec<(&Row, usize, &Sketch)> =
            rows().filter_map(|(row, &look)| Some((row, look, row.sketch.as_ref()?))).collect();
        let Some(longest) = drawn.iter().map(|(.., sketch)| sketch.seconds).reduce(f64::max) else { return };
        let width = |seconds: f64| seconds / longest * (RIGHT - LEFT) as f64;
        for (row, look, sketch) in &drawn {
            let y = self.take(26);
            self.parts.push(html! { text x=(LEFT) y=(y + 18) font-weight="600" fill=(LOOKS[*look]) { (name(row)) } });
            for lane in &sketch.lanes {
                let y = self.take(LANE);
                let columns = lane.letters.chars().count().max(1);
                let scale = width(sketch.seconds) / columns as f64;
                self.parts.push(html! {
                    text x=(LEFT - 14) y=(y + 11) text-anchor="end" font-size="11.5" fill=(QUIET) { (shortened(&lane.name, NAME)) }
                    g transform={ "translate(" (LEFT) " " (y) ") scale(" (format!("{scale:.5}")) " 1)" } {
                        @for (state, path) in paths(lane, 12.0) { path d=(path) fill=(colors::of(state).0) {} }
                    }
                });
            }
        }
        self.axis(longest);
        self.legend(drawn.iter().map(|(.., sketch)| *sketch));
    }

    fn axis(&mut self, longest: f64) {
        let y = self.take(34);
        let scale = Scale::up_to(longest, 5);
        let marks = scale.ticks.iter().filter(|tick| **tick <= longest * 1.0001);
        self.parts.push(html! {
            @for tick in marks {
                @let x = LEFT as f64 + tick / longest * (RIGHT - LEFT) as f64;
                line x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(y + 3) y2=(y + 8) stroke=(QUIET) {}
                text x=(format!("{x:.1}")) y=(y + 21) text-anchor="middle" font-size="11.5" fill=(QUIET) { (units::tick(*tick, scale.end)) }
            }
        });
    }

    fn legend<'a>(&mut self, sketches: impl Iterator<Item = &'a Sketch>) {
        let (mut x, mut y) = (LEFT, self.take(24));
        for state in states(sketches) {
            // As wide as its letters, about.
            let width = 30 + state.label().chars().count() * 7;
            if x + width > WIDTH - MARGIN {
                (x, y) = (LEFT, self.take(20));
            }
            self.parts.push(html! {
                rect x=(x) y=(y + 3) width="11" height="11" rx="2" fill=(colors::of(state).0) {}
                text x=(x + 17) y=(y + 13) font-size="12" fill=(QUIET) { (state.label()) }
            });
            x += width;
        }
    }
}

fn name(row: &Row) -> String {
    shortened(&row.name(), NAME)
}
