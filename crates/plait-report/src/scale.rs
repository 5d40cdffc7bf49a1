//! Where a value lies on an axis, and which values to name there.

/// An axis from nothing to a round number above the largest value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    /// The value at the axis's end.
    pub end: f64,
    /// Evenly spaced values to name, from nothing to the end.
    pub ticks: Vec<f64>,
}

impl Scale {
    /// An axis for values up to `max`, with about `count` steps of 1, 2 or 5 times a power of ten.
    pub fn up_to(max: f64, count: usize) -> Self {
        let rough = max / count.max(1) as f64;
        if !(rough.is_finite() && rough >= f64::MIN_POSITIVE * 1e10) {
            return Self { end: 1.0, ticks: vec![0.0] };
        }
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * power).into_iter().find(|&step| step >= rough * 0.999);
        let step = step.filter(|step| step.is_finite()).unwrap_or(rough);
        let steps = (max / step - 1e-6).ceil().max(1.0);
        let end = steps * step;
        if !end.is_finite() {
            return Self { end: max, ticks: vec![0.0, max] };
        }
        Self { end, ticks: (0..=steps as usize).map(|n| n as f64 * step).collect() }
    }

    /// Where `value` lies, in percent of the axis.
    pub fn percent(&self, value: f64) -> f64 {
        percent(value, self.end)
    }
}

/// `value` in percent of `whole`, between 0 and 100.
pub(crate) fn percent(value: f64, whole: f64) -> f64 {
    let percent = value / whole * 100.0;
    if percent.is_finite() { percent.clamp(0.0, 100.0) } else { 0.0 }
}

/// A percentage as SVG writes it, with no more digits than can be seen.
pub(crate) fn written(percent: f64) -> String {
    let text = format!("{percent:.2}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_past_the_largest_value() {
        assert_eq!(Scale::up_to(0.487, 4).ticks.len(), 4);
        assert!((Scale::up_to(0.487, 4).end - 0.6).abs() < 1e-9);
        assert_eq!(Scale::up_to(8.0, 4).ticks, [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(Scale::up_to(1.0, 2).ticks, [0.0, 0.5, 1.0]);
        assert_eq!(Scale::up_to(0.0, 4).ticks, [0.0]);
    }

    #[test]
    fn odd_values_stay_on_the_axis() {
        for max in [0.0, 5e-324, 1e-300, f64::MAX, f64::INFINITY, f64::NAN] {
            let scale = Scale::up_to(max, 4);
            assert!(scale.end.is_finite() && scale.end > 0.0 && scale.ticks.len() <= 7, "{max}");
            assert!((0.0..=100.0).contains(&scale.percent(max)), "{max}");
        }
        assert_eq!(written(33.333), "33.33%");
        assert_eq!([written(50.0), written(0.0), written(12.5)], ["50%", "0%", "12.5%"]);
    }
}
