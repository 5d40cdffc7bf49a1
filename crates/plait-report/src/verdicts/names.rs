//! What processes are called.

use plait_trace::{Process, Recording, Track};

use crate::plain_text::{one_line, shortened};

/// Names of programs are cut here.
const LONGEST: usize = 40;

/// What a process does in the program, as a text that is the same for all that do the same.
pub(super) fn part_played(process: &Process) -> String {
    let of = process.role.as_deref().unwrap_or(&process.command);
    // Numbers tell workers apart that are alike; those of a kind differ in nothing else.
    let mut part = String::with_capacity(of.len());
    for c in of.chars() {
        match c {
            c if !c.is_ascii_digit() => part.push(c),
            _ if !part.ends_with('#') => part.push('#'),
            _ => {}
        }
    }
    part
}

/// What to call a group: `app.py (PID 7)`, `4 plait workers`, `3 processes of app.py`.
pub(super) fn of_group(recording: &Recording, tracks: &[&Track]) -> String {
    let Some(first) = tracks.first().map(|track| &track.process) else {
        return "nothing".to_owned();
    };
    if tracks.len() == 1 {
        return of_process(first);
    }
    if first.role.is_some() {
        let part = part_played(first);
        return one_line(&format!("{} {}s", tracks.len(), part.trim_end_matches(['#', ' '])));
    }
    // What was forked has its parent's command.
    let parent = first.parent.and_then(|parent| recording.processes.get(parent.index()));
    let forked = parent.is_some_and(|parent| parent.process.command == first.command);
    let kind = if forked { "child processes" } else { "processes" };
    format!("{} {kind} of {}", tracks.len(), of_command(&first.command))
}

/// What to call a process: `app.py (PID 7)`, `plait worker 3 (PID 9)`.
pub(super) fn of_process(process: &Process) -> String {
    let name = process.role.as_deref().map_or_else(|| of_command(&process.command), one_line);
    format!("{} (PID {})", shortened(&name, LONGEST), process.pid)
}

/// The program of a command line: the script or the module that Python runs, or else the program's own name.
pub(super) fn of_command(command: &str) -> String {
    let last_part = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut words = command.split_whitespace();
    let program = last_part(words.next().unwrap_or_default());
    let is_python = program.to_ascii_lowercase().starts_with("python") || program == "plait";
    let mut name = program;
    if is_python {
        while let Some(word) = words.next() {
            match word {
                "-m" => {
                    name = format!("-m {}", words.next().unwrap_or_default());
                    break;
                }
                "-X" | "-W" => {
                    words.next();
                }
                "-c" => {
                    let code = words.next().unwrap_or_default();
                    let spawned = command.contains("spawn_main") || command.contains("--multiprocessing-fork");
                    name = if spawned { "multiprocessing".to_owned() } else { format!("-c {code} …") };
                    break;
                }
                option if option.starts_with('-') && option != "-" => {}
                script => {
                    name = last_part(script);
                    break;
                }
            }
        }
    }
    let name = one_line(name.trim());
    if name.is_empty() { "a program".to_owned() } else { shortened(&name, LONGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_called_by_their_script() {
        for (command, name) in [
            ("/usr/bin/python3.13 -X dev -u /srv/app.py --fast", "app.py"),
            ("python -m http.server 80", "-m http.server"),
            ("python -c import(x) more", "-c import(x) …"),
            ("python -c from multiprocessing.spawn import spawn_main; spawn_main(7)", "multiprocessing"),
            ("/usr/bin/gunicorn app:main", "gunicorn"),
            ("python3", "python3"),
            ("", "a program"),
            ("python -m", "-m"),
        ] {
            assert_eq!(of_command(command), name, "{command}");
        }
    }

    #[test]
    fn workers_differ_in_their_number_only() {
        let process = |role: &str| Process {
            key: plait_trace::ProcessKey(0),
            pid: 1,
            parent: None,
            found: 0,
            command: String::new(),
            python: None,
            sight: plait_trace::Sight::Gil,
            why: None,
            processors: 1,
            quota: None,
            role: Some(role.to_owned()),
        };
        assert_eq!(part_played(&process("plait worker 3")), part_played(&process("plait worker 12")));
        assert_ne!(part_played(&process("plait worker 3")), part_played(&process("plait nursery")));
    }
}
