//! By how much looks came late: a histogram whose buckets grow by half, so a quantile is right within that.

use plait_trace::Nanos;

const BUCKETS: usize = 64;

/// How many looks came how late.
#[derive(Debug)]
pub(super) struct Lateness {
    counts: [u64; BUCKETS],
}

impl Lateness {
    pub fn new() -> Self {
        Self { counts: [0; BUCKETS] }
    }

    pub fn note(&mut self, late: Nanos) {
        self.counts[(0..BUCKETS - 1).find(|&bucket| late <= limit(bucket)).unwrap_or(BUCKETS - 1)] += 1;
    }

    /// A time that this share of the looks was not later than; 0 if there were none.
    pub fn quantile(&self, share: f64) -> Nanos {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return limit(bucket);
            }
        }
        0
    }
}

/// The longest time that belongs to a bucket: 1 µs, 1.5 µs, …
fn limit(bucket: usize) -> Nanos {
    (1000.0 * 1.5_f64.powi(bucket as i32)) as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_half() {
        let mut lateness = Lateness::new();
        assert_eq!(lateness.quantile(0.5), 0);
        for micros in 1..=100 {
            lateness.note(micros * 1000);
        }
        let half = lateness.quantile(0.5);
        assert!((50_000..75_000).contains(&half), "{half}");
        let most = lateness.quantile(0.99);
        assert!((99_000..150_000).contains(&most), "{most}");
        lateness.note(u64::MAX);
        assert!(lateness.quantile(1.0) > 60_000_000_000);
    }
}
