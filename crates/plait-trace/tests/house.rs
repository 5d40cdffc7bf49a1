//! The rules of the house, checked on the tree itself: which room may lean on which, where `unsafe` and PyO3 live, how
//! long a file may get, that pages name only files that are there, and that nothing of one machine is written down in it.
//!
//! Each rule is a function from plain data to complaints, and is shown below to complain about a bad input; the tests
//! named `tree_…` run the same functions on the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;
use proc_macro2::{TokenStream, TokenTree};

/// Every arrow there may be between the rooms; dependencies for builds and for tests count like any other.
const ARROWS: &[(&str, &[&str])] = &[
    ("plait-py", &["plait-engine", "plait-observe", "plait-report", "plait-trace"]),
    ("plait-engine", &["plait-shm", "plait-trace"]),
    ("plait-shm", &["plait-trace"]),
    ("plait-observe", &["plait-trace"]),
    ("plait-report", &["plait-trace"]),
    ("plait-trace", &[]),
];

/// The room that speaks to Python.
const PYTHON_ROOM: &str = "plait-py";

/// Where `unsafe` may stand: the crates whose job it is, and the module that reads other processes' memory.
const UNSAFE_HOMES: &[&str] = &[
    "crates/plait-shm/",
    "crates/plait-py/",
    "crates/plait-observe/src/memory/",
    "crates/plait-observe/src/memory.rs",
];

/// Lines a file may have before it should be split by noun.
const LONGEST: usize = 400;

/// Files that are longer all the same, each with its reason. An entry that is no longer needed fails the check.
const LONG_FILES: &[(&str, &str)] = &[];

/// One dependency as the workspace declares it.
struct Arrow {
    from: String,
    to: String,
}

/// A file of the tree: its path from the root, with `/`, and what stands in it.
struct Source {
    path: String,
    text: String,
}

fn arrow_complaints(arrows: &[Arrow]) -> Vec<String> {
    let rooms: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let mut complaints = Vec::new();
    for Arrow { from, to } in arrows {
        let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| room == from) else {
            complaints.push(format!("{from} is not a room of the house: give it its arrows in this check"));
            continue;
        };
        if rooms.contains(&to.as_str()) && !allowed.contains(&to.as_str()) {
            complaints.push(format!("{from} must not depend on {to}"));
        }
        if (to == "pyo3" || to.starts_with("pyo3-")) && from != PYTHON_ROOM {
            complaints.push(format!("{from} must not depend on {to}: {PYTHON_ROOM} alone speaks to Python"));
        }
    }
    complaints
}

/// Lines on which the keyword stands as code; comments, strings and `unsafe_code` are not it.
fn unsafe_lines(text: &str) -> Result<Vec<usize>, proc_macro2::LexError> {
    fn walk(tokens: TokenStream, lines: &mut Vec<usize>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => walk(group.stream(), lines),
                TokenTree::Ident(word) if word == "unsafe" => lines.push(word.span().start().line),
                _ => {}
            }
        }
    }
    let mut lines = Vec::new();
    walk(text.parse()?, &mut lines);
    Ok(lines)
}

/// Whether the crate root says `#![LEVEL(unsafe_code)]`.
fn says_of_unsafe(text: &str, level: &str) -> Result<bool, proc_macro2::LexError> {
    let written = text.parse::<TokenStream>()?.into_iter().any(|token| match token {
        TokenTree::Group(group) => group.stream().to_string().replace(' ', "") == format!("{level}(unsafe_code)"),
        _ => false,
    });
    Ok(written)
}

fn unsafe_complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let at_home = |path: &str| UNSAFE_HOMES.iter().any(|home| path.starts_with(home));
    for Source { path, text } in sources.iter().filter(|source| source.path.ends_with(".rs")) {
        match unsafe_lines(text) {
            Ok(lines) if !at_home(path) => {
                complaints.extend(lines.iter().map(|line| format!("{path}:{line}: unsafe outside its homes")));
            }
            Ok(_) => {}
            Err(error) => complaints.push(format!("{path}: {error}")),
        }
        let Some(room) = path.strip_suffix("src/lib.rs") else {
            continue;
        };
        if at_home(path) {
            continue;
        }
        // A crate with a home inside it that is lived in cannot forbid what that module allows itself; it denies the rest.
        let partly = sources.iter().any(|source| {
            let inside = source.path.starts_with(room) && at_home(&source.path);
            inside && unsafe_lines(&source.text).is_ok_and(|lines| !lines.is_empty())
        });
        let level = if partly { "deny" } else { "forbid" };
        if !says_of_unsafe(text, level).unwrap_or(false) {
            complaints.push(format!("{path}: has no #![{level}(unsafe_code)]"));
        }
    }
    complaints
}

