//! Looks written down as text, and lanes drawn as text: one column per look, one row per thread and for the GIL.

use std::collections::BTreeMap;

use plait_trace::{GilKey, Nanos, ProcessKey, Record, Recording, Sight, ThreadKey};

use crate::lanes::seen::Target;
use crate::lanes::{Call, GilSeen, Lanes, Sched, ThreadLook};
use crate::memory::{Naps, Turn};
use crate::subject::{GilLook, Spot};
use crate::{Gil, Pid};

/// The time between two looks.
pub const PERIOD: Nanos = 1_000_000;
/// Where the GIL lies.
pub const GIL: Gil = Gil { address: 0x1000 };

/// When the look of a column is taken.
pub fn time(column: usize) -> Nanos {
    (column as Nanos + 1) * PERIOD
}

/// Looks, as text. Rows are `name: columns`; what stands behind the last column of a row goes on in it.
///
/// | row | a column |
/// |---|---|
/// | `gil` | the thread that has it; `.` nobody, `?` a thread that is not among those looked at, `!` one that cannot be told, a space: not looked at |
/// | `spot` | where the holder is; `.` cannot be told; without the row it is elsewhere at each look |
/// | `gc` | `x` while garbage is collected |
/// | `switches` | a number: so many more changes of the GIL's thread than are seen |
/// | `gap` | `~` where nobody looks |
/// | `cut` | `^`: what is settled is written after this look |
/// | `a`, `b`, … | what the thread does: `R` runs, `w` sleeps for the GIL, `v` does so after a signal, `h` hands it over, `l` a lock, `i` `recv`, `r` reads a socket, `d` reads a file, `p` reads a pipe, `o` polls, `s` sleeps, `c` a child, `-` blocked outside of a call, `.` is not there, a space: not looked at |
/// | `a+` | what its account says: since it grew last the thread ran (`r`), or had no processor (`d`); it had none for 50 µs, a wake-up (`e`); nothing new (`.`); a space: not looked at |
/// | `a#` | what the kernel tells of its switches: it has a processor (`1`) or none (`0`), since 0.2 ms before the row changed; a space: nothing |
/// | `a@` | `1` attached, `0` not |
pub struct Script {
    rows: BTreeMap<String, Vec<char>>,
    width: usize,
}

impl Script {
    pub fn new(text: &str) -> Self {
        let rows: BTreeMap<String, Vec<char>> = rows(text).collect();
        let width = rows.values().map(Vec::len).max().unwrap_or(0);
        for (name, row) in &rows {
            assert!(row.len() == width || name.len() > 1, "the row of {name} is short: {row:?}");
        }
        Self { rows, width }
    }

    /// The threads' names, in order; their keys are their places.
    fn threads(&self) -> Vec<&str> {
        self.rows.keys().map(String::as_str).filter(|name| name.len() == 1).collect()
    }

    fn at(&self, row: &str, column: usize) -> Option<char> {
        self.rows.get(row).map(|row| row.get(column).or(row.last()).copied().unwrap_or(' '))
    }

    fn turn(&self, row: &str, column: usize) -> Option<Turn> {
        let sign = self.at(row, column).filter(|&sign| sign != ' ')?;
        let first = (0..=column).rev().take_while(|&before| self.at(row, before) == Some(sign)).last()?;
        Some(Turn { has_processor: sign == '1', since: time(first) - PERIOD / 5 })
    }

    /// When what the look of a column saw is drawn: that look's time, or a little before if nobody looked afterwards.
    fn seen(&self, column: usize) -> Nanos {
        let is_last = self.at("gap", column + 1) == Some('~') && self.at("gap", column) != Some('~');
        time(column) - if is_last { PERIOD / 4 } else { 0 }
    }

    /// Plays it. With `cuts`, what is settled is written after each look.
    pub fn play(&self, cuts: bool) -> Recording {
        let names = self.threads();
        let (mut lanes, mut out) = (Lanes::new(), Vec::new());
        let mut accounts = vec![(Sched { run: 7, delay: 7 }, 0); names.len()];
        let (mut switches, mut holder, mut dark) = (0, '.', None);
        for column in 0..self.width {
            let at = time(column);
            if self.at("gap", column) == Some('~') {
                dark.get_or_insert(at - PERIOD);
                continue;
            }
            if let Some(from) = dark.take() {
                lanes.gap(from, at, &mut out);
            }
            let held_by = self.at("gil", column);
            if let Some(by) = held_by.filter(|by| !". ".contains(*by)) {
                switches += u64::from(by != holder && holder != '.');
                holder = by;
            }
            switches += self.at("switches", column).and_then(|more| more.to_digit(10)).map_or(0, u64::from);
            let gils: Vec<GilSeen> =
                held_by.filter(|&by| by != ' ').into_iter().map(|by| self.gil(by, holder, switches, column)).collect();
            let mut threads = Vec::new();
            for (key, name) in names.iter().enumerate() {
                let sign = self.at(name, column).expect("a row");
                let sched = self.at(&format!("{name}+"), column).filter(|&sign| sign != ' ');
                let (account, since) = &mut accounts[key];
                match sched {
                    Some('r') => account.run += at - std::mem::replace(since, at),
                    Some('d') => account.delay += at - std::mem::replace(since, at),
                    Some('e') => account.delay += 50_000,
                    _ => {}
                }
                match sign {
                    '.' => lanes.thread_ended(ThreadKey(key as u32), at, &mut out),
                    ' ' => {}
                    sign => threads.push(ThreadLook {
                        key: ThreadKey(key as u32),
                        tid: tid(name),
                        call: call(sign),
                        sched: sched.map(|_| *account),
                        turn: self.turn(&format!("{name}#"), column),
                        naps: Naps::default(),
                        attached: self.at(&format!("{name}@"), column).map(|sign| sign == '1'),
                    }),
                }
            }
            lanes.look(at, &gils, &threads, &mut out);
            if cuts || self.at("cut", column) == Some('^') {
                lanes.cut(at + PERIOD, &mut out);
            }
        }
        lanes.close(time(self.width), &mut out);
        let mut recording = empty(names.len() as u32, 1);
        for record in &out {
            recording.put(record).unwrap_or_else(|error| panic!("{error}: {record:?}"));
        }
        recording
    }

