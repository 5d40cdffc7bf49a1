//! A recording as a picture: its first verdict, and the lanes of the threads that did most.

use std::io::{self, Write};

use plait_trace::Recording;

use crate::picture::Picture;
use crate::plain_text::{one_line, shortened};
use crate::sketch::sketch;
use crate::units;
use crate::verdicts::judge;

/// Columns of its lanes: about two for each unit of the picture.
const COLUMNS: usize = 1400;
/// Lanes that fit on a slide.
const MOST: usize = 32;
/// Longer commands are cut.
const LONGEST: usize = 80;

/// Writes a recording as a picture.
///
/// # Errors
/// Those of `out`.
pub fn svg<W: Write>(recording: &Recording, mut out: W) -> io::Result<()> {
    let findings = judge(recording);
    let (first, length) = (findings.verdicts.first(), recording.length());
    let mut picture = Picture::of_lanes();
    let title = first.map_or("", |verdict| verdict.title);
    picture.headline(title);
    let what = format!("{} of {}", units::seconds(length as f64 / 1e9), shortened(&one_line(&findings.what), LONGEST));
    picture.about(&first.map_or_else(|| what.clone(), |verdict| format!("{what}. {}", verdict.sentence)));
    let sketch = sketch(recording, 0, length, COLUMNS, MOST);
    picture.lanes(&sketch, sketch.seconds);
    picture.axis(sketch.seconds);
    picture.legend(std::iter::once(&sketch));
    out.write_all(picture.finish(&format!("{title}: {what}")).as_bytes())?;
    out.flush()
}
