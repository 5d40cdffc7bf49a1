//! Whose debugger has the terminal. Pure: no clock, no I/O.
//!
//! Promises: one has it at a time; those that wait get it in the order they asked; one that goes on by a step has it again at
//! once if it comes back soon, so that two debuggers do not take turns step by step; and one that does not come back, say because
//! it steps over a wait for one that stands in the line, keeps nobody waiting for longer than [`KEPT`].

use std::collections::VecDeque;
use std::time::Duration;

/// How long the terminal is kept for one that has left its prompt and may be back.
pub const KEPT: Duration = Duration::from_secs(1);

/// The line for the terminal.
#[derive(Debug, Default)]
pub struct Turns {
    /// Those that ask, first come first.
    line: VecDeque<u64>,
    /// Who had it last, and since when it has been without a prompt; `None`: it is at its prompt.
    holder: Option<(u64, Option<Duration>)>,
}

impl Turns {
    /// Somebody asks for a prompt.
    pub fn on_ask(&mut self, who: u64) {
        self.line.push_back(who);
    }

    /// The prompt of who has the terminal is over.
    pub fn on_done(&mut self, who: u64, now: Duration) {
        if let Some((holder, since @ None)) = &mut self.holder
            && *holder == who
        {
            *since = Some(now);
        }
    }

    /// Somebody has gone.
    pub fn on_gone(&mut self, who: u64) {
        self.line.retain(|&other| other != who);
        self.holder = self.holder.filter(|&(holder, _)| holder != who);
    }

    /// Who is at its prompt.
    pub fn at_prompt(&self) -> Option<u64> {
        self.holder.and_then(|(who, since)| since.is_none().then_some(who))
    }

    /// Who gets the terminal now, if anybody does. Until it is done or gone, nobody else does.
    #[must_use = "who has the terminal is to be told"]
    pub fn next(&mut self, now: Duration) -> Option<u64> {
        let at = match self.holder {
            Some((_, None)) => return None,
            Some((who, Some(since))) => match self.line.iter().position(|&other| other == who) {
                None if now < since + KEPT => return None,
                None => 0,
                Some(back) => back,
            },
            None => 0,
        };
        let who = self.line.remove(at)?;
        self.holder = Some((who, None));
        Some(who)
    }

    /// When to ask again, if nothing happens before.
    pub fn due(&self) -> Option<Duration> {
        let (_, since) = self.holder?;
        since.filter(|_| !self.line.is_empty()).map(|since| since + KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn those_that_ask_get_it_one_after_the_other() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(T(0)), None);
        for who in [1, 2, 3] {
            turns.on_ask(who);
        }
        assert_eq!(turns.next(T(0)), Some(1));
        assert_eq!((turns.next(T(9999)), turns.at_prompt(), turns.due()), (None, Some(1), None));
        turns.on_gone(2);
        turns.on_gone(1);
        assert_eq!((turns.at_prompt(), turns.next(T(0))), (None, Some(3)));
        turns.on_gone(3);
        assert_eq!((turns.next(T(0)), turns.due()), (None, None));
    }

    #[test]
    fn one_that_steps_has_it_again_before_those_that_wait() {
        let mut turns = Turns::default();
        turns.on_ask(1);
        turns.on_ask(2);
        assert_eq!(turns.next(T(0)), Some(1));
        turns.on_done(1, T(5000));
        assert_eq!((turns.next(T(5999)), turns.due()), (None, Some(T(6000))));
        turns.on_ask(1);
        assert_eq!(turns.next(T(5999)), Some(1));
        // A word of one that has not got it changes nothing.
        turns.on_done(2, T(6000));
        assert_eq!(turns.at_prompt(), Some(1));
    }

    #[test]
    fn one_that_does_not_come_back_keeps_nobody_waiting() {
        let mut turns = Turns::default();
        turns.on_ask(1);
        assert_eq!(turns.next(T(0)), Some(1));
        turns.on_done(1, T(10));
        assert_eq!((turns.next(T(2000)), turns.due()), (None, None));
        turns.on_ask(2);
        assert_eq!(turns.next(T(2000)), Some(2));
        turns.on_ask(1);
        turns.on_done(2, T(2100));
        assert_eq!((turns.next(T(3000)), turns.next(T(3100))), (None, Some(1)));
    }
}
