//! Why a candidate was taken, in plain sentences with their figures.

use std::fmt::Write;

use super::answer::Backend;
use super::call::Call;
use super::figures::Bounds;
use super::predict::{self, Prediction};
use super::words;

/// A share of a call above which it is worth a word.
const WORTH_A_WORD: f64 = 0.1;

/// One sentence each: what a call is like, what it would take to send it, what rules backends out, and the outcome.
pub fn tell(call: &Call, bounds: &Bounds, predictions: &[Prediction], taken: &Prediction) -> Vec<String> {
    let mut reasons = vec![nature(call)];
    reasons.extend(native(call));
    reasons.extend(wire(call, predictions));
    reasons.extend(reached(call));
    reasons.extend(ruled_out(bounds, predictions));
    if call.figures.remaining.is_none() {
        reasons.push(format!("how many calls remain is not known: {} are assumed", words::calls(call.count)));
    }
    reasons.extend(limits(call, bounds, taken));
    reasons.push(outcome(call, bounds, predictions, taken));
    reasons
}

/// What a call does with its time, and what threads would make of that.
fn nature(call: &Call) -> String {
    let length = words::seconds(call.own);
    let subject = match (call.figures.calls, call.figures.unfinished) {
        (0, true) => format!("the first call has not ended, and is taken for one of {length}"),
        _ => format!("a call takes {length}"),
    };
    let held = call.held / call.own;
    let blocked = call.blocked / call.own;
    if blocked >= 0.5 {
        return format!("{subject}, and waits for {} of that: other calls can run meanwhile", words::share(blocked));
    }
    if !call.figures.gil {
        return format!(
            "{subject}, {} of it on a processor: without a GIL, threads run at once",
            words::share(call.cpu / call.own)
        );
    }
    if held >= 0.5 && call.cpu < 0.5 * call.own {
        return format!(
            "{subject}, and holds the GIL for {} of that while it waits: threads would take turns",
            words::share(held)
        );
    }
    if held >= 0.5 {
        return format!("{subject}, and holds the GIL for {} of that: threads would take turns", words::share(held));
    }
    format!(
        "{subject}, and runs without the GIL for {} of that: threads run at once",
        words::share((call.cpu - call.held).max(0.0) / call.own)
    )
}

fn native(call: &Call) -> Option<String> {
    let native = call.figures.native;
    let more = native.is_finite() && native >= 0.25;
    more.then(|| {
        format!(
            "other threads of the program kept {} processors busy meanwhile, of {}: that much is parallel already",
            words::number(native),
            words::number(call.cores)
        )
    })
}

/// What sending would cost, where processes come into question and it was looked at.
fn wire(call: &Call, predictions: &[Prediction]) -> Option<String> {
    let sent = call.figures.sent_bytes;
    if !predictions.iter().any(|each| each.backend == Backend::Processes && each.is_open())
        || !sent.is_finite()
        || call.cpu < WORTH_A_WORD * call.own
    {
        return None;
    }
    let beside = Some(call.figures.buffer_bytes).filter(|bytes| *bytes > 0.0);
    let beside = beside.map_or(String::new(), |bytes| format!(" and {} beside that", words::bytes(bytes)));
    Some(format!(
        "its arguments and result are {} pickled{beside}: {} to send, {} of the call",
        words::bytes(sent.max(0.0)),
        words::seconds(call.parent + call.worker),
        words::share((call.parent + call.worker) / call.own)
    ))
}

/// What running backends reached.
fn reached(call: &Call) -> Vec<String> {
    let on = [
        (call.on_threads, Backend::Threads),
        (call.on_processes, Backend::Processes),
        (call.on_interpreters, Backend::Interpreters),
    ];
    on.into_iter()
        .filter_map(|(reached, backend)| {
            let reached = reached?;
            let busy =
                reached.busy.map_or(String::new(), |busy| format!(", with {} processors busy", words::number(busy)));
            Some(format!(
                "{} finished a call every {}{busy}",
                words::workers(reached.workers as usize, backend),
                words::seconds(reached.each)
            ))
        })
        .collect()
}

fn ruled_out(bounds: &Bounds, predictions: &[Prediction]) -> Vec<String> {
    let by_user = predictions.iter().filter(|each| each.closed).map(|each| each.backend.name()).collect::<Vec<_>>();
    let mut reasons = Vec::new();
    if let (false, Some(why)) = (by_user.is_empty(), &bounds.why) {
        reasons.push(format!("not {}: {why}", by_user.join(" or ")));
    }
    let mut left: Vec<(&str, Vec<&str>)> = Vec::new();
    for each in predictions.iter().filter(|each| !each.closed) {
        if let Some(why) = &each.why_not {
            match left.iter_mut().find(|(other, _)| other == why) {
                Some((_, names)) => names.push(each.backend.name()),
                None => left.push((why, vec![each.backend.name()])),
            }
        }
    }
    reasons.extend(left.into_iter().map(|(why, names)| format!("not {}: {why}", names.join(" or "))));
    reasons
}

/// What of the machine keeps the number of processes down.
fn limits(call: &Call, bounds: &Bounds, taken: &Prediction) -> Option<String> {
    if taken.backend != Backend::Processes || bounds.workers.is_some() {
        return None;
    }
    let (workers, worth) = (taken.workers, predict::processes_worth(call, bounds));
    if workers < worth && predict::fitting(call, call.process_bytes, worth) == workers {
        return Some(format!(
            "each worker needs about {} of the {} that are free",
            words::bytes(call.process_bytes),
            words::bytes(call.memory)
        ));
    }
    (call.cores < call.cpus && workers as f64 == call.cores)
        .then(|| format!("{} processors are {} cores: more workers would share them", call.cpus, call.cores))
}

/// What was taken, what it is thought to take, and what it was better than.
fn outcome(call: &Call, bounds: &Bounds, predictions: &[Prediction], taken: &Prediction) -> String {
    let workers = words::workers(taken.workers, taken.backend);
    let mut text = format!("{workers}: {} for {}", words::seconds(taken.seconds), words::calls(call.count));
    if taken.first < taken.workers {
        write!(text, ", {} of them to begin with", taken.first).expect("a string takes all");
    }
    let others: Vec<String> = predictions
        .iter()
        .filter(|each| each.backend != taken.backend && each.is_open())
        .map(|each| format!("{} {}", words::workers(each.workers, each.backend), words::seconds(each.seconds)))
        .collect();
    if !others.is_empty() {
        text.push_str("; ");
        text.push_str(&others.join(", "));
    }
    let fastest =
        predictions.iter().filter(|each| each.is_open()).map(|each| each.seconds).fold(f64::INFINITY, f64::min);
    if fastest < taken.seconds {
        text.push_str(if taken.backend == Backend::Serial && call.shares_state() {
            "; of about equal ones the one in which calls cannot race"
        } else {
            "; of about equal ones the simplest"
        });
    }
    if taken.backend != Backend::Serial && bounds.workers.is_some_and(|workers| workers > 0) {
        text.push_str("; so many workers were asked for");
    }
    text
}
