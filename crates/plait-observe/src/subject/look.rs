//! One look at a GIL and its holder, or at which threads of a free-threaded Python are attached.

use super::offsets::{Head, LONGEST_HEAD};
use super::runtime::GilWords;
use super::{GilLook, Spot, Subject, tells_its_thread};
use crate::memory::{MOST_PARTS, Part};
use crate::{Gil, Pid, Reason};

/// What a look reads at most: the GIL, a thread state, whether garbage is collected, the frame's address, its instruction.
const MOST_BYTES: usize = GilWords::BYTES + LONGEST_HEAD + 4 + 8 + 8;
/// A thread is attached to its interpreter, and so may run Python code.
const ATTACHED: i32 = 1;

/// Where things of a thread state were at the last look at it, and probably still are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guess {
    state: u64,
    interpreter: u64,
    /// What the thread state points to: a frame, or in 3.11 and 3.12 what points to a frame.
    link: u64,
    frame: u64,
}

/// What one call read: the words of a GIL and, as far as it could be read, what a [`Guess`] led to.
struct Sight {
    words: GilWords,
    head: Option<Head>,
    collecting: Option<i32>,
    /// What the guess's link points to, where there is one.
    frame: Option<u64>,
    instruction: Option<u64>,
}

impl Subject {
    /// What `gil` says now, and what its holder does.
    ///
    /// # Errors
    /// [`Reason::Gone`] once the process ended or runs another program; [`Reason::NotReady`] while it is torn down;
    /// [`Reason::Unrecognised`] when there is no such GIL (any more).
    pub fn look(&self, gil: Gil) -> Result<GilLook, Reason> {
        let place = self.gils.iter().position(|info| info.gil == gil).ok_or_else(|| self.runtime.no_gil())?;
        let last = &self.holders[place];
        let mut guess = self.guess(last.get());
        let mut sight = self.sight(gil, guess)?;
        if sight.words.last_holder != guess.state {
            guess = self.guess(sight.words.last_holder);
            sight = self.sight(gil, guess)?;
        }
        let words = sight.words;
        if !words.are_sound() {
            return Err(if words.are_unmade() { self.runtime.not_ready() } else { self.runtime.no_gil() });
        }
        let state = words.last_holder;
        last.set(state);
        let nobody = GilLook {
            held: words.locked == 1,
            holder: None,
            state,
            switches: words.switches,
            spot: None,
            collecting: false,
        };
        if state == 0 {
            return Ok(nobody);
        }
        if state != guess.state {
            // It changed hands once more between the two calls.
            guess = self.guess(state);
            sight = Sight { words, head: None, collecting: None, frame: None, instruction: None };
        }
        self.of_holder(guess, &sight, nobody)
    }

    fn guess(&self, state: u64) -> Guess {
        self.guesses.borrow().get(&state).copied().unwrap_or(Guess { state, ..Guess::default() })
    }

    /// Adds to `look` what its holder does: what the guess found, where it was right, and else what is found by and by.
    fn of_holder(&self, guess: Guess, sight: &Sight, look: GilLook) -> Result<GilLook, Reason> {
        let head = match sight.head.map_or_else(|| self.runtime.head(look.state), Ok) {
            Ok(head) => head,
            Err(gone @ Reason::Gone { .. }) => return Err(gone),
            // The state of a thread that ended may be gone, too.
            Err(_) => return Ok(look),
        };
        let Some(interpreter) = self.interpreter(head.interpreter) else {
            return Ok(look);
        };
        let memory = &self.runtime.memory;
        let offsets = &self.runtime.offsets;
        let collecting = match sight.collecting {
            Some(collecting) if guess.interpreter == head.interpreter => collecting,
            _ => memory.i32(head.interpreter.wrapping_add(offsets.interp_collecting)).unwrap_or(0),
        };
        let mut seen = Guess { state: look.state, interpreter: head.interpreter, link: head.frame, frame: guess.frame };
        let spot = if look.held { self.spot(guess, sight, &mut seen) } else { None };
        self.guesses.borrow_mut().insert(look.state, seen);
        let holder = if tells_its_thread(self.python(), interpreter) {
            self.numbers.outer(head.native_id)
        } else {
            let known = self.threads.iter().zip(&self.states);
            known
                .filter(|(_, state)| state.address == look.state && state.native_id == head.native_id)
                .map(|(thread, _)| thread.tid)
                .next()
        };
        Ok(GilLook { holder, spot, collecting: collecting == 1, ..look })
    }

