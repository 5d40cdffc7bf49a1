//! Notes on their way to those who hear them.

use super::super::link::testing::link;
use super::*;
use std::sync::mpsc;

fn note(link: &Arc<Link>, byte: u8) -> Note {
    Note { link: Arc::clone(link), kind: LOG, bytes: Box::new([byte]) }
}

#[test]
fn notes_are_heard_once_and_in_order() {
    let (link, ..) = link();
    let unheard = Unheard::default();
    unheard.push(vec![note(&link, 1), note(&link, 2)]);
    unheard.push(vec![note(&link, 3)]);
    assert!(unheard.is_any() && unheard.is_waiting());
    let mut heard = Vec::new();
    unheard.handle(PATIENCE, |batch| heard.extend(batch.iter().map(|note| note.bytes[0])));
    unheard.handle(PATIENCE, |_| unreachable!("all were heard"));
    assert_eq!(heard, [1, 2, 3]);
    assert!(!unheard.is_any());
}

#[test]
fn who_comes_while_another_is_at_the_notes_waits_until_they_are_heard() {
    let (link, ..) = link();
    let unheard = &Unheard::default();
    unheard.push(vec![note(&link, 1)]);
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            unheard.handle(PATIENCE, |_| {
                begin.send(()).unwrap();
                ended.recv().unwrap();
                // From within, it is as if there were none.
                unheard.handle(Duration::ZERO, |_| unreachable!("handled by this very thread"));
            });
        });
        begun.recv().unwrap();
        assert!(unheard.is_any() && !unheard.is_waiting());
        unheard.handle(Duration::ZERO, |_| unreachable!("out of patience"));
        assert!(unheard.is_any());
        end.send(()).unwrap();
        unheard.handle(Duration::MAX, |_| unreachable!("the other thread heard it"));
        assert!(!unheard.is_any());
    });
}

#[test]
fn a_handler_that_panics_leaves_the_notes_to_others() {
    let (link, ..) = link();
    let unheard = Unheard::default();
    unheard.push(vec![note(&link, 1)]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        unheard.handle(PATIENCE, |_| panic!("the binding's bug"));
    }));
    assert!(panicked.is_err() && !unheard.is_any());
    unheard.push(vec![note(&link, 2)]);
    let mut heard = 0;
    unheard.handle(Duration::ZERO, |batch| heard += batch.len());
    assert_eq!(heard, 1);
}

#[test]
fn what_is_no_note_is_found_out() {
    let (link, mut stream, worker) = link();
    let (_orders, mut writer) = worker.side().unwrap();
    writer.write(&[&[LOG], b"record"]).unwrap();
    let (mut notes, mut room) = (Vec::new(), AHEAD);
    assert_eq!(read(&link, &mut stream, &mut notes, &mut room), Look::Empty);
    assert_eq!((notes[0].kind, &*notes[0].bytes), (LOG, &b"record"[..]));
    writer.write(&[b""]).unwrap();
    assert_eq!(read(&link, &mut stream, &mut notes, &mut room), Look::Garbled);
}

#[test]
fn what_there_is_no_room_for_stays_with_the_worker() {
    let (link, mut stream, worker) = link();
    let (_orders, mut writer) = worker.side().unwrap();
    let unheard = Unheard::default();
    let mut look = || {
        let (mut notes, mut room) = (Vec::new(), unheard.room());
        let look = read(&link, &mut stream, &mut notes, &mut room);
        unheard.push(notes);
        look
    };
    let record = [LOG; 300 << 10];
    let mut written = 0;
    while unheard.room() > 0 {
        writer.write(&[&record]).unwrap();
        written += 1;
        assert_eq!(look(), Look::Empty);
    }
    writer.write(&[&record]).unwrap();
    assert_eq!(look(), Look::Full);
    let mut heard = 0;
    assert!(unheard.handle(PATIENCE, |batch| heard += batch.len()));
    assert_eq!((heard, unheard.room()), (written, AHEAD));
    assert_eq!(look(), Look::Empty);
    assert!(unheard.is_waiting());
}

#[test]
fn others_are_handled_while_a_record_is_being_heard() {
    let (link, ..) = link();
    let unheard = Unheard::default();
    unheard.push(vec![note(&link, 1)]);
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    assert!(unheard.handle(PATIENCE, |batch| {
        outer.extend(batch.iter().map(|note| (note.kind, note.bytes[0])));
        if outer.len() == 1 {
            unheard.push(vec![note(&link, 2), Note { kind: LOG + 1, ..note(&link, 3) }]);
            // The record that came with it has to wait for the one that is being heard.
            assert!(!unheard.handle(PATIENCE, |batch| inner.extend(batch.iter().map(|note| note.bytes[0]))));
        }
    }));
    assert_eq!((outer, inner), (vec![(LOG, 1), (LOG, 2)], vec![3]));
    assert!(!unheard.is_any());
}
