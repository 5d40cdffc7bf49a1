//! The right names for what programs are known to do.

use super::*;
use crate::native::image::Image;
use crate::native::maps;

/// So many shots are looked at, and one in ten may be of something else: the program also frees what it made.
const SHOTS: usize = 40;

/// A program that does one thing, and what that is called in C and, for builds without symbols, in Python.
struct Case {
    work: &'static str,
    c: &'static [&'static str],
    python: &'static [&'static str],
}

const PRELUDE: &str = "import csv, decimal, gc, json, pickle, random, re, zlib; gc.disable()";

const CASES: &[Case] = &[
    Case {
        work: r"text = json.dumps('\u00e9' * 1_000_000)
say('works')
while True: json.loads(text)",
        c: &["scanner_call"],
        python: &["_json.Scanner.__call__"],
    },
    Case {
        work: "data = [[n, [1.5, 'x', None]] for n in range(100_000)]
say('works')
while True: json.dumps(data)",
        c: &["encoder_call"],
        python: &["_json.Encoder.__call__"],
    },
    Case {
        work: "text = 'abc def ' * 200_000
say('works')
while True: re.findall('(a|b)+x', text)",
        c: &["_sre_SRE_Pattern_findall"],
        python: &["re.Pattern.findall"],
    },
    Case {
        work: "data = [[n, [1.5, 'x', None]] for n in range(30_000)]
say('works')
while True: pickle.dumps(data)",
        c: &["_pickle_dumps"],
        python: &["_pickle.dumps"],
    },
    Case {
        work: "data = [random.random() for _ in range(200_000)]
say('works')
while True: sorted(data)",
        c: &["builtin_sorted"],
        python: &["builtins.sorted"],
    },
    // Since 3.12 by a function of its own, before by the slot. Without symbols nothing tells.
    Case {
        work: "n = 3 ** 200_000
say('works')
while True: n * n",
        c: &["_PyLong_Multiply", "long_mul"],
        python: &["int.__mul__"],
    },
    Case {
        work: "csv.field_size_limit(1 << 30); lines = ['a' * 10_000_000]
say('works')
while True: list(csv.reader(lines))",
        c: &["Reader_iternext"],
        python: &["_csv.reader.__next__"],
    },
    Case {
        work: "decimal.getcontext().prec = 20_000; a = decimal.Decimal(2).sqrt(); b = decimal.Decimal(3).sqrt()
say('works')
while True: a / b",
        c: &["nm_mpd_qdiv"],
        python: &["decimal.Decimal.__truediv__"],
    },
    // Lets the GIL go.
    Case {
        work: "data = os.urandom(1 << 22)
say('works')
while True: zlib.compress(data)",
        c: &["zlib_compress"],
        python: &["zlib.compress", "deflate"],
    },
    // Keeps it, and sleeps: by `usleep`, which calls what sleeps.
    Case {
        work: "usleep = ctypes.PyDLL(None).usleep
say('works')
while True: usleep(50_000)",
        c: &["usleep"],
        python: &["usleep"],
    },
    Case {
        work: "data = [[n] for n in range(300_000)]
say('works')
while True: gc.collect()",
        c: &["gc_collect_main"],
        python: &["gc.collect"],
    },
];

/// Shoots until the share of names that are among `right` is what it must be, or for too long.
pub(super) fn share(script: &mut Script, tid: Pid, right: impl Fn(&NativeStack) -> bool) -> (f64, Vec<NativeStack>) {
    let began = Instant::now();
    let mut hits = Vec::new();
    loop {
        hits.extend(shots(script, tid, SHOTS));
        let share = hits.iter().filter(|hit| right(hit)).count() as f64 / hits.len() as f64;
        if share >= 0.9 || began.elapsed() > LONG {
            return (share, hits);
        }
    }
}

/// Whether the interpreter has names for what it does not export.
pub(super) fn has_symbols(pid: Pid) -> bool {
    let code = maps::of(pid).expect("its maps");
    let mut images = code.iter().filter(|code| code.name().contains("python")).filter_map(|code| {
        let image = Image::of_file(code.open(pid).ok()?)?;
        image.is_interpreter().then_some(image)
    });
    images.next().expect("an interpreter").has("gc_collect_main")
}

pub(super) fn told(hits: &[NativeStack]) -> String {
    let mut told: Vec<String> =
        hits.iter().map(|hit| format!("{:?}: {}", hit.function, hit.natives.join(" < "))).collect();
    told.sort();
    told.dedup_by_key(|line| line.split(':').next().map(str::to_owned));
    told.join("\n")
}

#[test]
fn hogs_are_named_in_nine_of_ten_shots() {
    for interpreter in supported() {
        let mut pauses = Vec::new();
        for Case { work, c, python } in CASES {
            let (mut script, tid) = start(interpreter, &format!("{PRELUDE}\n{work}"));
            let has_symbols = has_symbols(script.pid());
            await_work(&mut script, tid);
            let names = if has_symbols { c } else { python };
            let right = |hit: &NativeStack| hit.function.as_deref().is_some_and(|name| names.contains(&name));
            if !has_symbols && python == &["int.__mul__"] {
                // Called by an instruction of its own: no name, and none of a detail of it.
                let none = |hit: &NativeStack| hit.function.is_none() || right(hit);
                let (share, hits) = share(&mut script, tid, none);
                assert!(share >= 0.9, "{interpreter:?}: {work}: {share:.2}\n{}", told(&hits));
                continue;
            }
            let (share, hits) = share(&mut script, tid, right);
            println!("{:?}: {:.2} of {} are {names:?}", interpreter.version, share, hits.len());
            assert!(share >= 0.9, "{interpreter:?}: {work}: {share:.2}\n{}", told(&hits));
            if work.contains("gc.collect") && has_symbols {
                assert!(hits.iter().filter(|hit| right(hit)).all(|hit| hit.collecting));
            }
            pauses.extend(hits.iter().map(|hit| hit.pause).filter(|pause| !pause.is_zero()));
        }
        pauses.sort();
        let at = |share: usize| pauses[pauses.len() * share / 100];
        println!("{:?}: stopped for p50 {:?}, p90 {:?}, of {}", interpreter.version, at(50), at(90), pauses.len());
    }
}

/// Until the first name is seen: the data that the program works on is made.
fn await_work(script: &mut Script, tid: Pid) {
    assert_eq!(script.line(), "works");
    shots(script, tid, 1);
}

#[test]
fn python_code_has_no_native_name() {
    for interpreter in supported() {
        let (mut script, tid) = start(interpreter, "say('works')\nwhile True: pass");
        await_work(&mut script, tid);
        let (share, hits) = share(&mut script, tid, |hit| hit.function.is_none());
        assert!(share >= 0.9, "{interpreter:?}: {share:.2}\n{}", told(&hits));
    }
}

#[test]
fn a_collection_that_nobody_asked_for_is_told() {
    let work = "import gc
keep = [[n] for n in range(300_000)]
gc.set_threshold(50, 1, 1)
say('works')
while True: made = [[] for _ in range(100)]";
    for interpreter in supported() {
        let (mut script, tid) = start(interpreter, work);
        await_work(&mut script, tid);
        if !has_symbols(script.pid()) {
            continue;
        }
        let (began, mut seen) = (Instant::now(), false);
        while !seen {
            let hits = shots(&mut script, tid, SHOTS);
            seen = hits.iter().any(|hit| hit.collecting && hit.function.as_deref() == Some("gc_collect_main"));
            assert!(began.elapsed() < LONG, "{interpreter:?}\n{}", told(&hits));
        }
    }
}
