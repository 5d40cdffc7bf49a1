//! Threads that do not have the GIL, and looks that saw less than all: a picture per rule. The signs of looks are explained at
//! [`super::stage::Script`], those of lanes are [`plait_trace::State::letter`].

use super::stage::check;

#[test]
fn two_threads_take_turns() {
    check(
        "gil: aaaaabbbbbaaaaabbbbb
           a: RRRRRwwwwwRRRRRwwwww
           b: wwwwwRRRRRwwwwwRRRRR",
        "  a: PPPPPwwwwwPPPPPwwwww
           b: wwwwwPPPPPwwwwwPPPPP
         gil: aaaaabbbbbaaaaabbbbb",
    );
}

#[test]
fn the_gil_is_handed_over_and_free_until_the_other_has_a_processor() {
    check(
        "gil: aaa...bbbbb
           a: RRRhhhhwwww
           b: wwwRRRRRRRR",
        "  a: PPPhhhhwwww
           b: wwwrrrPPPPP
         gil: aaa...bbbbb",
    );
}

#[test]
fn who_handed_the_gil_over_may_go_on_without_it() {
    check(
        "gil: aaa.bbbbbb
           a: RRRhhRRRRR
           b: wwwwRRRRRR",
        "  a: PPPhhnnnnn
           b: wwwwPPPPPP",
    );
}

#[test]
fn who_is_woken_to_ask_for_the_gil_still_waits() {
    check(
        "gil: aaaaaaaabbbbbbbcc
           a: RRRRRRRRwwwwwRwww
           b: wwwwRRvvRRRRRRRiR
           c: wwRwwRRwRwwRRRRRR",
        "  a: PPPPPPPPwwwwwwwww
           b: wwwwwwwwPPPPPPPin
           c: wwwwwwwwwwwwwwwPP
         gil: aaaaaaaabbbbbbbcc",
    );
}

#[test]
fn who_may_have_had_the_gil_since_it_waited_runs() {
    check(
        " gil: aaaaaaaaa
     switches: 000002000
            a: RRRRRRRRR
            b: wwwRRRRRR",
        "   a: PPPPPPPPP
            b: wwwwwnnnn",
    );
    // Who it is that has the GIL cannot be told, so it may be this one.
    check(
        "gil: !!!!!
           a: wwRRR",
        "  a: wwnnn
         gil: ?????",
    );
}

#[test]
fn nobody_knows_what_happened_while_nobody_looked() {
    check(
        "gil: aaaa     bbbb
         gap: ....~~~~~....
           a: RRRR     wwww
           b: wwww     RRRR
           c: ssss     ssss",
        "  a: PPPP?????wwww
           b: wwww?????PPPP
           c: ssss?????ssss
         gil: aaaa.....bbbb",
    );
}

#[test]
fn threads_come_and_go() {
    check(
        "gil: aaabbaaaa
           a: RRRwwRRRR
           b: ..RRR....
           c: sss......
           d: .......ii",
        "  a: PPPwwPPPP
           b: ..nPP....
           c: sss......
           d: .......ii
         gil: aaabbaaaa",
    );
}

#[test]
fn threads_without_the_gil_run_or_lack_a_processor() {
    // The account of one that runs grows at ticks, that of one that waits when it gets a processor.
    check(
        "gil: .................
           a: RRRRRRRRRRRRRRRRR
          a+: r...r...r...r...r
           b: RRRRRRRRRRRRRRRRR
          b+: r...d...r..d.r..r",
        "  a: nnnnnnnnnnnnnnnnn
           b: rrrrrnnnnrrrnnnnn",
    );
}

#[test]
fn who_was_just_woken_is_not_starved() {
    check(
        "gil: ..........
           a: iiRRRRiiRi
          a+: ......r...
           b: iiRRRRRiRi
          b+: ..er.e.rer",
        "  a: iinnnniini
           b: iinnnnnini",
    );
}

#[test]
fn without_its_account_a_thread_that_runs_runs() {
    check(
        "gil: .......
           a: iRRRiRR
           b: RRRRRRR
          b+:  dd    ",
        "  a: innninn
           b: nrrnnnn",
    );
}

#[test]
fn threads_sleep_for_many_reasons() {
    check(
        "gil: .................
           a: iirrddppoosscc--l",
        "  a: iiiiddddoossccddl",
    );
}

#[test]
fn idle_threads_need_not_be_looked_at_each_time() {
    check(
        "gil: aaaaaaaaaaaa
           a: RRRRRRRRRRRR
           b: s   s   i   |
           c: s    R  i   |",
        "  a: PPPPPPPPPPPP
           b: ssssssiiiiii
           c: sssnnnniiiii",
    );
}

#[test]
fn what_a_gil_says_that_was_not_looked_at_is_not_known() {
    check(
        "gil: aaa  aa
           a: RRRRRRR
           b: wwwwwww",
        "  a: PPPnnPP
           b: wwwllww
         gil: aaa..aa",
    );
}

#[test]
fn a_free_threaded_python_has_threads_that_are_attached() {
    check(
        "a: RRRRRRiiillR
         a@: 111000000111
          b: RRRRRRRRRRRR
         b@: 111111111111
         b+: rrrrddddrrrr",
        " a: AAAaaaiiillA
          b: AAAArrrrAAAA",
    );
}

#[test]
fn where_switches_are_told_no_processor_is_known_at_once() {
    check(
        " gil: ............
            a: RRRRRRRssRRR
           a#: 111001100001",
        "   a: nnnrrnnssrrn",
    );
}

#[test]
fn who_is_attached_and_has_no_processor_is_told_apart() {
    check(
        "   a: RRRRRR
           a@: 110011
           a#: 101010",
        "   a: ArarAr",
    );
}