fn length_complaints(sources: &[Source], allowed: &[(&str, &str)]) -> Vec<String> {
    let is_code = |path: &str| path.ends_with(".rs") || path.ends_with(".py");
    let mut complaints = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| is_code(&source.path)) {
        let lines = text.lines().count();
        if lines > LONGEST && !allowed.iter().any(|(file, _)| file == path) {
            complaints.push(format!("{path}: {lines} lines; split it by noun, or give its reason in LONG_FILES"));
        }
    }
    for (file, _) in allowed {
        let needed = sources.iter().any(|source| source.path == *file && source.text.lines().count() > LONGEST);
        if !needed {
            complaints.push(format!("{file}: stale in LONG_FILES"));
        }
    }
    complaints
}

/// Where one machine shows through: its folders, and the hosts its packages came from.
fn machine_complaints(sources: &[Source]) -> Vec<String> {
    // Put together from halves, so that this file does not complain about itself.
    let folders = [["/ro", "ot/"], ["/wo", "rk/"], ["/ho", "me/"], ["/Us", "ers/"]].map(|halves| halves.concat());
    let hosts = [["crates", ".io"], ["pypi", ".org"], ["pythonhosted", ".org"], ["npmjs", ".org"], ["debian", ".org"]]
        .map(|halves| halves.concat());
    let mut complaints = Vec::new();
    // The lock file names its registry by format.
    for Source { path, text } in sources.iter().filter(|source| source.path != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            for folder in &folders {
                let absolute = line.match_indices(folder.as_str()).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-~/}{)".contains(before))
                });
                if absolute {
                    complaints.push(format!("{place}: a path of one machine ({folder}…)"));
                }
            }
            for host in hosts.iter().filter(|host| line.to_lowercase().contains(host.as_str())) {
                complaints.push(format!("{place}: the host of a package registry ({host})"));
            }
        }
    }
    complaints
}

/// Paths of the tree that a page names in backticks and that are not there.
fn map_complaints(page: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let rooms = ["crates/", "python/", "bench/", "scripts/", "tests/", "docs/", "examples/", "requirements/", ".ci/"];
    let named = page.text.split('`').skip(1).step_by(2);
    named
        .filter(|word| rooms.iter().any(|room| word.starts_with(room)) && !word.contains(char::is_whitespace))
        .filter(|word| !exists(word))
        .map(|word| format!("{}: names {word}, which is not there", page.path))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/plait-trace lies two below").to_owned()
}

/// The tree's text files, those about to be added included, those that are ignored not.
fn tree() -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is there to list the tree");
    assert!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    let sources: Vec<Source> = String::from_utf8(listed.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        .filter_map(|path| {
            // Binary files, and files deleted but not yet committed, have no text to read.
            let text = std::fs::read_to_string(root().join(path)).ok()?;
            Some(Source { path: path.to_owned(), text })
        })
        .collect();
    assert!(sources.iter().any(|source| source.path == "Cargo.toml"), "the tree was not found at {:?}", root());
    sources
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n  {}", complaints.join("\n  "));
}

#[test]
fn tree_has_only_the_allowed_arrows() {
    let workspace = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace");
    let arrows: Vec<Arrow> = workspace
        .packages
        .iter()
        .flat_map(|package| {
            package.dependencies.iter().map(|to| Arrow { from: package.name.to_string(), to: to.name.clone() })
        })
        .collect();
    for (room, _) in ARROWS {
        assert!(workspace.packages.iter().any(|package| package.name.as_str() == *room), "{room} is gone");
    }
    none(arrow_complaints(&arrows));
}

#[test]
fn tree_keeps_unsafe_at_home() {
    none(unsafe_complaints(&tree()));
}

#[test]
fn tree_has_no_overlong_file() {
    none(length_complaints(&tree(), LONG_FILES));
}

#[test]
fn tree_names_no_machine() {
    none(machine_complaints(&tree()));
}

#[test]
fn tree_is_as_its_maps_say() {
    let pages = tree().into_iter().filter(|source| source.path.ends_with(".md"));
    none(pages.flat_map(|page| map_complaints(&page, |path| root().join(path).exists())).collect());
}

