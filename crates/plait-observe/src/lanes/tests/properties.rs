//! What holds of the lanes of any looks whatever: also of such as no real program gives.

use plait_trace::{GilKey, Nanos, Record, Recording, State, ThreadKey};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::stage::{GIL, call, empty};
use crate::lanes::{GilSeen, Lanes, Sched, ThreadLook};
use crate::memory::{Nap, Naps, Turn};
use crate::subject::{GilLook, Spot};
use crate::{Gil, Pid};

const THREADS: usize = 4;
const GILS: usize = 2;

/// What a GIL says: nobody, a thread by its place (one more than there are), somebody who cannot be told.
#[derive(Clone, Copy, Debug)]
struct Words {
    held: bool,
    holder: Option<usize>,
    more_switches: u64,
    spot: Option<u64>,
    collecting: bool,
}

/// What a thread shows: its call, how much its account grew, whether it is attached.
#[derive(Clone, Copy, Debug)]
struct Shows {
    sign: char,
    grew: Option<(u64, u64)>,
    /// Whether it has a processor, and for how long.
    turn: Option<(bool, Nanos)>,
    attached: Option<bool>,
    /// Where between the look before and this one it fell asleep and woke up, in parts of a hundred.
    nap: [Option<u64>; 2],
}

#[derive(Clone, Debug)]
enum Event {
    Look { wait: Nanos, gils: Vec<Option<Words>>, threads: Vec<Option<Shows>> },
    Gap { wait: Nanos, length: Nanos },
    End { wait: Nanos, thread: usize },
    Cut { wait: Nanos },
}

fn words() -> impl Strategy<Value = Words> {
    (
        prop::bool::weighted(0.8),
        option::weighted(0.9, 0..=THREADS),
        0..3_u64,
        option::weighted(0.9, 0..2_u64),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(held, holder, more_switches, spot, collecting)| Words {
            held,
            holder,
            more_switches,
            spot,
            collecting,
        })
}

fn shows() -> impl Strategy<Value = Shows> {
    let grew = (0..3_u64, 0..3_u64).prop_map(|(run, delay)| (run * 700_000, delay * 700_000));
    (
        prop::sample::select("RRRRwhlid-".chars().collect::<Vec<_>>()),
        option::of(grew),
        option::weighted(0.3, (any::<bool>(), 0..3_000_000_u64)),
        option::weighted(0.2, any::<bool>()),
        [option::weighted(0.3, 0..=100_u64), option::weighted(0.3, 0..=100_u64)],
    )
        .prop_map(|(sign, grew, turn, attached, nap)| Shows { sign, grew, turn, attached, nap })
}

/// Moments may be the same, next to each other, or apart as they are in life.
fn wait() -> impl Strategy<Value = Nanos> {
    prop_oneof![1 => 0..3_u64, 6 => 200_000..4_000_000_u64]
}

/// Looks repeat most of what the one before showed, as they do in life.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let look = (
        wait(),
        vec(option::weighted(0.95, words()), GILS),
        vec(option::weighted(0.85, shows()), THREADS),
        1..20_usize,
    )
        .prop_map(|(wait, gils, threads, times)| vec![Event::Look { wait, gils, threads }; times]);
    let event = prop_oneof![
        12 => look,
        1 => (wait(), wait()).prop_map(|(wait, length)| vec![Event::Gap { wait, length }]),
        1 => (wait(), 0..THREADS).prop_map(|(wait, thread)| vec![Event::End { wait, thread }]),
        4 => wait().prop_map(|wait| vec![Event::Cut { wait }]),
    ];
    vec(event, 1..20).prop_map(|events| events.concat())
}

/// When there were looks; and of each, at which moment which thread had a GIL or had none.
#[derive(Default)]
struct Seen {
    looks: Vec<Nanos>,
    whose: Vec<(usize, Nanos, ThreadKey, bool)>,
}

