//! The script and the styles of a page. The script is made of `web/`; a test here tells when it is older than what it is made of.

/// The script, which stands in the page as it is.
pub(super) const SCRIPT: &str = include_str!("bundle.js");
/// The style of its curves, and that of the page.
pub(super) const STYLES: [&str; 3] = [include_str!("base.css"), include_str!("uplot.css"), include_str!("lanes.css")];

/// What a page may do: run this very script, show what is in it, and nothing else. `connect` is whom it may ask.
pub(super) fn policy(connect: &str) -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src 'unsafe-inline'; img-src data:; connect-src {connect}; \
         base-uri 'none'; form-action 'none'",
        digest(SCRIPT)
    )
}

/// A script as a policy names it.
fn digest(script: &str) -> String {
    use base64::Engine;
    use sha2::Digest;
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use sha2::{Digest, Sha256};

    use super::*;

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { found.extend(sources(&path)) } else { found.push(path) }
        }
        found
    }

    #[test]
    fn the_script_is_made_of_what_is_there() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
        let mut inputs = sources(&web.join("src"));
        inputs.extend(["build.mjs", "package-lock.json"].map(|name| web.join(name)));
        inputs.sort();
        let mut digest = Sha256::new();
        for path in &inputs {
            let name = path.strip_prefix(&web).expect("under it").display().to_string();
            let content = fs::read(path).expect("a file");
            digest.update(format!("{name}\n{}\n", content.len()));
            digest.update(content);
        }
        let wanted: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            SCRIPT.lines().next().is_some_and(|line| line.contains(&wanted)),
            "web/ has changed since bundle.js was made of it: run `make web`"
        );
    }

    #[test]
    fn the_script_is_small_and_ends_no_page() {
        assert!(SCRIPT.len() < 120 * 1024, "{} bytes", SCRIPT.len());
        let lower = SCRIPT.to_ascii_lowercase();
        assert!(!lower.contains("</script") && !lower.contains("<!--"));
    }
}
