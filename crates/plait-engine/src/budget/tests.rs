//! Decisions over figures, and the sizes and texts that people see.

use proptest::prelude::*;

use super::*;
use crate::machine::Bound;

const MIB: u64 = 1 << 20;
const PLENTY: u64 = 1 << 50;

fn allowance(bytes: u64) -> Allowance {
    Allowance { bytes, why: Bound::Group("/sys/fs/cgroup/memory.max".into()) }
}

/// A budget of 100 bytes of 400, set or not.
fn budget(is_set: bool) -> Budget {
    Budget { limit: 100, is_set, allowance: allowance(400) }
}

fn kept(bytes: u64) -> Kept {
    Kept { bytes, objects: u64::from(bytes > 0) }
}

fn is_never(decision: Decision) -> bool {
    matches!(decision, Decision::Never(_))
}

#[test]
fn what_fits_goes_and_what_does_not_waits() {
    for budget in [budget(false), budget(true)] {
        let decide = |asked, in_flight, keeps| budget.decide(asked, in_flight, kept(keeps), PLENTY);
        assert_eq!(decide(100, 0, 0), Decision::Take);
        assert_eq!(decide(40, 40, 20), Decision::Take);
        assert_eq!(decide(41, 40, 20), Decision::Wait);
        assert_eq!(decide(1, 100, 0), Decision::Wait);
        assert_eq!(decide(0, 0, 0), Decision::Take);
    }
}

#[test]
fn what_is_larger_than_the_budget_goes_alone() {
    for budget in [budget(false), budget(true)] {
        let decide = |asked, in_flight, available| budget.decide(asked, in_flight, kept(0), available);
        assert_eq!(decide(5000, 0, PLENTY), Decision::Take);
        assert_eq!(decide(5000, 1, PLENTY), Decision::Wait);
        assert_eq!(decide(5000, 0, 5400), Decision::Take);
        assert!(is_never(decide(5000, 0, 5000)), "some stays free");
        assert_eq!(decide(5000, 1000, 5000), Decision::Wait, "what is in flight makes room");
        assert!(is_never(decide(5000, 100, 5000)), "not even that makes room");
    }
}

#[test]
fn what_the_machine_has_no_room_for_does_not_go_although_the_budget_has() {
    let decide = |asked, in_flight| budget(false).decide(asked, in_flight, kept(0), 32);
    assert_eq!(decide(30, 0), Decision::Take);
    assert!(is_never(decide(31, 0)));
    assert_eq!(decide(31, 1), Decision::Wait);
}

#[test]
fn a_budget_that_was_set_is_kept_to_by_what_the_program_keeps() {
    let decide = |asked, in_flight, keeps| budget(true).decide(asked, in_flight, kept(keeps), PLENTY);
    assert_eq!(decide(20, 0, 90), Decision::Take, "alone");
    assert_eq!(decide(20, 1, 90), Decision::Wait);
    assert_eq!(decide(20, 1, 100), Decision::Wait, "what is in flight may be kept, or not");
    assert_eq!(
        decide(20, 0, 100),
        Decision::Never(Never::Filled { asked: 20, limit: 100, kept: Kept { bytes: 100, objects: 1 } })
    );
}

#[test]
fn a_default_budget_always_leaves_something_to_what_is_in_flight() {
    let decide = |asked, in_flight, available| budget(false).decide(asked, in_flight, kept(7000), available);
    assert_eq!(decide(25, 0, PLENTY), Decision::Take);
    assert_eq!(decide(10, 15, PLENTY), Decision::Take);
    assert_eq!(decide(10, 16, PLENTY), Decision::Wait);
    assert_eq!(decide(300, 0, PLENTY), Decision::Take, "alone");
    assert_eq!(decide(5, 5, 20), Decision::Wait, "less than that if memory is short");
    assert!(is_never(decide(300, 0, 300)));
}

#[test]
fn the_program_can_keep_what_the_machine_has_room_for() {
    assert_eq!(budget(true).decide_kept(5000, kept(7000), PLENTY), Ok(()));
    assert_eq!(budget(true).decide_kept(30, kept(0), 32), Ok(()));
    let no_room = Never::NoRoom { asked: 31, available: 30, kept: kept(7), allowance: allowance(400) };
    assert_eq!(budget(true).decide_kept(31, kept(7), 32), Err(no_room));
}

#[test]
fn free_blocks_stay_while_there_is_room() {
    let keep = |used, available| budget(false).keep_warm(used, available);
    assert_eq!(keep(0, PLENTY), 50, "half of the budget");
    assert_eq!(keep(70, PLENTY), 30, "what is left of it");
    assert_eq!((keep(100, PLENTY), keep(5000, PLENTY)), (0, 0));
    assert_eq!((keep(0, 40), keep(0, 39)), (50, 0), "memory is short below a tenth");
    let unknown = Budget::new(Allowance { bytes: u64::MAX, why: Bound::Unknown }, None).unwrap();
    assert_eq!(unknown.keep_warm(0, u64::MAX), u64::MAX / 8);
}

