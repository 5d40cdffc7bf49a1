//! The rules: figures in, verdicts out. One small struct for each, in the files beside this one.
//!
//! A rule is a list of conditions, each a figure and its bound; it holds where all do. How far the figures are from the bounds,
//! and how well the program was seen, make up how far the verdict is to be trusted. What a rule cannot know it says, or it
//! lowers its own trust ([`Rule::most`]).

mod computing;
mod event_loop;
mod gil;
mod machine;
mod rest;
mod waiting;

use plait_trace::State;

use super::code::{self, Spot};
use super::confidence::{Case, Confidence};
use super::process::is_crowded;
use super::survey::{ENOUGH, ENOUGH_LOOKS, Group, PLENTY, Survey};
use super::verdict::{About, Evidence, Verdict, Word};
use super::window::{ratio, seconds, share};

/// A group that does less than this share of all that is done is nobody's bottleneck.
const NEGLIGIBLE: f64 = 0.05;
/// An event loop that is stalled for this share of the time has none to spare.
const STALLED: f64 = 0.1;
/// From so many looks on, more add no trust.
const MANY_LOOKS: u64 = 500;

/// A rule, with the figures that it rests on.
pub(super) trait Rule {
    fn word(&self) -> Word;
    /// Its conditions; absent where it does not apply.
    fn case(&self) -> Option<Case>;
    /// The most that it is to be trusted, for what the figures leave open.
    fn most(&self) -> f64 {
        1.0
    }
    fn sentence(&self) -> String;
    fn remedy(&self) -> String;
    fn evidence(&self) -> Vec<Evidence> {
        Vec::new()
    }
}

/// What a rule said.
struct Ruling {
    word: Word,
    /// How far its conditions hold, or fail to.
    margin: f64,
    verdict: Option<Verdict>,
}

/// A group, and where it is in the survey: what rules about groups look at.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub survey: &'a Survey<'a>,
    pub group: &'a Group,
    pub place: usize,
}

/// All that can be said, the most important first.
pub(super) fn verdicts(survey: &Survey<'_>) -> Vec<Verdict> {
    let whole = About { name: "the program".to_owned(), processes: Vec::new() };

    let grounds: Vec<Ground<'_>> =
        survey.groups.iter().enumerate().map(|(place, group)| Ground { survey, group, place }).collect();
    let of_whole = |rule: &dyn Rule| apply(rule, survey, &whole, (survey.window.seconds(), survey.samples));
    let enough = |ground: &&Ground<'_>| survey.is_enough(ground.group);
    let busy: Vec<&Ground<'_>> = grounds.iter().filter(|ground| ground.group.is_busy).collect();
    if survey.window.length() < ENOUGH {
        return of_whole(&rest::NotEnoughData { survey }).verdict.into_iter().collect();
    }
    // These rest on counters, which go on where nobody looks.
    let machine = [
        of_whole(&machine::Throttled { survey }),
        of_whole(&machine::Oversubscribed { survey }),
        of_whole(&machine::Saturated { survey }),
        of_whole(&machine::BusyMachine { survey }),
    ];
    let mut verdicts: Vec<Verdict> = machine.into_iter().filter_map(|ruling| ruling.verdict).collect();
    if survey.samples < ENOUGH_LOOKS || !busy.is_empty() && !busy.iter().any(enough) {
        verdicts.extend(of_whole(&rest::NotEnoughData { survey }).verdict);
        return without_repetition(verdicts);
    }
    if busy.is_empty() {
        // A loop that hardly has anything to do may be stalled when it does.
        verdicts.extend(grounds.iter().filter_map(|ground| {
            let rule = event_loop::LoopStalled::of(*ground);
            apply(&rule, survey, &ground.about(), (ground.seen(), ground.group.samples)).verdict
        }));
        verdicts.extend(of_whole(&rest::Idle { survey }).verdict.filter(|_| verdicts.is_empty()));
    }

    let active = |ground: &Ground<'_>| ground.group.totals.active;
    let whole_activity: f64 = busy.iter().map(|ground| active(ground)).sum();
    let mut of_groups: Vec<(f64, Verdict)> = Vec::new();
    for ground in busy.iter().filter(|ground| enough(ground)) {
        let weight = share(active(ground), whole_activity);
        of_groups.extend(of_group(**ground).into_iter().map(|verdict| (weight, verdict)));
    }
    let counts = |(weight, verdict): &(f64, Verdict)| *weight >= NEGLIGIBLE || verdict.word <= Word::GcPause;
    if of_groups.iter().any(counts) {
        of_groups.retain(counts);
    }
    of_groups.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    verdicts.extend(of_groups.into_iter().map(|(_, verdict)| verdict));
    if verdicts.is_empty() {
        // Processor time was counted, but what used it was not seen.
        verdicts.extend(of_whole(&rest::NotEnoughData { survey }).verdict);
    }
    without_repetition(verdicts)
}

