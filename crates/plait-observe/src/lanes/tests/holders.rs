//! Threads that have the GIL: a picture per rule. The signs of looks are explained at [`super::stage::Script`], those of
//! lanes are [`plait_trace::State::letter`].

use super::stage::check;

#[test]
fn a_hold_seen_once_is_kept() {
    check(
        "gil: aaaabaaa..b
           a: RRRRwRRRsss
           b: wwwwRiiiiiR",
        "  a: PPPPwPPPsss
           b: wwwwPiiiiiP
         gil: aaaabaaa..b",
    );
}

#[test]
fn a_holder_in_one_place_for_ten_milliseconds_is_native_from_where_it_was_first_there() {
    check(
        "gil: aaaaaaaaaaaaaaaaaa
        spot: 012333333333334567
           a: RRRRRRRRRRRRRRRRRR
           b: wwwwwwwwwwwwwwwwww",
        "  a: PPPNNNNNNNNNNNPPPP
           b: wwwwwwwwwwwwwwwwww
         gil: aaaaaaaaaaaaaaaaaa",
    );
}

#[test]
fn a_holder_in_one_place_for_less_runs_bytecode() {
    check(
        "gil: aaaaaaaaaaaaaaaaaa
        spot: 012333333333345678
           a: RRRRRRRRRRRRRRRRRR",
        "  a: PPPPPPPPPPPPPPPPPP",
    );
}

#[test]
fn a_hog_that_is_still_at_it_when_the_recording_ends_is_one() {
    check(
        "gil: aaaaaaaaaaaaabbbbbbb
        spot: 11111111111112222222
           a: RRRRRRRRRRRRRwwwwwww
           b: wwwwwwwwwwwwwRRRRRRR",
        "  a: NNNNNNNNNNNNNwwwwwww
           b: wwwwwwwwwwwwwPPPPPPP",
    );
}

#[test]
fn a_holder_without_a_processor_still_has_the_gil_and_is_in_no_native_call_for_that() {
    check(
        "gil: aaaaaaaaaaaaaaaa
        spot: 1234444444444445
           a: RRRRRRRRRRRRRRRR
          a+: rrdddddddddddddr",
        "  a: PPPPPPPPPPPPPPPP
         gil: aaaaaaaaaaaaaaaa",
    );
}

#[test]
fn a_native_call_may_lose_its_processor_now_and_then() {
    check(
        "gil: aaaaaaaaaaaaaaaaaaaa
        spot: 12344444444444444445
           a: RRRRRRRRRRRRRRRRRRRR
          a+: rrr.....rddd...r...r",
        "  a: PPPNNNNNNNNNNNNNNNNP
         gil: aaaaaaaaaaaaaaaaaaaa",
    );
}

#[test]
fn a_place_that_cannot_be_told_is_no_native_call() {
    check(
        "gil: aaaaaaaaaaaaaaaaaa
        spot: ..................
           a: RRRRRRRRRsssRRRRRR",
        "  a: PPPPPPPPPBBBPPPPPP",
    );
}

#[test]
fn a_gil_that_was_away_was_not_kept_though_the_code_stands_still() {
    // Fourteen looks in one place, but another thread had the GIL after the seventh.
    check(
        " gil: aaaaaaaaaaaaaaaa
         spot: 1333333333333335
     switches: 0000000010000000
            a: RRRRRRRRRRRRRRRR",
        "   a: PPPPPPPPPPPPPPPP
          gil: aaaaaaaaaaaaaaaa",
    );
}

#[test]
fn garbage_is_collected() {
    check(
        "gil: aaaaaaaaabbb
          gc: ...xxxx.....
           a: RRRRRRRRRwww
           b: wwwwwwwwwRRR",
        "  a: PPPGGGGPPwww
           b: wwwwwwwwwPPP
         gil: aaaaaaaaabbb",
    );
}

#[test]
fn a_collection_in_the_midst_of_a_native_call_leaves_the_call_what_it_is() {
    check(
        "gil: aaaaaaaaaaaaaaaaaaaa
        spot: 1333333333333333333x
          gc: .....xx....x........
           a: RRRRRRRRRRRRRRRRRRRR",
        "  a: PNNNNGGNNNNGNNNNNNNP",
    );
}

#[test]
fn a_collection_is_no_proof_that_the_code_around_it_is_native() {
    check(
        "gil: aaaaaaaaaaaaaaaaaaaa
        spot: 12333333333333333345
          gc: ....xxxxxxxxxxxx....
           a: RRRRRRRRRRRRRRRRRRRR",
        "  a: PPPPGGGGGGGGGGGGPPPP",
    );
}

#[test]
fn a_holder_that_sleeps_for_two_looks_sleeps_with_the_gil() {
    check(
        "gil: aaaaaaaaaa
        spot: 1233333345
           a: RRRssssRRR
           b: wwwwwwwwww",
        "  a: PPPBBBBPPP
           b: wwwwwwwwww
         gil: aaaaaaaaaa",
    );
}

#[test]
fn a_holder_that_sleeps_long_in_a_native_call_is_drawn_asleep() {
    check(
        "gil: aaaaaaaaaaaaaaaaaaaa
        spot: 12333333333333333345
           a: RRRdddddddRRRddRdRRR
          a+: rrr.......rrr.......",
        "  a: PPNBBBBBBBNNNBBNNNPP",
    );
}

#[test]
fn who_lets_go_and_sleeps_between_the_two_reads_does_not_sleep_with_the_gil() {
    check(
        "gil: aaaa.bbb.aaaab
           a: RRRiiiiiiRRRii
           b: wwwwRRRRsssssR",
        "  a: PPPPiiiiiPPPPi
           b: wwwwrPPPsssssP
         gil: aaaa.bbb.aaaab",
    );
}

#[test]
fn a_holder_that_has_run_between_two_sleeps_may_have_let_go_each_time() {
    check(
        "gil: aaaaaaaaaaa
        spot: 11111111111
           a: RssRsssRRRR
          a+: rrrrrrrrrrr",
        "  a: NNNNBBBNNNN",
    );
    check(
        "gil: aaaaaaaa
        spot: 11111112
           a: RssRssRR
          a+: r.r...rr",
        "  a: PPPPBBPP",
    );
}

#[test]
fn a_holder_does_not_sleep_for_its_own_gil() {
    check(
        "gil: aaaaabbbbb
        spot: 1233333333
           a: RRRwwwwwww
           b: wwwwwRRRRR",
        "  a: PPPPPwwwww
           b: wwwwwPPPPP
         gil: aaaaabbbbb",
    );
}

#[test]
fn a_gap_ends_what_was_known_of_a_holder() {
    check(
        "gil: aaaaaaa    aaaaaaa
         gap: .......~~~~.......
        spot: 333333333333333333
           a: RRRRRRR    RRRRRRR",
        "  a: PPPPPPP????PPPPPPP
         gil: aaaaaaa....aaaaaaa",
    );
}

#[test]
fn a_holder_that_nobody_knows_has_no_name_until_it_is_found() {
    check(
        "gil: aabbbb??a
           a: RRwwwwwwR
           b: ....RRiii",
        "  a: PPwwwwwwP
           b: ....PPiii
         gil: aa??bb??a",
    );
}

#[test]
fn a_holder_that_is_not_looked_at_has_the_gil_all_the_same() {
    check(
        "gil: aabbb.aa
           a: RRR  RRR
           b: ss   s s",
        "  a: PPnnnnPP
           b: ssPPPsss
         gil: aabbb.aa",
    );
    check(
        "gil: aab.a
           a: R   R
           b: sss s",
        "  a: PP??P
           b: ssP?s",
    );
}
