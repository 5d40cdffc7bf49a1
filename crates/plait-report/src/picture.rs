//! Pictures for papers and slides: SVG that needs no page around it, on light ground, as paper is.

use maud::{Markup, html};

use crate::colors;
use crate::plain_text::shortened;
use crate::scale::Scale;
use crate::sketch::{Sketch, UNSEEN, states};
use crate::units;
use crate::wrap::wrapped;

/// Lengths in the units of the picture, of which it is so many wide.
const WIDTH: usize = 960;
const MARGIN: usize = 36;
/// Names end here, and what is drawn begins.
pub(crate) const LEFT: usize = 190;
/// What is drawn ends here, and figures begin.
pub(crate) const RIGHT: usize = 780;
const LANE: usize = 15;
/// Characters in a line of the headline, of what stands below it, and of names.
const HEADLINE: usize = 68;
const TEXT: usize = 118;
pub(crate) const NAME: usize = 22;
pub(crate) const INK: &str = "#16191d";
pub(crate) const QUIET: &str = "#5c6670";

/// Parts of the picture from top to bottom, and how far down they reach.
#[derive(Debug)]
pub(crate) struct Picture {
    parts: Vec<Markup>,
    y: usize,
    /// Where lanes end.
    right: usize,
}

impl Picture {
    /// An empty one whose lanes end at `right`.
    pub fn new(right: usize) -> Self {
        Self { parts: Vec::new(), y: MARGIN, right }
    }

    /// One in which all to the right margin is lanes.
    pub fn of_lanes() -> Self {
        Self::new(WIDTH - MARGIN)
    }

    /// The whole, under a title for who cannot see it.
    pub fn finish(self, title: &str) -> String {
        let height = self.y + MARGIN / 2;
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height)
                font-family="system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif" font-size="14" fill=(INK) role="img" {
                title { (title) }
                rect width=(WIDTH) height=(height) fill="#ffffff" {}
                @for part in &self.parts { (part) }
            }
        };
        format!("{}\n", svg.into_string())
    }

    /// Takes so much of the height, and gives where it begins.
    pub fn take(&mut self, height: usize) -> usize {
        let y = self.y;
        self.y += height;
        y
    }

    pub fn draw(&mut self, part: Markup) {
        self.parts.push(part);
    }

    pub fn headline(&mut self, text: &str) {
        for line in wrapped(text, HEADLINE, 0).lines() {
            let y = self.take(32) + 24;
            self.draw(html! { text x=(MARGIN) y=(y) font-size="25" font-weight="700" { (line) } });
        }
    }

    /// What stands below it, in quiet letters.
    pub fn about(&mut self, text: &str) {
        for line in wrapped(text, TEXT, 0).lines() {
            let y = self.take(20) + 16;
            self.draw(html! { text x=(MARGIN) y=(y) fill=(QUIET) { (line) } });
        }
        self.take(24);
    }

    /// A lane for each thread; `longest` seconds take the whole width.
    pub fn lanes(&mut self, sketch: &Sketch, longest: f64) {
        let width = sketch.seconds / longest * (self.right - LEFT) as f64;
        for lane in &sketch.lanes {
            let y = self.take(LANE);
            let columns = lane.letters.chars().count().max(1);
            let scale = width / columns as f64;
            self.draw(html! {
                text x=(LEFT - 14) y=(y + 11) text-anchor="end" font-size="11.5" fill=(QUIET) { (shortened(&lane.name, NAME)) }
                g transform={ "translate(" (LEFT) " " (y) ") scale(" (format!("{scale:.5}")) " 1)" } {
                    @for (state, path) in lane.paths(12.0) { path d=(path) fill=(colors::of(state).0) {} }
                }
            });
        }
        let more = (sketch.left_out > 0).then(|| units::count(sketch.left_out, "more thread"));
        let unseen = sketch.lanes.is_empty().then(|| UNSEEN.to_owned());
        for line in more.into_iter().chain(unseen) {
            let y = self.take(LANE);
            self.draw(html! { text x=(LEFT) y=(y + 11) font-size="11.5" fill=(QUIET) { (line) } });
        }
    }

    /// The axis of time below lanes.
    pub fn axis(&mut self, longest: f64) {
        let y = self.take(34);
        let scale = Scale::up_to(longest, 5);
        let marks = scale.ticks.iter().filter(|tick| **tick <= longest * 1.0001);
        let whole = (self.right - LEFT) as f64;
        self.draw(html! {
            @for tick in marks {
                @let x = LEFT as f64 + tick / longest * whole;
                line x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(y + 3) y2=(y + 8) stroke=(QUIET) {}
                text x=(format!("{x:.1}")) y=(y + 21) text-anchor="middle" font-size="11.5" fill=(QUIET) { (units::tick(*tick, scale.end)) }
            }
        });
    }

    /// The colours that occur.
    pub fn legend<'a>(&mut self, sketches: impl Iterator<Item = &'a Sketch>) {
        let (mut x, mut y) = (LEFT, self.take(24));
        for state in states(sketches) {
            // As wide as its letters, about.
            let width = 30 + state.label().chars().count() * 7;
            if x + width > WIDTH - MARGIN {
                (x, y) = (LEFT, self.take(20));
            }
            self.draw(html! {
                rect x=(x) y=(y + 3) width="11" height="11" rx="2" fill=(colors::of(state).0) {}
                text x=(x + 17) y=(y + 13) font-size="12" fill=(QUIET) { (state.label()) }
            });
            x += width;
        }
    }
}