/// In the order of importance. Who is stopped, or has more threads than processors, does not gain from knowing that all are in
/// use.
fn without_repetition(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let said = |word| verdicts.iter().any(|verdict: &Verdict| verdict.word == word);
    if said(Word::Throttled) || said(Word::Oversubscribed) {
        verdicts.retain(|verdict| verdict.word != Word::Saturated);
    }
    verdicts.sort_by_key(|verdict| verdict.word);
    verdicts
}

/// What can be said of a group.
fn of_group(ground: Ground<'_>) -> Vec<Verdict> {
    let about = ground.about();
    let judge = |rule: &dyn Rule| apply(rule, ground.survey, &about, (ground.seen(), ground.group.samples));
    let causes = vec![
        judge(&event_loop::LoopStalled::of(ground)),
        judge(&gil::GilHog::of(ground)),
        judge(&gil::GcPause::of(ground)),
        judge(&gil::GilContention { ground }),
        judge(&computing::PythonCpuBound { ground }),
        judge(&computing::NativeHolding { ground }),
        judge(&computing::NativeReleasing { ground }),
        judge(&waiting::IoBound { ground }),
        judge(&waiting::LockBound { ground }),
    ];
    let stalled = event_loop::LoopStalled::of(ground).share();
    let nearest = causes.iter().max_by(|a, b| a.margin.total_cmp(&b.margin)).map(|ruling| (ruling.word, ruling.margin));
    let mut verdicts: Vec<Verdict> = causes.into_iter().filter_map(|ruling| ruling.verdict).collect();
    if verdicts.iter().any(|verdict| verdict.word == Word::GilHog) {
        verdicts.retain(|verdict| verdict.word != Word::NativeHolding);
        // Whoever waits, waits for the hog.
        let gil = &ground.group.totals.gil;
        if gil.native + gil.blocked > gil.python {
            verdicts.retain(|verdict| verdict.word != Word::GilContention);
        }
    }

    // What a stalled loop waits for is what stalls it; the rest of the time it waits for good.
    if stalled >= STALLED && verdicts.iter().any(|verdict| verdict.word == Word::LoopStalled) {
        verdicts.retain(|verdict| verdict.word != Word::IoBound);
    }
    // An event loop that is held up now and then does something else the rest of the time.
    if verdicts.iter().all(|verdict| verdict.word <= Word::GcPause) {
        let others = [judge(&computing::FreeThreaded { ground }), judge(&rest::Unseen { ground })];
        verdicts.extend(others.into_iter().filter_map(|ruling| ruling.verdict));
    }
    if verdicts.is_empty() {
        verdicts.extend(judge(&rest::Mixed { ground, nearest }).verdict);
    }
    verdicts
}

