//! Reading replies: whichever thread comes by reads them for all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plait_engine::pool::Outcome;
use plait_engine::wire::Block;
use plait_engine::wire::Place;
use plait_engine::wire::inner::{Refusal, Reply, note, release};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

use super::{Own, Stand, locked};
use crate::errors;
use crate::future::{FutureCore, Held, Phase, tell};

/// With so many bytes read at once the parent may have found no room for more, and waits to hear that there is some.
const MUCH: usize = 256 << 10;

/// What is to be done about replies once no lock is held.
#[derive(Default)]
struct News {
    /// Futures that have ended and that somebody wants to hear of.
    ended: Vec<Arc<FutureCore>>,
    refused: Vec<(Arc<FutureCore>, Refusal, String)>,
    releases: Vec<Block>,
}

impl Own {
    /// Reads the replies that are there, and tells those who wait for them.
    pub(super) fn read_mail(&self, py: Python<'_>) {
        if !self.desk.has_replies() {
            return;
        }
        let mut news = News::default();
        // Garbled memory is the parent's end, of which this process hears otherwise.
        let bytes = self.desk.replies(|reply| self.take(reply, &mut news)).unwrap_or(0);
        self.pay(news.releases, bytes > MUCH);
        for (core, why, text) in news.refused {
            let error = match why {
                Refusal::Closed => PyRuntimeError::new_err(text),
                Refusal::Broken => errors::broken_pool(py, &text),
                Refusal::Memory => PyMemoryError::new_err(text),
            };
            let held = Held::Error(error.into_value(py).into_any());
            if core.transition(&[Phase::Pending], Phase::Finished, held) == Some(true) {
                news.ended.push(core);
            }
        }
        self.desk.nudge();
        for core in news.ended {
            tell(py, &core);
        }
    }

    fn take(&self, reply: &[u8], news: &mut News) {
        let Ok((inner, reply)) = Reply::decode(reply) else { return };
        if reply == Reply::Synced {
            self.synced.fetch_max(inner, Ordering::Release);
            return;
        }
        let mut all = locked(&self.sent);
        let stand = match reply {
            Reply::Yours => Some(Stand::Ours),
            Reply::Begun => Some(Stand::Begun),
            _ => None,
        };
        if let Some(stand) = stand {
            if let Some(sent) = all.get_mut(&inner) {
                sent.stand = stand;
            }
            return;
        }
        let core = all.remove(&inner).map(|sent| sent.core);
        drop(all);
        let (next, held) = match reply {
            Reply::Answer { verdict, kind, place, inline } => {
                let received = match place {
                    Place::Inline => self.desk.received(kind, inline),
                    Place::Arena(block) => {
                        news.releases.push(block);
                        let Ok(bytes) = self.desk.lent(block) else { return };
                        self.desk.received(kind, &bytes)
                    }
                };
                let Ok(payload) = received else { return };
                (Phase::Finished, Held::Told(Outcome::Called { verdict, payload, nanos: 0 }))
            }
            Reply::Refused(why, text) => {
                news.refused.extend(core.map(|core| (core, why, text.to_owned())));
                return;
            }
            _ => (Phase::Notified, Held::Nothing),
        };
        if let Some(core) = core
            && core.transition(&[Phase::Pending], next, held) == Some(true)
        {
            news.ended.push(core);
        }
    }

    /// Tells the parent what it is owed, as far as there is room.
    fn pay(&self, releases: Vec<Block>, room: bool) {
        let mut owed = locked(&self.owed);
        owed.releases.extend(releases);
        owed.room |= room;
        while let Some(&block) = owed.releases.last() {
            if self.desk.note(note::RELEASE, &[&release(block)]).is_err() {
                return;
            }
            owed.releases.pop();
        }
        if owed.room && self.desk.note(note::ROOM, &[&[0; 8]]).is_ok() {
            owed.room = false;
        }
    }
}
