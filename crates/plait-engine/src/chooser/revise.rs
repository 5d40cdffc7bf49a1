//! Looking again while a run goes on: whether another backend, or more processes, are so much better that going there
//! pays.
//!
//! What a switch costs is charged to the other side: its start, the calls in flight that have to end, and a margin for
//! what the figures do not know. Going back to a backend that the run was on before takes twice the margin, each switch
//! makes the next one harder, and after [`MOST_SWITCHES`] there is none: so a run that looks different every time loses
//! a bounded share.

use super::answer::{Backend, Choice};
use super::call::Call;
use super::figures::{Bounds, Figures, Machine};
use super::{answer, best, predict};

/// The most switches of one run.
pub const MOST_SWITCHES: u32 = 4;

/// The share of the time left that a switch must save.
const MARGIN: f64 = 0.1;

/// No switch has to save more than that share.
const MOST_MARGIN: f64 = 0.5;

/// Seconds that it must save: those of reading back and forth, and of a window of results that come late.
const WORTH_A_SWITCH: f64 = 5e-3;

/// What should go on instead of `choice`, if that pays; `switches` were made in this run before. The figures' `tried`
/// tell what backends really reached in this run.
pub fn revise(choice: &Choice, figures: &Figures, machine: &Machine, bounds: &Bounds, switches: u32) -> Option<Choice> {
    if switches >= MOST_SWITCHES {
        return None;
    }
    // What a backend reached earlier was reached by earlier calls, which are not what calls are like now.
    let present = Figures {
        threads_tried: figures.threads_tried.filter(|_| choice.backend == Backend::Threads),
        settled: None,
        processes_tried: figures.processes_tried.filter(|_| choice.backend == Backend::Processes),
        interpreters_tried: figures.interpreters_tried.filter(|_| choice.backend == Backend::Interpreters),
        ..figures.clone()
    };
    let call = Call::of(&present, machine).remembering(figures);
    let predictions = predict::all(&call, bounds);
    let at = best(&predictions, &call);
    let other = &predictions[at];
    // The climber finds how many threads there should be; other workers stay as many as they are.
    let as_it_is = match choice.backend {
        Backend::Processes | Backend::Interpreters => &Bounds { workers: Some(choice.workers), ..bounds.clone() },
        _ => bounds,
    };
    let current = predict::all(&call, as_it_is).into_iter().find(|each| each.backend == choice.backend)?;
    let grows = matches!(other.backend, Backend::Processes | Backend::Interpreters);
    let more = grows && other.workers > choice.workers;
    if (other.backend == choice.backend && !more) || !other.is_open() {
        return None;
    }
    // What runs has been started.
    let going_on = current.seconds - current.start;
    let back = if choice.left.contains(&other.backend) { 2.0 } else { 1.0 };
    let margin = (MARGIN * f64::from(1 + 2 * switches) * back).min(MOST_MARGIN);
    let in_flight = call.own.min(going_on);
    let pays = other.seconds + in_flight + WORTH_A_SWITCH < going_on * (1.0 - margin);
    // A backend that may not go on must be left whatever it costs.
    (pays || !current.is_open()).then(|| {
        let mut next = answer(&call, bounds, &predictions, at);
        next.left.clone_from(&choice.left);
        if next.backend != choice.backend {
            next.left.push(choice.backend);
        }
        next
    })
}