/// Plays what happened, and tells what was seen.
fn play(events: &[Event], cuts: bool) -> (Recording, Seen) {
    let (mut lanes, mut out, mut now) = (Lanes::new(), Vec::new(), 0);
    let mut accounts = [Sched { run: 5, delay: 5 }; THREADS];
    let mut switches = [0; GILS];
    let mut ended = [false; THREADS];
    let mut seen = Seen::default();
    let mut doubtful = 0_u32;
    for event in events {
        match event {
            Event::Look { wait, gils, threads } => {
                now += wait;
                let mut looks = Vec::new();
                for (place, words) in gils.iter().enumerate() {
                    let Some(words) = words else { continue };
                    switches[place] += words.more_switches / 2;
                    looks.push(GilSeen {
                        key: GilKey(place as u32),
                        gil: Gil { address: GIL.address + 0x100 * place as u64 },
                        look: GilLook {
                            held: words.held,
                            holder: words.holder.map(|thread| 100 + thread as Pid),
                            state: 0,
                            switches: switches[place],
                            spot: words.spot.map(|instruction| Spot { frame: 0, instruction }),
                            collecting: words.collecting,
                        },
                    });
                }
                let holders: Vec<_> = looks.iter().filter(|gil| gil.look.held).map(|gil| gil.look.holder).collect();
                let is_in_two = holders.iter().enumerate().any(|(place, holder)| holders[..place].contains(holder));
                doubtful = if is_in_two { 2 } else { doubtful - doubtful.min(1) };
                let mut shown = Vec::new();
                for (place, shows) in threads.iter().enumerate() {
                    let Some(shows) = shows.filter(|_| !ended[place]) else { continue };
                    let sched = shows.grew.map(|(run, delay)| {
                        accounts[place].run += run;
                        accounts[place].delay += delay;
                        accounts[place]
                    });
                    let (key, tid) = (ThreadKey(place as u32), 100 + place as Pid);
                    let turn = shows.turn.filter(|&(_, ago)| ago <= now);
                    let turn = turn.map(|(has_processor, ago)| Turn { has_processor, since: now - ago });
                    let call = call(shows.sign);
                    let before = seen.looks.last().copied().unwrap_or(now);
                    let [slept, woke] = shows.nap.map(|part| {
                        let at = part.map(|part| before + (now - before) * part / 100);
                        at.filter(|&at| before < at && at < now)
                    });
                    // Edges of two GILs that one thread seems to have at once need not be the same.
                    let naps = if doubtful > 0 {
                        Naps::default()
                    } else {
                        Naps([slept.map(|slept| Nap { slept, woke }), None, None, None])
                    };
                    shown.push(ThreadLook { key, tid, call, sched, turn, naps, attached: shows.attached });
                    let has = looks.iter().any(|gil| gil.look.held && gil.look.holder == Some(tid));
                    seen.whose.push((seen.looks.len(), now, key, has));
                }
                seen.looks.push(now);
                lanes.look(now, &looks, &shown, &mut out);
            }
            Event::Gap { wait, length } => {
                // What it says of the time before the last look is not believed.
                let from = now.saturating_sub(length / 4);
                lanes.gap(from, now + wait + length, &mut out);
                seen.whose.retain(|(_, at, ..)| *at < from);
                now += wait + length;
            }
            Event::End { wait, thread } => {
                now += wait;
                ended[*thread] = true;
                lanes.thread_ended(ThreadKey(*thread as u32), now, &mut out);
            }
            Event::Cut { wait } if cuts => lanes.cut(now + wait, &mut out),
            Event::Cut { .. } => {}
        }
        for gil in 0..GILS as u32 {
            if let Some(hogging) = lanes.hog(GilKey(gil), now) {
                assert!(hogging.since <= now && hogging.waiters < THREADS, "{hogging:?}");
            }
        }
    }
    lanes.close(now + 500_000, &mut out);
    let mut recording = empty(THREADS as u32, GILS as u32);
    for record in &out {
        recording.put(record).unwrap_or_else(|error| panic!("{error}: {record:?}"));
    }
    (recording, seen)
}

/// Whether spans follow each other without gaps, and are those of a holder exactly while a hold names the thread.
pub fn agree(recording: &Recording) {
    for lane in &recording.threads {
        for pair in lane.spans.windows(2) {
            assert_eq!(pair[0].to, pair[1].from, "{:?}", lane.spans);
            assert!((pair[0].state, pair[0].call) != (pair[1].state, pair[1].call), "{:?}", lane.spans);
        }
        let key = lane.thread.key;
        let spans = lane.spans.iter().filter(|span| span.state.holds_gil()).map(|span| (span.from, span.to));
        let holds = recording.gils.iter().flat_map(|gil| &gil.holds);
        let mut held: Vec<_> = holds.filter(|hold| hold.thread == Some(key)).map(|hold| (hold.from, hold.to)).collect();
        held.sort_unstable();
        assert_eq!(joined(spans), joined(held.into_iter()), "{key:?}: {:?}", lane.spans);
    }
    for gil in &recording.gils {
        assert!(gil.holds.windows(2).all(|pair| pair[0].to <= pair[1].from));
    }
}

/// Stretches of time in order, with those that touch or overlap made one.
fn joined(stretches: impl Iterator<Item = (Nanos, Nanos)>) -> Vec<(Nanos, Nanos)> {
    let mut joined: Vec<(Nanos, Nanos)> = Vec::new();
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn state_at(recording: &Recording, thread: ThreadKey, at: Nanos) -> Option<State> {
    let spans = &recording.threads[thread.index()].spans;
    spans.iter().find(|span| (span.from..span.to).contains(&at)).map(|span| span.state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_looks_make_lanes_that_agree(events in events()) {
        let (recording, seen) = play(&events, false);
        agree(&recording);
        // What was seen is drawn, unless the next look was at the same moment.
        for (look, at, thread, has) in seen.whose {
            if seen.looks.get(look + 1).is_none_or(|&next| next > at + 1) {
                let state = state_at(&recording, thread, at);
                prop_assert!(state.is_none_or(|state| state.holds_gil() == has), "{thread:?} at {at}: {state:?}");
            }
        }
    }

    #[test]
    fn writing_what_is_settled_changes_nothing(events in events()) {
        prop_assert_eq!(play(&events, true).0, play(&events, false).0);
    }
}

#[test]
fn an_empty_recording_has_no_lanes() {
    let mut out: Vec<Record> = Vec::new();
    let mut lanes = Lanes::new();
    lanes.gap(0, 10, &mut out);
    lanes.cut(20, &mut out);
    lanes.look(20, &[], &[], &mut out);
    lanes.close(30, &mut out);
    assert_eq!((out, lanes.hog(GilKey(0), 30)), (Vec::new(), None));
}
