//! The findings as they are read.

use plait_report::verdicts::judge;

use crate::gil::hog;

#[test]
fn a_hog_as_text() {
    insta::assert_snapshot!(judge(&hog(40, 10, true).build()).to_text(80, false));
}