    fn gil(&self, by: char, holder: char, switches: u64, column: usize) -> GilSeen {
        let spot = match self.at("spot", column) {
            None => Some(Spot { frame: 1, instruction: 1000 + column as u64 }),
            Some('.') => None,
            Some(place) => Some(Spot { frame: 1, instruction: place as u64 }),
        };
        GilSeen {
            key: GilKey(0),
            gil: GIL,
            look: GilLook {
                held: by != '.',
                holder: (!".!".contains(holder)).then(|| tid(&holder.to_string())),
                state: 0x5000,
                switches,
                spot,
                collecting: self.at("gc", column) == Some('x'),
            },
        }
    }
}

/// A recording with so many threads and GILs, and nothing seen of them.
pub fn empty(threads: u32, gils: u32) -> Recording {
    let mut recording = Recording::default();
    let process = plait_trace::Process {
        key: ProcessKey(0),
        pid: 7,
        parent: None,
        found: 0,
        command: "python".into(),
        python: None,
        sight: Sight::Gil,
        why: None,
        processors: 2,
        quota: None,
        role: None,
    };
    recording.put(&Record::Process(process)).expect("a process");
    for key in 0..gils {
        let gil =
            plait_trace::Gil { key: GilKey(key), process: ProcessKey(0), interpreters: vec![0], interval: 5_000_000 };
        recording.put(&Record::Gil(gil)).expect("a GIL");
    }
    for key in 0..threads {
        let thread = plait_trace::Thread {
            key: ThreadKey(key),
            process: ProcessKey(0),
            tid: key,
            name: key.to_string(),
            interpreter: Some(0),
            found: 0,
        };
        recording.put(&Record::Thread(thread)).expect("a thread");
    }
    recording
}

/// The lanes at the times of the looks; `.` where a lane is not there, or the GIL free.
fn draw(recording: &Recording, script: &Script) -> String {
    let names = script.threads();
    let mut text = String::new();
    let mut row = |name: &str, sign: &dyn Fn(Nanos) -> char| {
        let signs: String = (0..script.width).map(|column| sign(script.seen(column))).collect();
        text.push_str(&format!("{name}: {signs}\n"));
    };
    for (key, name) in names.iter().enumerate() {
        let spans = &recording.threads[key].spans;
        row(name, &|at| {
            spans.iter().find(|span| (span.from..span.to).contains(&at)).map_or('.', |span| span.state.letter())
        });
    }
    if script.rows.contains_key("gil") {
        let holds = &recording.gils[0].holds;
        row("gil", &|at| match holds.iter().find(|hold| (hold.from..hold.to).contains(&at)) {
            None => '.',
            Some(hold) => hold.thread.map_or('?', |thread| names[thread.index()].chars().next().expect("a name")),
        });
    }
    text
}

/// Plays `looks` and compares the lanes with `drawing`; they come out the same whenever what is settled is written.
#[track_caller]
pub fn check(looks: &str, drawing: &str) {
    let script = Script::new(looks);
    let recording = script.play(false);
    let drawn = draw(&recording, &script);
    let expected: BTreeMap<String, Vec<char>> = rows(drawing).collect();
    let found: BTreeMap<String, Vec<char>> = rows(&drawn).filter(|(name, _)| expected.contains_key(name)).collect();
    assert!(found == expected, "{looks}\nshould be drawn as\n{drawing}\nand is\n\n{drawn}");
    super::properties::agree(&recording);
    assert_eq!(script.play(true), recording, "writing what is settled changed the lanes");
}

/// The rows of a text: names and columns. A row without columns of its own is that of the name alone.
fn rows(text: &str) -> impl Iterator<Item = (String, Vec<char>)> {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let (name, columns) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is no row"));
        let columns = columns.strip_suffix('|').unwrap_or(columns);
        (name.trim().to_owned(), columns.chars().collect())
    })
}

fn tid(name: &str) -> Pid {
    100 + Pid::from(name.bytes().next().expect("a name"))
}

/// The call of a thread that does this.
pub fn call(sign: char) -> Call {
    let call = |number, first, target| Call::In { number, first, target };
    match sign {
        'R' => Call::Running,
        '-' => Call::Outside,
        'w' => call(202, GIL.address + 80, Target::None),
        'v' => call(219, GIL.address + 80, Target::None),
        'h' => call(202, GIL.address + 120, Target::None),
        'l' => call(202, 0x9000, Target::None),
        'i' => call(45, 5, Target::None),
        'r' => call(0, 5, Target::Socket),
        'd' => call(0, 6, Target::File),
        'p' => call(0, 7, Target::Pipe),
        'o' => call(232, 8, Target::None),
        's' => call(230, 0, Target::None),
        'c' => call(61, 9, Target::None),
        other => panic!("{other:?} is nothing a thread does"),
    }
}