fn arrow(from: &str, to: &str) -> Vec<Arrow> {
    vec![Arrow { from: from.to_owned(), to: to.to_owned() }]
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn arrows_that_must_not_be_are_told() {
    none(arrow_complaints(&arrow("plait-engine", "plait-shm")));
    none(arrow_complaints(&arrow("plait-py", "pyo3")));
    for (from, to) in [
        ("plait-trace", "plait-shm"),
        ("plait-shm", "plait-engine"),
        ("plait-observe", "plait-engine"),
        ("plait-report", "plait-observe"),
        ("plait-py", "plait-shm"),
        ("plait-engine", "pyo3"),
        ("plait-engine", "pyo3-ffi"),
        ("plait-utils", "serde"),
    ] {
        assert_eq!(arrow_complaints(&arrow(from, to)).len(), 1, "{from} -> {to}");
    }
}

#[test]
fn the_keyword_is_seen_as_code_only() {
    let text = "// unsafe\n/// unsafe { }\nconst T: &str = \"unsafe {\";\n#[allow(unsafe_code)]\nfn f() {\n    g!(unsafe { h() })\n}";
    assert_eq!(unsafe_lines(text).expect("valid tokens"), [6]);
}

#[test]
fn unsafe_outside_its_homes_is_told() {
    let forbids = "#![forbid(unsafe_code)]";
    let with_unsafe = "fn f() { unsafe { g() } }";
    let rules = |sources: &[Source]| unsafe_complaints(sources);
    none(rules(&[source("crates/plait-shm/src/lib.rs", with_unsafe), source("crates/plait-py/src/a.rs", with_unsafe)]));
    none(rules(&[source("crates/plait-engine/src/lib.rs", forbids)]));
    assert_eq!(rules(&[source("crates/plait-engine/src/a.rs", with_unsafe)]).len(), 1);
    assert_eq!(rules(&[source("crates/plait-engine/tests/a.rs", with_unsafe)]).len(), 1);
    assert_eq!(rules(&[source("crates/plait-engine/src/lib.rs", "// #![forbid(unsafe_code)]")]).len(), 1);
    assert_eq!(rules(&[source("crates/plait-engine/src/a.rs", "fn f( {")]).len(), 1, "a file that cannot be read");

    let memory = || source("crates/plait-observe/src/memory.rs", with_unsafe);
    none(rules(&[memory(), source("crates/plait-observe/src/lib.rs", "#![deny(unsafe_code)]")]));
    let safe = source("crates/plait-observe/src/memory.rs", "fn f() {}");
    none(rules(&[safe, source("crates/plait-observe/src/lib.rs", forbids)]));
    assert_eq!(rules(&[memory(), source("crates/plait-observe/src/lib.rs", "")]).len(), 1);
    assert_eq!(rules(&[source("crates/plait-observe/src/lib.rs", "#![deny(unsafe_code)]")]).len(), 1);
}

#[test]
fn overlong_files_and_stale_reasons_are_told() {
    let long = || vec![source("python/plait/a.py", &"x\n".repeat(LONGEST + 1))];
    assert_eq!(length_complaints(&long(), &[]).len(), 1);
    none(length_complaints(&long(), &[("python/plait/a.py", "a table")]));
    none(length_complaints(&[source("python/plait/a.py", &"x\n".repeat(LONGEST))], &[]));
    none(length_complaints(&[source("docs/a.md", &"x\n".repeat(LONGEST + 1))], &[]));
    assert_eq!(length_complaints(&[source("tests/test_a.py", &"x\n".repeat(LONGEST + 1))], &[]).len(), 1);
    assert_eq!(length_complaints(&[source("a.rs", "x")], &[("a.rs", "was long once")]).len(), 1);
    assert_eq!(length_complaints(&[], &[("gone.rs", "was long once")]).len(), 1);
}

#[test]
fn paths_and_hosts_of_a_machine_are_told() {
    let told = |line: String| machine_complaints(&[source("docs/a.md", &line)]).len();
    assert_eq!(told(["open /ro", "ot/plait"].concat()), 1);
    assert_eq!(told(["\"/ho", "me/ann/x\""].concat()), 1);
    assert_eq!(told(["https://index.Crates", ".io/"].concat()), 1);
    assert_eq!(told(["from pypi", ".org"].concat()), 1);
    assert_eq!(told(["the frame", "/wo", "rk/ of it, and ~/ro", "ot/ and $HOME/wo", "rk/"].concat()), 0);
    none(machine_complaints(&[source("Cargo.lock", &["crates", ".io"].concat())]));
}

#[test]
fn a_map_that_names_what_is_gone_is_told() {
    let page = source("A.md", "see `crates/a/src`, `python/gone`, and `python/gone --not a path`");
    let complaints = map_complaints(&page, |path| path == "crates/a/src");
    assert_eq!(complaints, ["A.md: names python/gone, which is not there"]);
}