fn apply(rule: &dyn Rule, survey: &Survey<'_>, about: &About, (time, samples): (f64, u64)) -> Ruling {
    let Some(case) = rule.case() else {
        return Ruling { word: rule.word(), margin: f64::NEG_INFINITY, verdict: None };
    };
    let verdict = case.holds().then(|| {
        let share = case.certainty().min(rule.most());
        Verdict {
            word: rule.word(),
            title: rule.word().title(),
            about: about.clone(),
            sentence: rule.sentence(),
            remedy: rule.remedy(),
            confidence: Confidence::new(share * quality(survey, rule.word(), time, samples)),
            figures: case.figures.clone(),
            evidence: rule.evidence(),
            samples,
        }
    });
    Ruling { word: rule.word(), margin: case.margin(), verdict }
}

/// How well the program was seen: 1 where nothing is missing.
fn quality(survey: &Survey<'_>, word: Word, time: f64, samples: u64) -> f64 {
    if word == Word::NotEnoughData {
        return 1.0;
    }
    let few = samples.saturating_sub(ENOUGH_LOOKS) as f64 / (MANY_LOOKS - ENOUGH_LOOKS) as f64;
    let looks = 0.75 + 0.25 * few.clamp(0.0, 1.0);
    let long = (time - seconds(ENOUGH)) / seconds(PLENTY - ENOUGH);
    // Not above what is likely until the end.
    let long = if long >= 1.0 { 1.0 } else { 0.65 + 0.14 * long.max(0.0) };
    let gaps = 1.0 - (2.0 * survey.gap_share).min(0.5);
    let dropped = survey.recording.ended.map(|ended| ended.dropped).unwrap_or_default();
    let threads = if dropped.threads > 0 { 0.8 } else { 1.0 };
    let records = if dropped.records > 0 { 0.8 } else { 1.0 };
    // Counters miss nothing.
    let is_counted = matches!(word, Word::Throttled | Word::Oversubscribed | Word::Saturated | Word::BusyMachine);
    if is_counted { long } else { looks.min(long) * gaps * threads * records }
}

impl<'a> Ground<'a> {
    pub fn processes(&self) -> impl Iterator<Item = &'a super::process::ProcessSurvey<'a>> + Clone + use<'a> {
        let survey = self.survey;
        self.group.processes.iter().map(move |&place| &survey.processes[place])
    }

    fn about(&self) -> About {
        let processes = self.processes().map(|process| process.track.process.key).collect();
        About { name: self.group.name.clone(), processes }
    }

    /// Whether its GIL was seen for the most part.
    pub fn has_gil(&self) -> bool {
        let totals = &self.group.totals;
        totals.seen_gil > 0.5 * totals.seen
    }

    /// Seconds that were seen; those of several processes add up.
    pub fn seen(&self) -> f64 {
        self.group.totals.seen
    }

    /// Of the time, the share in which somebody had the GIL.
    pub fn held(&self) -> f64 {
        share(self.group.totals.gil.held, self.group.totals.seen_gil)
    }

    /// The same, with the time in which there was no processor for whoever would have had it.
    pub fn claimed(&self) -> f64 {
        share(self.group.totals.gil.held + self.group.totals.gil.starved, self.group.totals.seen_gil)
    }

    /// How many threads waited for the GIL, on average.
    pub fn waiting(&self) -> f64 {
        ratio(self.group.totals.gil.waited, self.group.totals.seen_gil)
    }

    /// Threads that wait for a GIL to do something with it, on the average.
    pub fn contending(&self) -> f64 {
        ratio(self.group.totals.gil.contended, self.group.totals.seen_gil)
    }

    /// Whether its threads waited for processors so much that what they did looks like something else.
    pub fn is_crowded(&self) -> bool {
        let totals = &self.group.totals;
        is_crowded(totals.cpu, totals.delay)
    }

    /// Processors in use by each of its processes, on average; by the threads' states where nobody counted.
    pub fn cpu(&self) -> f64 {
        let totals = &self.group.totals;
        match totals.cpu {
            Some(cpu) => ratio(cpu, totals.length),
            None => ratio(totals.gil.held + totals.native + totals.attached, totals.seen),
        }
    }

    /// Of the time of busy threads, the share in which they waited for locks.
    pub fn locks(&self) -> f64 {
        share(self.group.totals.locks, self.group.totals.busy)
    }

    pub fn is_several(&self) -> bool {
        self.group.processes.len() > 1
    }

    /// Whether most of the processors that the program may use are in use.
    pub fn uses_all_processors(&self) -> bool {
        let tree = &self.survey.tree;
        tree.cpu.is_some_and(|cpu| cpu >= machine::ALL_USED * tree.allowed())
    }

    /// Where its threads were seen most in the states that are asked for, with the share of the stacks in them.
    pub fn spot(&self, which: impl Fn(State) -> bool + Copy) -> Option<(f64, Evidence)> {
        let threads = || self.processes().flat_map(|process| &process.threads);
        let spots = threads().flat_map(|thread| thread.spots(&self.survey.code, which));
        let code = &self.survey.code;
        let (spot, number, all) = code.most(spots)?;
        let seen_there = |thread: &&super::thread::ThreadSurvey<'_>| {
            thread.spots(code, which).filter(|own| own.line() == spot.line()).count()
        };
        let thread = threads().max_by_key(seen_there)?;
        let evidence = Evidence {
            thread: thread.lane.thread.key,
            name: thread.name.clone(),
            from: thread.window.from,
            to: thread.window.to,
            state: thread.times.most(),
            function: None,
            spot: code.show(spot),
            callback: None,
        };
        Some((share(number as f64, all as f64), evidence))
    }
}

