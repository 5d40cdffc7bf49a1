//! The verdict follows from the figures: one made-up set of figures per rule, and the sentences it must give. The
//! sets are in the files beside this one, by what the calls do.

mod busy;
mod computing;
mod failing;
#[path = "../fixtures/mod.rs"]
mod fixtures;
mod peers;
mod waiting;

use fixtures::{With, measured, primes, run};
use plait_report::comparison::{Advice, Grounds, Run};
use plait_report::{Comparison, Measurements};

/// A name, the figures, the best backend and the whole verdict.
type Case = (&'static str, Measurements, Option<&'static str>, &'static str);

fn with(mut measured: Measurements, change: impl FnOnce(&mut Measurements)) -> Measurements {
    change(&mut measured);
    measured
}

fn peer(run: Run) -> Run {
    Run { peer: true, ..run }
}

/// A serial run that computes for `seconds`.
fn serial(seconds: f64) -> Run {
    run("serial", 1, seconds).cores(1.0)
}

#[test]
fn the_verdict_follows_from_the_figures() {
    let cases = [computing::cases(), busy::cases(), waiting::cases(), failing::cases(), peers::cases()].concat();
    assert!(cases.len() >= 36);
    let mut wrong = String::new();
    for (name, measured, best, text) in cases {
        let comparison = Comparison::from(measured);
        let (best_seen, seen) = (comparison.best().map(|row| row.backend.as_str()), comparison.verdict().to_string());
        if (best_seen, seen.as_str()) != (best, text) {
            wrong.push_str(&format!("\n{name}\n  expected {best:?}: {text}\n  seen     {best_seen:?}: {seen}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    let forward = primes();
    let mut backward = primes();
    backward.runs.reverse();
    let (forward, backward) = (Comparison::from(forward), Comparison::from(backward));
    assert_eq!(forward.verdict(), backward.verdict());
    assert_eq!(forward.code_line(), backward.code_line());
}

#[test]
fn grounds_are_data_too() {
    let comparison = Comparison::from(measured(vec![serial(1.0), run("threads", 2, 2.0)]));
    let Advice::StaySerial { grounds, others } = &comparison.verdict().advice else {
        panic!("{}", comparison.verdict())
    };
    assert_eq!((*grounds, others.len()), (Grounds::Slower, 1));
    assert_eq!(
        comparison.code_line().as_deref(),
        Some("results = list(plait.map(count_primes, ITEMS, backend=\"serial\"))"),
    );
}
