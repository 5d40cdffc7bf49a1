//! Who is killed when, and how often: by the seed and the number that `make torture` gives, or a fixed seed and few.
//!
//! The seed draws who is killed and how long after what; where exactly the kill strikes is the machine's own.

fn ordered(name: &str) -> Option<u64> {
    let ordered = std::env::var(name).ok()?;
    Some(ordered.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {ordered:?}")))
}

/// How many are killed: as ordered, or `few`.
#[allow(dead_code, reason = "not every test kills")]
pub fn kills(few: usize) -> usize {
    ordered("PLAIT_TORTURE_KILLS").map_or(few, |kills| kills as usize)
}

/// In a child: ends the process when the test that started it has ended, however that ended.
pub fn end_with_parent() {
    let parent = std::os::unix::process::parent_id();
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        std::process::exit(1);
    });
}

/// The numbers of one run.
pub struct Dice(u64);

impl Dice {
    /// Those that follow from a number.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Those of a test, which has a seed of its own beside the one that was ordered.
    #[allow(dead_code, reason = "as above")]
    pub fn of_test(own: u64) -> Self {
        Self::new(ordered("PLAIT_TORTURE_SEED").unwrap_or(0).rotate_left(32) ^ own)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Lets so many turns of a loop pass at most.
    #[allow(dead_code, reason = "as above")]
    pub fn linger(&mut self, turns: u64) {
        for _ in 0..self.roll(turns) {
            std::hint::spin_loop();
        }
    }
}
