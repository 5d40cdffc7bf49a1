//! The faces of a comparison as they are read: table, JSON and page, kept as snapshots.

mod fixtures;

use fixtures::{With, failed, measured, primes, primes_with_peers, rounds, run};
use plait_report::{Comparison, ReportError, comparison_from_json};

#[test]
fn table_for_80_columns() {
    insta::assert_snapshot!(Comparison::from(primes()).table(Some(80), false));
}

#[test]
fn table_for_120_columns() {
    insta::assert_snapshot!(Comparison::from(primes()).table(Some(120), false));
}

#[test]
fn table_with_peers_for_80_columns() {
    insta::assert_snapshot!(Comparison::from(primes_with_peers()).table(Some(80), false));
}

#[test]
fn table_with_peers_for_120_columns() {
    insta::assert_snapshot!(Comparison::from(primes_with_peers()).table(Some(120), false));
}

#[test]
fn table_where_all_failed() {
    let mut measured = measured(vec![
        failed("serial", 1, "2 of 8 calls raised ValueError: invalid literal for int() with base 10: 'seven'"),
        failed("processes", 2, "cannot send count_primes: args[0].handler.stream is an open file"),
    ]);
    measured.interrupted = true;
    insta::assert_snapshot!(Comparison::from(measured).table(Some(80), false));
}

#[test]
fn colors_change_nothing_but_color() {
    for width in [None, Some(120), Some(80), Some(40)] {
        let comparison = Comparison::from(primes_with_peers());
        let (plain, colored) = (comparison.table(width, false), comparison.table(width, true));
        assert!(!plain.contains('\u{1b}'));
        let mut pieces = colored.split('\u{1b}');
        let mut stripped = pieces.next().unwrap_or_default().to_owned();
        stripped.extend(pieces.map(|piece| piece.split_once('m').expect("a color code").1));
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&stripped), trimmed(&plain));
    }
}

#[test]
fn json() {
    insta::assert_snapshot!(Comparison::from(primes_with_peers()).to_json());
}

#[test]
fn json_of_nothing() {
    insta::assert_snapshot!(Comparison::from(measured(vec![])).to_json());
}

#[test]
fn page() {
    // A tag a line, so that a change shows where it is.
    insta::assert_snapshot!(Comparison::from(primes_with_peers()).html().replace("><", ">\n<"));
}

#[test]
fn picture() {
    insta::assert_snapshot!(Comparison::from(primes()).svg());
}

#[test]
fn a_picture_of_what_failed_and_of_hostile_names_is_one_all_the_same() {
    let mut hostile = primes_with_peers();
    hostile.function = "</text><script>alert(1)</script>".repeat(40);
    hostile.runs[1]
        .sketch
        .iter_mut()
        .flat_map(|sketch| &mut sketch.lanes)
        .for_each(|lane| lane.name = "<b>&".repeat(99));
    hostile.runs[0].error = Some("2 of 8 calls raised ValueError".into());
    let picture = Comparison::from(hostile).svg();
    assert!(!picture.contains("<script") && !picture.contains("<b>"), "{picture}");
    assert!(picture.contains("failed") && picture.ends_with("</svg>\n"));
    assert!(Comparison::from(measured(Vec::new())).svg().contains("</svg>"));
}

#[test]
fn a_backend_whose_threads_nobody_saw_keeps_its_place_and_says_so() {
    let mut primes = primes();
    let strips = |page: &str| page.matches("<section class=\"strip\"").count();
    let whole = strips(&Comparison::from(primes.clone()).html());
    primes.runs[1].sketch.as_mut().expect("it was drawn").lanes.clear();
    let compared = Comparison::from(primes.clone());
    assert_eq!((strips(&compared.html()), whole), (3, 3));
    assert!(compared.html().contains("nothing was seen of it") && compared.svg().contains("nothing was seen of it"));
    // Of none there is nothing to show.
    primes.runs.iter_mut().flat_map(|run| &mut run.sketch).for_each(|sketch| sketch.lanes.clear());
    assert_eq!(strips(&Comparison::from(primes).html()), 0);
}

