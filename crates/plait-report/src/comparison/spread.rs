//! One figure over several rounds: its middle, and how far it spreads.

/// Median, middle half and extremes of a figure over the rounds that have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The lower quartile, interpolated between neighbours.
    pub q1: f64,
    /// The upper quartile, interpolated between neighbours.
    pub q3: f64,
    /// How many rounds it is made of.
    pub rounds: usize,
}

impl Spread {
    /// The spread of the values that are figures (finite, not negative), or none when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter_map(figure).collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let at = |share| quantile(&values, share);
        Some(Self { median: at(0.5), min, max, q1: at(0.25), q3: at(0.75), rounds: values.len() })
    }

    /// The largest distance of a round from the median, as a share of the median; none for a single round, which
    /// says nothing about spread.
    pub fn deviation(&self) -> Option<f64> {
        let distance = (self.max - self.median).max(self.median - self.min);
        (self.rounds > 1).then(|| distance / self.median).and_then(figure)
    }
}

/// A value that can be reckoned with: finite and not negative.
pub(crate) fn figure(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// `a / b` where that is a figure greater than nothing.
pub(crate) fn ratio(a: f64, b: f64) -> Option<f64> {
    figure(a / b).filter(|&r| r > 0.0)
}

/// The value below which `share` of the sorted `values` lie.
fn quantile(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated_and_order_does_not_matter() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("four figures");
        assert_eq!((spread.min, spread.q1, spread.median, spread.q3, spread.max), (1.0, 1.75, 2.5, 3.25, 4.0));
        assert_eq!(spread.deviation(), Some(0.6));
    }

    #[test]
    fn what_is_no_figure_does_not_count() {
        let spread = Spread::of([f64::NAN, -1.0, 2.0, f64::INFINITY]).expect("one figure");
        assert_eq!((spread.median, spread.rounds, spread.deviation()), (2.0, 1, None));
        assert_eq!(Spread::of([f64::NAN]), None);
        assert_eq!(Spread::of([0.0, 0.0]).and_then(|s| s.deviation()), None, "no share of nothing");
        assert_eq!(ratio(1.0, 0.0), None);
        assert_eq!(ratio(1e308, 1e-308), None);
    }
}
