use std::io::Read;

use base64::Engine;
use flate2::read::DeflateDecoder;
use plait_trace::{Nanos, Record, Recording, Span, State};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::made::{self, MS, Made};

fn written(recording: &Recording) -> String {
    let mut out = Vec::new();
    page(recording, &mut out).expect("memory");
    String::from_utf8(out).expect("UTF-8")
}

/// What the script would read: the header, and the numbers after it.
struct Unpacked {
    header: Value,
    numbers: std::vec::IntoIter<u64>,
}

fn unpacked(page: &str) -> Unpacked {
    let begin = r#"<script id="recording" type="text/plain">"#;
    let text = page.split(begin).nth(1).and_then(|rest| rest.split("</script>").next()).expect("a packed recording");
    let packed = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    let mut bytes = Vec::new();
    DeflateDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("deflated");
    let (length, rest) = bytes.split_at(4);
    let (header, columns) = rest.split_at(u32::from_le_bytes(length.try_into().expect("four")) as usize);
    let mut numbers = vec![0_u64];
    let mut shift = 0;
    for byte in columns {
        *numbers.last_mut().expect("one") |= u64::from(byte & 127) << shift;
        shift += 7;
        if *byte < 128 {
            numbers.push(0);
            shift = 0;
        }
    }
    numbers.pop();
    Unpacked { header: serde_json::from_slice(header).expect("JSON"), numbers: numbers.into_iter() }
}

/// From, to, and what that was.
type Stretches<T> = Vec<(u64, u64, T)>;

impl Unpacked {
    fn column(&mut self, count: &Value) -> Vec<u64> {
        self.numbers.by_ref().take(count.as_u64().expect("a number") as usize).collect()
    }

    fn stretches(&mut self, count: &Value) -> Stretches<u64> {
        let (gaps, lengths, whats) = (self.column(count), self.column(count), self.column(count));
        let mut end = 0;
        let one = |((gap, length), what): ((u64, u64), u64)| {
            let from = end + gap;
            end = from + length;
            (from, end, what)
        };
        gaps.into_iter().zip(lengths).zip(whats).map(one).collect()
    }

    /// The spans of each thread and the holds of each GIL; fails unless that was all.
    fn lanes(mut self) -> (Vec<Stretches<State>>, Vec<Stretches<u64>>) {
        let header = self.header.clone();
        let list = |name: &str| header[name].as_array().expect("a list").clone();
        let kinds = list("kinds");
        let mut threads = Vec::new();
        for thread in list("threads") {
            let count = &thread["count"];
            let spans = self.stretches(&count["spans"]);
            let state = |what: u64| State::ALL[kinds[what as usize]["state"].as_u64().expect("a number") as usize];
            threads.push(spans.into_iter().map(|(from, to, what)| (from, to, state(what))).collect());
            for columns in [(&count["stacks"], 2), (&count["tasks"], 4)] {
                (0..columns.1).for_each(|_| drop(self.column(columns.0)));
            }
        }
        let gils = list("gils").iter().map(|gil| self.stretches(&gil["count"]["holds"])).collect();
        assert_eq!(self.numbers.next(), None, "nothing else was packed");
        (threads, gils)
    }
}

#[test]
fn the_script_is_given_what_was_recorded() {
    let recording = made::small();
    let unpacked = unpacked(&written(&recording));
    assert_eq!(unpacked.header["length"], 510_000);
    assert_eq!(unpacked.header["processes"][1]["ended"], 300_000);
    assert_eq!(unpacked.header["shots"][0]["function"], "_json_loads");
    let (threads, gils) = unpacked.lanes();
    let us = |at: Nanos| at / 1000;
    for (lane, spans) in recording.threads.iter().zip(&threads) {
        let wanted: Vec<_> = lane.spans.iter().map(|span| (us(span.from), us(span.to), span.state)).collect();
        assert_eq!(*spans, wanted);
    }
    let holds = |lane: &plait_trace::GilLane| -> Stretches<u64> {
        let holder = |hold: &plait_trace::Hold| hold.thread.map_or(0, |thread| u64::from(thread.0) + 1);
        lane.holds.iter().map(|hold| (us(hold.from), us(hold.to), holder(hold))).collect()
    };
    assert_eq!(gils, recording.gils.iter().map(holds).collect::<Vec<_>>());
}

#[test]
fn what_the_program_names_stays_text() {
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>";
    let mut made = Made::default();
    let process = made.process(7, hostile);
    let gil = made.gil(process);
    let thread = made.thread(process, 8, hostile);
    made.lane(thread, gil, &"PPPPPwwwww".repeat(30));
    made.0.began.what = hostile.to_owned();
    made.0.began.period = MS;
    made.put(Record::Note(plait_trace::Note { process: Some(process), text: hostile.to_owned() }));
    let page = written(&made.0);
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    assert_eq!(page.matches("<script").count(), 2, "the recording, and the script of the page");
}

#[test]
fn a_page_allows_its_own_script_and_nothing_else() {
    let page = written(&made::small());
    let policy = page.split(r#"http-equiv="Content-Security-Policy" content=""#).nth(1).expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{}", &policy[..120]);
    // Addresses in it are those of name spaces and of licences; none is loaded.
    for loads in ["<link rel=\"stylesheet\"", " src=\"http", "@import", "url("] {
        assert!(!page.contains(loads), "{loads}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let empty = written(&Recording::default());
    assert!(empty.contains("No process was seen") && empty.contains("has no end"), "{empty}");
    let mut cut = made::small();
    cut.cut = true;
    assert!(written(&cut).contains("was cut off in the midst"));
    let mut stranger = made::small();
    for track in &mut stranger.processes {
        track.process.python = None;
    }
    assert!(written(&stranger).contains("No Python was seen in it"));
}

#[test]
fn evidence_can_be_jumped_to() {
    let page = written(&made::small());
    let jump = page.split("data-thread=\"").nth(1).expect("evidence");
    assert!(
        jump.starts_with("1\" data-from=\"50000\" data-to=\"250000\"") || jump.contains("data-from=\""),
        "{}",
        &jump[..80]
    );
}

#[test]
fn a_page_of_many_spans_is_small() {
    let mut made = Made::default();
    let process = made.process(7, "app.py");
    made.gil(process);
    for tid in 0..12 {
        let thread = made.thread(process, 7 + tid, "worker");
        // As uneven as the times of a real program, and the same each time.
        let (mut at, mut seed): (Nanos, u64) = (0, 88_172_645_463_325_252 + u64::from(tid));
        for number in 0..10_000 {
            for shift in [13, 7, 17] {
                seed ^= if shift == 7 { seed >> shift } else { seed << shift };
            }
            let to = at + 200_000 + seed % 8_000_000;
            let state = [State::HoldsPython, State::Waits, State::Lock, State::Native][number % 4];
            made.put(Record::Span(Span { thread, from: at, to, state, call: None }));
            at = to;
        }
    }
    let page = written(&made.0);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}

proptest! {
    #[test]
    fn whatever_was_recorded_there_is_a_page_of_it(recording in made::any_recording()) {
        let (threads, gils) = unpacked(&written(&recording)).lanes();
        prop_assert_eq!(threads.len(), recording.threads.len());
        prop_assert_eq!(gils.len(), recording.gils.len());
    }
}
