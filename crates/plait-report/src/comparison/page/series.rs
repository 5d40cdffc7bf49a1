//! A backend's look: the colour and the mark that it keeps through the whole page.

use maud::{Markup, html};

use crate::comparison::Comparison;

/// Looks that the style sheet knows: serial, threads, processes, and others in turn.
pub(in crate::comparison) const LOOKS: usize = 8;

/// Which of the looks each row has. plait's own backends always have the same; no two rows share one while there
/// are enough.
pub(in crate::comparison) fn looks(comparison: &Comparison) -> Vec<usize> {
    let mut others = (3..LOOKS).cycle();
    let mut taken = [false; 3];
    let own = ["serial", "threads", "processes"];
    let look = |row: &crate::comparison::Row| {
        let look = own.iter().position(|&name| !row.peer && name == row.backend).filter(|&look| !taken[look]);
        if let Some(look) = look {
            taken[look] = true;
        }
        look.or_else(|| others.next()).unwrap_or(0)
    };
    comparison.rows().iter().map(look).collect()
}

/// The definitions of the marks, once per page: shapes tell backends apart where colours do not.
pub(super) fn marks() -> Markup {
    html! {
        svg class="marks" width="0" height="0" aria-hidden="true" {
            defs {
                g id="mark0" { circle r="4" {} }
                g id="mark1" { path d="M0-5 5 4H-5z" {} }
                g id="mark2" { rect x="-4" y="-4" width="8" height="8" {} }
                g id="mark3" { path d="M0-5.5 5.5 0 0 5.5-5.5 0z" {} }
                g id="mark4" { path d="M0 5-5-4H5z" {} }
                g id="mark5" { path d="M-1.5-5h3v3.5H5v3H1.5V5h-3V1.5H-5v-3h3.5z" {} }
                g id="mark6" { path d="M-4-4 4 4M4-4-4 4" stroke="var(--c)" stroke-width="2.5" {} }
                g id="mark7" { circle r="3.5" fill="none" stroke="var(--c)" stroke-width="2" {} }
            }
        }
    }
}

/// One mark as it stands in a legend.
pub(super) fn swatch(look: usize) -> Markup {
    html! {
        svg class={ "swatch c" (look) } width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true" {
            use href={ "#mark" (look) } {}
        }
    }
}
