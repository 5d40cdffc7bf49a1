//! Looking again while a run goes on: whether another backend is so much better that going there pays.
//!
//! What a switch costs is charged to the other side: its start, the calls in flight that have to end, and a margin for
//! what the figures do not know. Going back to a backend that the run was on before takes twice the margin, each switch
//! makes the next one harder, and after [`MOST_SWITCHES`] there is none: so a run that looks different every time loses
//! a bounded share.

use super::answer::Choice;
use super::call::Call;
use super::figures::{Bounds, Figures, Machine};
use super::{answer, best, predict};

/// The most switches of one run.
pub const MOST_SWITCHES: u32 = 4;

/// The share of the time left that a switch must save.
const MARGIN: f64 = 0.15;

/// Seconds that it must save: those of reading back and forth, and of a window of results that come late.
const WORTH_A_SWITCH: f64 = 5e-3;

/// What should go on instead of `choice`, if that pays; `switches` were made in this run before. The figures' `tried`
/// tell what backends really reached in this run.
pub fn revise(choice: &Choice, figures: &Figures, machine: &Machine, bounds: &Bounds, switches: u32) -> Option<Choice> {
    if switches >= MOST_SWITCHES {
        return None;
    }
    let call = Call::of(figures, machine);
    let predictions = predict::all(&call, bounds);
    let at = best(&predictions, &call);
    let (other, current) = (&predictions[at], predictions.iter().find(|each| each.backend == choice.backend)?);
    if other.backend == choice.backend || !other.is_open() {
        return None;
    }
    // What runs has been started.
    let going_on = current.seconds - current.start;
    let margin = MARGIN * f64::from(1 + switches) * if choice.left.contains(&other.backend) { 2.0 } else { 1.0 };
    let in_flight = call.own.min(going_on);
    let pays = other.seconds + in_flight + WORTH_A_SWITCH < going_on * (1.0 - margin);
    // A backend that may not go on must be left whatever it costs.
    (pays || !current.is_open()).then(|| {
        let mut next = answer(&call, bounds, &predictions, at);
        next.left = choice.left.iter().copied().chain([choice.backend]).collect();
        next
    })
}