    fn spot(&self, guess: Guess, sight: &Sight, seen: &mut Guess) -> Option<Spot> {
        let offsets = &self.runtime.offsets;
        if seen.link == 0 {
            return None;
        }
        let frame = match (offsets.cframe_frame, sight.frame) {
            (None, _) => seen.link,
            (Some(_), Some(frame)) if guess.link == seen.link => frame,
            (Some(offset), _) => self.runtime.pointed(seen.link, offset).ok()?,
        };
        if frame == 0 {
            return None;
        }
        seen.frame = frame;
        let instruction = match sight.instruction {
            Some(instruction) if guess.frame == frame => instruction,
            _ => self.runtime.pointed(frame, offsets.frame_instruction).ok()?,
        };
        Some(Spot { frame, instruction })
    }

    /// Reads the words of `gil` and all that `guess` leads to in one go.
    fn sight(&self, gil: Gil, guess: Guess) -> Result<Sight, Reason> {
        let offsets = &self.runtime.offsets;
        let head = offsets.head_length();
        let mut parts: [Part; 5] = [(0, 0); 5];
        let mut count = 0;
        let mut add = |address: u64, len: usize, is_known: bool| {
            if is_known {
                parts[count] = (address, len);
                count += 1;
            }
            is_known
        };
        // Each is there only if the one before is, for the bytes come without a gap.
        let _ = add(gil.address, GilWords::BYTES, true)
            && add(guess.state, head, guess.state != 0)
            && add(guess.interpreter.wrapping_add(offsets.interp_collecting), 4, guess.interpreter != 0)
            && offsets.cframe_frame.is_none_or(|offset| add(guess.link.wrapping_add(offset), 8, guess.link != 0))
            && add(guess.frame.wrapping_add(offsets.frame_instruction), 8, guess.frame != 0);
        let mut bytes = [0; MOST_BYTES];
        let wanted = parts[..count].iter().map(|part| part.1).sum();
        let arrived =
            self.runtime.memory.scattered(&parts[..count], &mut bytes[..wanted]).map_err(|reason| match reason {
                Reason::Unreadable { .. } => self.runtime.no_gil(),
                other => other,
            })?;
        let mut rest = bytes.get(..arrived).unwrap_or_default();
        let mut take = |len: usize| rest.split_off(..len);
        let words = take(GilWords::BYTES).and_then(|bytes| bytes.try_into().ok()).map(GilWords::parse);
        let words = words.ok_or_else(|| self.runtime.no_gil())?;
        let head = take(head).and_then(|bytes| offsets.head(bytes));
        let collecting = take(4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        let mut word = || take(8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
        let frame = if offsets.cframe_frame.is_some() { word() } else { None };
        Ok(Sight { words, head, collecting, frame, instruction: word() })
    }

    /// Of a free-threaded Python, the threads that are attached now; of others, none.
    ///
    /// # Errors
    /// [`Reason::Gone`] once the process ended or runs another program.
    pub fn attached(&self) -> Result<Vec<Pid>, Reason> {
        let mut found = Vec::new();
        if !self.is_free_threaded() {
            return Ok(found);
        }
        let length = self.runtime.offsets.head_length();
        let mut bytes = vec![0; length * MOST_PARTS];
        let mut next = 0;
        while next < self.states.len() {
            let group = &self.states[next..self.states.len().min(next + MOST_PARTS)];
            let parts: Vec<Part> = group.iter().map(|state| (state.address, length)).collect();
            let arrived = match self.runtime.memory.scattered(&parts, &mut bytes[..length * parts.len()]) {
                Ok(arrived) => arrived / length,
                Err(Reason::Unreadable { .. }) => 0,
                Err(reason) => return Err(reason),
            };
            for (number, bytes) in bytes.chunks_exact(length).take(arrived).enumerate() {
                let (state, thread) = (&self.states[next + number], &self.threads[next + number]);
                let is_still = |head: &Head| (head.interpreter, head.native_id) == (state.interpreter, state.native_id);
                if let Some(head) = self.runtime.offsets.head(bytes).filter(is_still)
                    && head.attached == ATTACHED
                {
                    found.push(thread.tid);
                }
            }
            // One that cannot be read ended since they were listed.
            next += arrived.max(1);
            if arrived > 0 && arrived < parts.len() {
                next += 1;
            }
        }
        Ok(found)
    }
}