/// ` 80 % of it was seen in count (primes.py:7).`, where that is the user's own code.
fn mostly(spot: Option<&(f64, Evidence)>) -> String {
    let Some((share, Evidence { spot: Some(spot), .. })) = spot else {
        return String::new();
    };
    if !code::is_users(&spot.place.file) {
        return String::new();
    }
    format!(" {} of it was seen in {spot}.", crate::units::share(*share))
}

/// A spot and the C function in it: `_sre_SRE_Pattern_findall, called from scan (app.py:7)`.
fn called_from(function: Option<&str>, spot: Option<&Spot>) -> String {
    let function = function.map(crate::plain_text::one_line);
    match (function, spot) {
        (Some(function), Some(spot)) => format!("{function}, called from {spot},"),
        (Some(function), None) => function,
        (None, Some(spot)) => format!("native code called from {spot}"),
        (None, None) => "native code".to_owned(),
    }
}

/// `8.0 s`, of the time that was seen.
fn of_time(ground: &Ground<'_>) -> String {
    let of = if ground.is_several() { " of their time together" } else { "" };
    format!("{}{of}", crate::units::seconds(ground.seen()))
}

/// Nanoseconds as a time to read.
fn time(nanos: plait_trace::Nanos) -> String {
    crate::units::seconds(seconds(nanos))
}

/// What to do where only one thread at a time can compute.
fn go_parallel(ground: &Ground<'_>) -> String {
    let tree = &ground.survey.tree;
    let allowed = tree.allowed();
    match () {
        () if allowed < 1.5 => {
            let why = if tree.quota.is_some_and(|quota| quota < tree.processors) { "quota" } else { "affinity" };
            format!(
                "This program may use one processor only ({why}), so nothing computes side by side, whatever the backend: \
                 give it more, or make the work itself cheaper."
            )
        }
        () if ground.uses_all_processors() => {
            "All processors are in use already, so more workers would not help: make the work itself cheaper, or use \
             another machine, too."
                .to_owned()
        }
        () if ground.is_several() && tree.demand() >= machine::ALL_USED * allowed => {
            "It is spread over as many processes as there are processors, but other programs use some of those: more \
             workers would not help."
                .to_owned()
        }
        () if ground.is_several() => {
            "It is spread over processes already, and some processors are idle: start as many workers as \
             plait.cpu_count() says, and see that there is work for all of them."
                .to_owned()
        }
        () => "Spread it over processes: plait.map(fn, items, backend=\"processes\"), or the standard library's \
               ProcessPoolExecutor. Sub-interpreters (Python 3.14) and a free-threaded build do it within one process. \
               More threads do not help."
            .to_owned(),
    }
}
