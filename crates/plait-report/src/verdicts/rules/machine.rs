//! Rules about the program as a whole and the processors it gets.

use super::Rule;
use crate::units::{number, seconds, share};
use crate::verdicts::confidence::Case;
use crate::verdicts::survey::Survey;
use crate::verdicts::verdict::Word;
use crate::verdicts::window::{self, ratio};

/// So many of a quota's periods must end with the program stopped…
const THROTTLED_PERIODS: f64 = 0.1;
/// …or so much of the time.
const THROTTLED_TIME: f64 = 0.05;
/// Fewer periods than these say nothing; they are a tenth of a second, as a rule.
const FEWEST_PERIODS: u64 = 10;
/// Of the time in which threads could run, they have no processor for this share.
const DELAYED: f64 = 0.2;
/// Fewer threads able to run, on average, are not worth a word.
const WANTED: f64 = 0.25;
/// So many threads for each processor are too many.
const CROWDED: f64 = 1.1;
/// If other programs have the processors, threads that only take turns pile up: then it must be so many…
const CROWDED_BESIDE_OTHERS: f64 = 2.0;
/// …which is where the program itself uses less than this share of the processors.
const OWN: f64 = 0.7;
/// Of the processors that it may use, a program uses all at this share.
pub(super) const ALL_USED: f64 = 0.85;

/// The control group's quota stops the program.
pub(super) struct Throttled<'a> {
    pub survey: &'a Survey<'a>,
}

/// By the periods, or by the time: whichever says more.
fn throttling(survey: &Survey<'_>) -> Case {
    let tree = &survey.tree;
    let time = window::share(tree.throttled, survey.window.seconds());
    let by_time = Case::new().at_least("share of the time throttled", time, THROTTLED_TIME, 0.03);
    if tree.quota_periods < FEWEST_PERIODS {
        return by_time;
    }
    let by_periods = Case::new()
        .at_least("share of the quota's periods throttled", tree.throttled_share(), THROTTLED_PERIODS, 0.05)
        .of(tree.quota_periods);
    if by_periods.margin() >= by_time.margin() { by_periods } else { by_time }
}

impl Rule for Throttled<'_> {
    fn word(&self) -> Word {
        Word::Throttled
    }

    fn case(&self) -> Option<Case> {
        Some(throttling(self.survey))
    }

    fn sentence(&self) -> String {
        let tree = &self.survey.tree;
        let quota = match tree.quota {
            Some(quota) => format!("Its quota of {} processors", number(quota)),
            None => "The quota of its control group".to_owned(),
        };
        let periods = match tree.quota_periods {
            0 => String::new(),
            all => format!("in {} of {all} periods, ", share(tree.throttled_share())),
        };
        let (stopped, all) = (seconds(tree.throttled), seconds(self.survey.window.seconds()));
        format!("{quota} stopped it {periods}for {stopped} of {all} in all.")
    }

    fn remedy(&self) -> String {
        "Raise the quota (docker run --cpus, Kubernetes limits.cpu, systemd CPUQuota=), or start no more workers than it \
         allows: plait.cpu_count() counts it in, os.cpu_count() does not."
            .to_owned()
    }
}

/// More threads want to run than there are processors.
pub(super) struct Oversubscribed<'a> {
    pub survey: &'a Survey<'a>,
}

/// How many threads able to run there are for each processor, and how many are too many.
fn crowd(survey: &Survey<'_>) -> (f64, f64) {
    let tree = &survey.tree;
    let own = ratio(tree.cpu.unwrap_or(0.0), tree.processors);
    (ratio(tree.demand(), tree.processors), if own >= OWN { CROWDED } else { CROWDED_BESIDE_OTHERS })
}

