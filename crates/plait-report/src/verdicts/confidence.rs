//! How far a verdict is to be trusted: figures held against the bounds of a rule, and how far they are from them.

use std::fmt;

use serde::Serialize;

/// A figure that a verdict rests on, and the bound its rule holds it against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// For shares: the band in which it lies 95 times out of 100, by the number of looks (Wilson).
    pub band: Option<(f64, f64)>,
    /// The bound.
    pub bound: f64,
    /// Whether the rule holds at the bound and above it; otherwise below it.
    pub at_least: bool,
}

/// The conditions of a rule, all of which must hold.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub figures: Vec<Figure>,
    margin: f64,
}

impl Case {
    pub fn new() -> Self {
        Self { figures: Vec::new(), margin: f64::INFINITY }
    }

    /// `value` must be `bound` or more; where it is by `far`, there is no doubt.
    pub fn at_least(self, name: &'static str, value: f64, bound: f64, far: f64) -> Self {
        self.with(Figure { name, value, band: None, bound, at_least: true }, far)
    }

    /// `value` must be less than `bound`; where it is by `far`, there is no doubt.
    pub fn below(self, name: &'static str, value: f64, bound: f64, far: f64) -> Self {
        self.with(Figure { name, value, band: None, bound, at_least: false }, far)
    }

    /// The last figure is the share of so many looks.
    pub fn of(mut self, looks: u64) -> Self {
        if let Some(figure) = self.figures.last_mut() {
            figure.band = Some(wilson(figure.value, looks));
        }
        self
    }

    fn with(mut self, figure: Figure, far: f64) -> Self {
        let distance = if figure.at_least { figure.value - figure.bound } else { figure.bound - figure.value };
        // Short of a small bound, nothing at all is as far from it as can be.
        let far = if distance < 0.0 && figure.at_least { far.min(figure.bound) } else { far };
        // What is no number convinces nobody.
        let margin = if distance.is_nan() { f64::NEG_INFINITY } else { distance / far };
        // Not below its bound is not below it.
        let margin = if margin == 0.0 && !figure.at_least { -f64::MIN_POSITIVE } else { margin };
        self.margin = self.margin.min(margin);
        self.figures.push(figure);
        self
    }

    /// By how much all conditions hold: 0 at the bound, 1 where there is no doubt, negative where one does not.
    pub fn margin(&self) -> f64 {
        self.margin
    }

    pub fn holds(&self) -> bool {
        self.margin >= 0.0
    }

    /// From 0.5 at the bound to 1 where there is no doubt.
    pub fn certainty(&self) -> f64 {
        0.5 + 0.5 * self.margin.clamp(0.0, 1.0)
    }
}

/// How far a verdict is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Confidence {
    /// From 0 to 1.
    pub share: f64,
    /// The same in a word.
    pub word: Trust,
}

/// How far a verdict is to be trusted, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Close to the bounds of its rule, or seen too badly: look again, for longer.
    Unsure,
    /// More likely than anything else.
    Likely,
    /// Far from the bounds of its rule, and well seen.
    Sure,
}

impl Confidence {
    pub(super) fn new(share: f64) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        // Two digits are all that it is worth.
        let share = (share * 100.0).round() / 100.0;
        let word = match share {
            share if share >= 0.8 => Trust::Sure,
            share if share >= 0.6 => Trust::Likely,
            _ => Trust::Unsure,
        };
        Self { share, word }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unsure => "unsure",
            Self::Likely => "likely",
            Self::Sure => "sure",
        })
    }
}

/// The band in which a share lies 95 times out of 100 when it was found by `looks` looks (Wilson's score).
pub(super) fn wilson(share: f64, looks: u64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    if looks == 0 {
        return (0.0, 1.0);
    }
    let n = looks as f64;
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).clamp(0.0, share), (middle + half).clamp(share, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_is_wilsons() {
        let (low, high) = wilson(0.5, 100);
        assert!((low - 0.4038).abs() < 1e-3 && (high - 0.5962).abs() < 1e-3, "{low} {high}");
        assert_eq!(wilson(0.3, 0), (0.0, 1.0));
        assert_eq!(wilson(1.0, u64::MAX).1, 1.0);
        assert_eq!(wilson(f64::NAN, 10).0, 0.0);
    }

    #[test]
    fn at_the_bound_all_is_open_and_far_from_it_nothing() {
        let case = |value| Case::new().at_least("held", value, 0.8, 0.1);
        assert!(case(0.8).holds() && !case(0.79).holds() && !case(f64::NAN).holds());
        assert_eq!((case(0.8).certainty(), case(0.95).certainty()), (0.5, 1.0));
        let below = |value| Case::new().below("waiting", value, 0.5, 0.2);
        assert!(!below(0.5).holds() && below(0.49).holds() && !below(f64::NAN).holds());
        assert!(Case::new().holds(), "no condition is broken");
    }

    #[test]
    fn words_follow_the_share() {
        let word = |share| Confidence::new(share).word;
        assert_eq!(
            [word(1.0), word(0.7), word(0.59), word(f64::NAN)],
            [Trust::Sure, Trust::Likely, Trust::Unsure, Trust::Unsure]
        );
    }
}
