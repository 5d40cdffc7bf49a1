//! Calling a reader with bytes that nobody wrote on purpose: for the tests of every crate that reads what another process or a
//! file says.
//!
//! A target is a test: it replays what is kept of it in `tests/corpus/TARGET/` of its crate, then some thousand mutations of its
//! seeds and of that. `make fuzz` runs the same for as long as it is told: `PLAIT_FUZZ_SECONDS`, begun with
//! `PLAIT_FUZZ_SEED`. An input that makes a reader panic is kept in that folder before the test fails, so every later run replays it.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Record, Recording, Sink, Writer};

/// Mutations that a test reads; a few hundred milliseconds for most readers. Miri takes a thousand times as long.
const RUNS: u64 = if cfg!(miri) { 40 } else { 4000 };
/// No input is longer.
const LONGEST: usize = 1 << 16;
/// In a long run: a reader that is at one input for longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `reader` with what is kept for `target` in the crate at `home` (`CARGO_MANIFEST_DIR`), and with mutations of that and of
/// `seeds`, which are valid records. What `reader` promises beyond not to panic it asserts itself.
///
/// # Panics
/// When `reader` does; the input is in a file then, which the panic names.
pub fn fuzz(target: &str, home: &str, seeds: &[Vec<u8>], reader: impl Fn(&[u8])) {
    let folder = Path::new(home).join("tests/corpus").join(target);
    let mut seeds: Vec<Vec<u8>> = seeds.to_vec();
    for kept in kept(&folder) {
        let input = fs::read(&kept).unwrap_or_else(|error| panic!("cannot read {}: {error}", kept.display()));
        check(&folder, &input, &reader);
        seeds.push(input);
    }
    seeds.iter().for_each(|seed| check(&folder, seed, &reader));
    let seconds = number("PLAIT_FUZZ_SECONDS");
    let seed = number("PLAIT_FUZZ_SEED").unwrap_or(1);
    let (mut random, mut input) = (Random(seed), Vec::new());
    let begun = Instant::now();
    let watch = seconds.map(|_| Watch::new(&folder));
    let mut runs = 0_u64;
    let goes_on = |runs: u64| match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => runs < RUNS,
    };
    while goes_on(runs) {
        mutate(&mut input, &seeds, &mut random);
        watch.iter().for_each(|watch| watch.note(&input));
        check(&folder, &input, &reader);
        runs += 1;
    }
    println!("fuzz {target}: {runs} inputs of {} seeds, begun with {seed}", seeds.len());
}

/// A trace whose one block has these contents and a check that holds, so that a reader gets to see them.
pub fn trace_of(contents: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    Writer::new(&mut file).expect("memory takes all").put_contents(contents).expect("memory takes all");
    file
}

/// The records of a recording as the contents of a block.
pub fn contents_of(recording: &Recording) -> Vec<u8> {
    struct Contents(Vec<u8>);
    impl Sink for Contents {
        fn take(&mut self, record: &Record) -> io::Result<()> {
            self.0 = postcard::to_extend(record, std::mem::take(&mut self.0)).map_err(io::Error::other)?;
            Ok(())
        }
    }
    let mut contents = Contents(Vec::new());
    recording.replay(&mut contents).expect("memory takes all");
    contents.0
}

/// The files of a corpus, in a fixed order; none under Miri, which has no folders.
fn kept(folder: &Path) -> Vec<PathBuf> {
    if cfg!(miri) {
        return Vec::new();
    }
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn check(folder: &Path, input: &[u8], reader: &impl Fn(&[u8])) {
    if cfg!(miri) {
        return reader(input);
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| reader(input))) {
        eprintln!("the input that made it panic is kept in {}", keep(folder, "panic", input).display());
        resume_unwind(panic);
    }
}

/// Writes an input down under a name of its own.
fn keep(folder: &Path, why: &str, input: &[u8]) -> PathBuf {
    let file = folder.join(format!("{why}-{:08x}", crc32fast::hash(input)));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, input));
    written.unwrap_or_else(|error| panic!("cannot keep the input in {}: {error}", file.display()));
    file
}

/// Ends a run whose reader does not come back, which no panic tells of.
struct Watch {
    input: Arc<Mutex<Vec<u8>>>,
    count: Arc<AtomicU64>,
}