/// Whether threads wait for processors, for no quota's sake.
fn delayed(survey: &Survey<'_>) -> Option<Case> {
    let tree = &survey.tree;
    if throttling(survey).holds() || tree.cpu.is_none() || tree.delay.is_none() {
        return None;
    }
    let share = tree.delay_share();
    Some(
        Case::new()
            .at_least("share of the time able to run that was spent waiting for a processor", share, DELAYED, 0.1)
            .at_least("threads able to run", tree.demand(), WANTED, 0.1),
    )
}

impl Oversubscribed<'_> {
    /// Threads that compute and that no Python knows.
    fn hidden(&self) -> usize {
        let threads = self.survey.processes.iter().filter(|process| process.track.process.python.is_some());
        let threads = threads.flat_map(|process| &process.threads);
        threads.filter(|thread| thread.computes && !thread.knows_python()).count()
    }
}

impl Rule for Oversubscribed<'_> {
    fn word(&self) -> Word {
        Word::Oversubscribed
    }

    fn case(&self) -> Option<Case> {
        let (crowd, many) = crowd(self.survey);
        Some(delayed(self.survey)?.at_least("threads able to run for each processor", crowd, many, 0.2))
    }

    fn sentence(&self) -> String {
        let tree = &self.survey.tree;
        let hidden = match self.hidden() {
            0 => String::new(),
            threads => format!(" {threads} of the threads are no Python threads: a native library's own."),
        };
        format!(
            "{} threads wanted to run on {} on average, so one that could run had none for {} of that time.{hidden}",
            number(tree.demand()),
            processors(tree.processors),
            share(tree.delay_share()),
        )
    }

    fn remedy(&self) -> String {
        let pools = "Start fewer workers: plait.cpu_count() says how many have a processor each.";
        if self.hidden() == 0 {
            return pools.to_owned();
        }
        format!("{pools} Limit the native library's threads, too: threadpoolctl, or OMP_NUM_THREADS=1.")
    }
}

/// All processors are in use.
pub(super) struct Saturated<'a> {
    pub survey: &'a Survey<'a>,
}

impl Rule for Saturated<'_> {
    fn word(&self) -> Word {
        Word::Saturated
    }

    fn case(&self) -> Option<Case> {
        let tree = &self.survey.tree;
        // Where it may use one only, what it does with that one is the better answer.
        (tree.allowed() >= 1.5).then(|| {
            let used = window::share(tree.cpu.unwrap_or(0.0), tree.allowed());
            Case::new().at_least("share of the processors in use", used, ALL_USED, 0.1)
        })
    }

    fn sentence(&self) -> String {
        let tree = &self.survey.tree;
        let of = processors(tree.allowed());
        format!(
            "{} of {of} were in use on average: that is as parallel as it gets here.",
            number(tree.cpu.unwrap_or(0.0))
        )
    }

    fn remedy(&self) -> String {
        "More workers would not help. Make the work itself cheaper, or use more processors.".to_owned()
    }
}

/// Other programs use the processors.
pub(super) struct BusyMachine<'a> {
    pub survey: &'a Survey<'a>,
}

impl Rule for BusyMachine<'_> {
    fn word(&self) -> Word {
        Word::BusyMachine
    }

    fn case(&self) -> Option<Case> {
        let (crowd, many) = crowd(self.survey);
        Some(delayed(self.survey)?.below("threads able to run for each processor", crowd, many, 0.2))
    }

    fn sentence(&self) -> String {
        let tree = &self.survey.tree;
        format!(
            "{} threads wanted to run on {} on average and had none for {} of that time, though the program itself used only \
             {} of them: other programs had the rest.",
            number(tree.demand()),
            processors(tree.processors),
            share(tree.delay_share()),
            number(tree.cpu.unwrap_or(0.0)),
        )
    }

    fn remedy(&self) -> String {
        "Look again when the machine is quiet, or give the program processors of its own (taskset, cpusets).".to_owned()
    }
}

fn processors(count: f64) -> String {
    let text = number(count);
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "1" { "1 processor".to_owned() } else { format!("{text} processors") }
}
