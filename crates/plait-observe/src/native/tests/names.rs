//! The right names for what programs are known to do.

use super::*;
use crate::native::image::Image;
use crate::native::maps;

/// So many shots are looked at, and one in ten may be of something else: the program also frees what it made.
const SHOTS: usize = 30;
/// Where nothing may be named.
pub(super) const NO_NAME: &str = "";

/// Something that a program makes and then does over and over, and what that is called in C and, for builds without symbols,
/// in Python.
struct Case {
    make: &'static str,
    work: &'static str,
    c: &'static [&'static str],
    python: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        make: r"text = json.dumps('\u00e9' * 1_000_000)",
        work: "json.loads(text)",
        c: &["scanner_call"],
        python: &["_json.Scanner.__call__"],
    },
    Case {
        make: "data = [[n, [1.5, 'x', None]] for n in range(100_000)]",
        work: "json.dumps(data)",
        c: &["encoder_call"],
        python: &["_json.Encoder.__call__"],
    },
    Case {
        make: "text = 'abc def ' * 200_000",
        work: "re.findall('(a|b)+x', text)",
        c: &["_sre_SRE_Pattern_findall"],
        python: &["re.Pattern.findall"],
    },
    Case {
        make: "data = [[n, [1.5, 'x', None]] for n in range(30_000)]",
        work: "pickle.dumps(data)",
        c: &["_pickle_dumps"],
        python: &["_pickle.dumps"],
    },
    Case {
        make: "data = [random.random() for _ in range(200_000)]",
        work: "sorted(data)",
        c: &["builtin_sorted"],
        python: &["builtins.sorted"],
    },
    // By a function that only some versions export; where nothing tells its name, none is told.
    Case {
        make: "n = 3 ** 200_000",
        work: "n * n",
        c: &["_PyLong_Multiply", "long_mul"],
        python: &["_PyLong_Multiply", "int.__mul__", NO_NAME],
    },
    Case {
        make: "csv.field_size_limit(1 << 30); lines = ['a' * 10_000_000]",
        work: "list(csv.reader(lines))",
        c: &["Reader_iternext"],
        python: &["_csv.reader.__next__"],
    },
    Case {
        make: "decimal.getcontext().prec = 20_000; a = decimal.Decimal(2).sqrt(); b = decimal.Decimal(3).sqrt()",
        work: "a / b",
        c: &["nm_mpd_qdiv"],
        python: &["decimal.Decimal.__truediv__"],
    },
    // Lets the GIL go.
    Case {
        make: "data = os.urandom(1 << 22)",
        work: "zlib.compress(data)",
        c: &["zlib_compress"],
        python: &["zlib.compress", "deflate"],
    },
    // Keeps it, and sleeps: by `usleep`, which calls what sleeps.
    Case { make: "usleep = ctypes.PyDLL(None).usleep", work: "usleep(50_000)", c: &["usleep"], python: &["usleep"] },
    Case {
        make: "data = [[n] for n in range(300_000)]",
        work: "gc.collect()",
        c: &["gc_collect_main"],
        python: &["gc.collect"],
    },
];

/// A program that does all of these, one after the other, the next one when it is told to.
fn program() -> String {
    let mut program = "import csv, decimal, gc, json, pickle, random, re, select, zlib; gc.disable()
def more(): return not select.select([sys.stdin], [], [], 0)[0]
"
    .to_owned();
    for Case { make, work, .. } in CASES {
        program += &format!("{make}\nsay('works')\nwhile more(): {work}\nwait()\n");
    }
    program
}

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
        let (mut script, tid) = start(interpreter, &program());
        let has_symbols = has_symbols(script.pid());
        for Case { work, c, python, .. } in CASES {
            await_work(&mut script, tid);
            let names = if has_symbols { c } else { python };
            let right = |hit: &NativeStack| names.contains(&hit.function.as_deref().unwrap_or(NO_NAME));
            let (share, hits) = share(&mut script, tid, right);
            println!("{:?}: {:.2} of {} are {names:?}", interpreter.version, share, hits.len());
            assert!(share >= 0.9, "{interpreter:?}: {work}: {share:.2}\n{}", told(&hits));
            if c.contains(&"gc_collect_main") && has_symbols {
                assert!(hits.iter().filter(|hit| right(hit)).all(|hit| hit.collecting));
            }
            pauses.extend(hits.iter().map(|hit| hit.pause).filter(|pause| !pause.is_zero()));
            script.go_on();
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
gc.set_threshold(1000, 1, 1)
say('works')
while True: keep = [[n] for n in range(300_000)]";
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