#[test]
fn the_default_is_a_quarter() {
    let new = |text: &str| Budget::new(allowance(400 * MIB), Some(text.as_ref()));
    let default = Budget { limit: 100 * MIB, is_set: false, allowance: allowance(400 * MIB) };
    assert_eq!(Budget::new(allowance(400 * MIB), None), Ok(default.clone()));
    assert_eq!(new("  "), Ok(default));
    assert_eq!(new("2GiB").map(|budget| (budget.limit, budget.is_set)), Ok((2048 * MIB, true)), "more than there is");
    assert_eq!(Budget::new(allowance(3), None).unwrap().limit, 1);
    assert_eq!(
        new(" lots").unwrap_err().to_string(),
        "PLAIT_MEMORY_BUDGET must be a number of bytes or a text such as \"1.5GiB\", not \" lots\""
    );
}

#[test]
fn sizes_are_those_of_the_python_callers() {
    let sizes = [
        ("1", 1),
        ("4096b", 4096),
        ("500MB", 500_000_000),
        (" 500 mb ", 500_000_000),
        ("2GiB", 2 << 30),
        ("2 gib", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("1.9", 1),
        (".5k", 500),
        ("1e3", 1000),
        ("+3kB", 3000),
        ("1_000_000", 1_000_000),
        ("7T", 7_000_000_000_000),
        ("3TiB", 3 << 40),
        ("12\tM", 12_000_000),
    ];
    for (text, bytes) in sizes {
        assert_eq!(parse_size(text), Some(bytes), "{text:?}");
    }
    for text in [
        "",
        " ",
        "GiB",
        "0",
        "0.4",
        "-1",
        "-1GiB",
        "lots",
        "1.5.5",
        "1 000",
        "1_",
        "_1",
        "1__0",
        "1_.5",
        "nan",
        "inf",
        "infinity",
        "1e300",
        "9223372036854775808",
        "25%",
        "1GBit",
        "1bib",
        "1ib",
        "1kg",
        "0x10",
        "1 k b",
    ] {
        assert_eq!(parse_size(text), None, "{text:?}");
    }
}

#[test]
fn errors_name_the_figures_and_the_remedy() {
    let filled = Never::Filled { asked: 3 * MIB / 2, limit: 2048 * MIB, kept: Kept { bytes: 2051 * MIB, objects: 14 } };
    assert_eq!(
        filled.to_string(),
        "no memory for 1.5 MiB: the budget of 2.0 GiB is filled, the program itself keeps 2.0 GiB in 14 objects \
         (shared arrays, results); drop some of them, or raise PLAIT_MEMORY_BUDGET"
    );
    let no_room = |kept| Never::NoRoom { asked: 5 << 30, available: 3 << 30, kept, allowance: allowance(16 << 30) };
    assert_eq!(
        no_room(Kept::default()).to_string(),
        "no memory for 5.0 GiB: 3.0 GiB can be taken now, and this process may use 16.0 GiB (the limit is the control \
         group's /sys/fs/cgroup/memory.max); send the data in parts, or allow the process more memory"
    );
    assert_eq!(
        no_room(Kept { bytes: 10, objects: 1 }).to_string(),
        "no memory for 5.0 GiB: 3.0 GiB can be taken now, and this process may use 16.0 GiB (the limit is the control \
         group's /sys/fs/cgroup/memory.max), the program itself keeps 10 bytes in 1 object (a shared array or a result); \
         drop some of what it keeps, send the data in parts, or allow the process more memory"
    );
    let sizes =
        [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (MIB - 1, "1.0 MiB"), (1 << 50, "1024.0 TiB")];
    for (bytes, text) in sizes {
        assert_eq!(Size(bytes).to_string(), text);
    }
}

/// Figures around the ones that decide, and the largest there are.
fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..450_u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

proptest! {
    #[test]
    fn decisions_make_sense(
        asked in figure(), in_flight in figure(), keeps in figure(), available in figure(), is_set: bool,
    ) {
        let budget = budget(is_set);
        let decision = budget.decide(asked, in_flight, kept(keeps), available);
        if decision == Decision::Take {
            prop_assert!(asked <= available, "what is not there cannot be taken");
            prop_assert!(in_flight == 0 || in_flight + asked <= 100, "beyond the budget only alone");
            prop_assert!(!is_set || in_flight == 0 || in_flight + asked + keeps <= 100);
            let less = budget.decide(asked / 2, in_flight, kept(keeps), available);
            prop_assert_eq!(less, Decision::Take, "less goes too");
        }
        prop_assert!(decision != Decision::Wait || in_flight > 0, "somebody must end the waiting");
        prop_assert!(budget.keep_warm(keeps, available).saturating_add(keeps) <= 100.max(keeps));
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,20}", number in "[0-9_.eE+-]{0,8}", unit in "[ kmgtibKMGTIB\t]{0,4}") {
        parse_size(&text);
        if let Some(bytes) = parse_size(&format!("{number}{unit}")) {
            prop_assert!((1..1 << 63).contains(&bytes));
        }
    }
}