impl Watch {
    fn new(folder: &Path) -> Self {
        let (input, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let watched = (Arc::clone(&input), Arc::clone(&count), folder.to_owned());
        thread::spawn(move || {
            let (input, count, folder) = watched;
            loop {
                let before = count.load(Ordering::Relaxed);
                thread::sleep(PATIENCE);
                // Of a run that has ended this thread is the only one left with the count.
                if Arc::strong_count(&count) == 1 {
                    return;
                }
                if count.load(Ordering::Relaxed) == before
                    && let Ok(input) = input.lock()
                {
                    eprintln!("it hangs with the input kept in {}", keep(&folder, "hang", &input).display());
                    std::process::abort();
                }
            }
        });
        Self { input, count }
    }

    fn note(&self, input: &[u8]) {
        if let Ok(mut noted) = self.input.lock() {
            noted.clear();
            noted.extend_from_slice(input);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A small generator (splitmix64): the same numbers for the same seed, on every machine.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.draw() % end as u64) as usize }
    }
}

/// Numbers at which lengths, offsets and counts go wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    7,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

/// The same in text.
const WORDS: [&str; 8] =
    ["-1", "0", "18446744073709551615", "18446744073709551616", "1e308", "max", "ffffffffffffffff", "\u{fffd}\0 \n"];

/// Makes `input` one of the seeds with a few changes, or noise.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    input.clear();
    match seeds.get(random.below(seeds.len() + 1)) {
        Some(seed) => input.extend_from_slice(seed),
        None => {
            let len = random.below(200);
            input.extend((0..len).map(|_| random.draw() as u8));
        }
    }
    for _ in 0..=random.below(6) {
        change(input, seeds, random);
    }
    input.truncate(LONGEST);
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len());
    let span = at..(at + random.below(33)).min(input.len());
    let number = match random.below(3) {
        0 => input.len() as u64,
        _ => NUMBERS[random.below(NUMBERS.len())],
    };
    match random.below(12) {
        0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.draw() as u8),
        2 => overwrite(input, at, &number.to_le_bytes()[..[1, 2, 4, 8][random.below(4)]]),
        // Where words mostly stand.
        3 => overwrite(input, at / 8 * 8, &number.to_le_bytes()),
        4 => overwrite(input, at / 4 * 4, &(number as u32).wrapping_add(random.below(3) as u32).to_le_bytes()),
        5 => input.truncate(at),
        6 => drop(input.drain(span)),
        7 => {
            let copy: Vec<u8> = input[span].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        8 => {
            let fill = [0, 0xff, random.draw() as u8][random.below(3)];
            input[span].fill(fill);
        }
        9 => {
            let other: &[u8] = seeds.get(random.below(seeds.len())).map_or(&[], |seed| seed);
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        10 => {
            let half = input.len() / 2;
            input.rotate_left(half);
        }
        _ => {
            let word = WORDS[random.below(WORDS.len())];
            let end = input[at..].iter().position(|byte| !byte.is_ascii_alphanumeric()).map_or(input.len(), |n| at + n);
            input.splice(at..end, word.bytes());
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    input.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_reader_that_trusts_a_length_is_caught_and_its_input_kept() {
        let home = std::env::temp_dir().join(format!("plait-fuzz-{}", std::process::id()));
        let trusting = |bytes: &[u8]| {
            if let [length, rest @ ..] = bytes {
                assert!(usize::from(*length) <= rest.len(), "it reads beyond the end");
            }
        };
        let caught = catch_unwind(|| fuzz("trusting", home.to_str().unwrap(), &[vec![2, 0, 0]], trusting));
        let files = kept(&home.join("tests/corpus/trusting"));
        assert!(caught.is_err() && files.len() == 1);
        let again = catch_unwind(|| fuzz("trusting", home.to_str().unwrap(), &[], trusting));
        assert!(again.is_err(), "what is kept is replayed");
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let inputs = || {
            let (mut random, mut input, mut all) = (Random(7), Vec::new(), Vec::new());
            for _ in 0..500 {
                mutate(&mut input, &[b"length 4".to_vec(), vec![]], &mut random);
                all.push(input.clone());
            }
            all
        };
        assert_eq!(inputs(), inputs());
        assert!(inputs().iter().any(|input| input.len() > 8) && inputs().iter().any(Vec::is_empty));
    }
}