#[test]
fn a_page_is_the_same_each_time() {
    assert_eq!(Comparison::from(primes_with_peers()).html(), Comparison::from(primes_with_peers()).html());
}

#[test]
fn a_page_of_many_calls_stays_small() {
    let lengths: Vec<f64> = (0..100_000).map(|n| 1e-3 + f64::from(n % 7) * 1e-4).collect();
    let runs = ["serial", "threads", "processes"].map(|backend| rounds(backend, 2, &[60.0]).calls(&lengths, 2));
    let page = Comparison::from(measured(runs.into())).html();
    assert!(page.contains("evenly spaced") && page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn widths_are_kept() {
    for width in 26..160 {
        let table = Comparison::from(primes_with_peers()).table(Some(width), false);
        for line in table.lines() {
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= width, "{columns} columns of {width}: {line}");
        }
    }
}

#[test]
fn a_column_that_is_left_out_is_named() {
    let table = Comparison::from(primes()).table(Some(40), false);
    assert!(table.contains("no room for:") && table.replace("\n ", "").contains("memory"), "{table}");
    assert!(!Comparison::from(primes()).table(None, false).contains("no room for"));
}

/// Names and errors that try to be more than text.
const HOSTILE: [&str; 6] = [
    "</title><script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "two\nlines\r\n  of text\t\u{0}",
    "\u{202e}reversed\u{200b}",
    "数え上げ👩‍👩‍👧‍👦 ﷽",
];

#[test]
fn hostile_text_stays_text() {
    for hostile in HOSTILE {
        let mut measured = measured(vec![run("serial", 1, 2.0), run(hostile, 2, 1.0), failed(hostile, 2, hostile)]);
        measured.function = format!("x.py:{hostile}");
        measured.file = Some(hostile.into());
        measured.call_expr = Some(hostile.into());
        measured.machine.cpu_model = Some(hostile.into());
        measured.machine.python = hostile.into();
        let comparison = Comparison::from(measured);
        let unsafe_char = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        let (table, page, verdict) =
            (comparison.table(Some(80), false), comparison.html(), comparison.verdict().to_string());
        let line = comparison.code_line().expect("a backend ran");
        for text in [&table, &page, &verdict, &line] {
            assert!(!text.contains(unsafe_char), "{text:?}");
        }
        assert!(!verdict.contains('\n') && !line.contains('\n'), "{verdict:?} {line:?}");
        assert!(!page.contains("<script") && !page.contains("\" onload=\""), "{page}");
        assert_eq!(page.matches("<title>").count(), page.matches("</title>").count());
        let json: serde_json::Value = serde_json::from_str(&comparison.to_json()).expect("JSON");
        assert_eq!(json["rows"][1]["backend"], hostile, "JSON keeps the text as it is");
        assert_eq!(json["rows"][2]["error"], hostile);
    }
}

#[test]
fn a_page_loads_nothing() {
    let page = Comparison::from(primes_with_peers()).html();
    for word in ["http:", "https:", "<script", "@import", "url(", " src=", "<img", "<iframe"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn what_is_not_measurements_is_refused_with_the_place() {
    for (json, cause) in [
        ("", "EOF while parsing"),
        ("[]", "invalid length 0"),
        (r#"{"function": "f", "items": -1}"#, "invalid value: integer `-1`"),
        (r#"{"function": "f", "items": 1}"#, "missing field `machine`"),
        (r#"{"function": "f", "items": NaN}"#, "expected value at line 1"),
    ] {
        let error: ReportError = comparison_from_json(json).expect_err(json);
        let text = error.to_string();
        assert!(text.starts_with("measurements are not of the shape") && text.contains(cause), "{json}: {text}");
    }
}

#[test]
fn measurements_survive_their_json() {
    let json = serde_json::to_string(&primes_with_peers()).expect("JSON");
    let comparison = comparison_from_json(&json).expect("measurements");
    assert_eq!(comparison.to_json(), Comparison::from(primes_with_peers()).to_json());
}
