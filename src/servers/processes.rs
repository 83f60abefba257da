//! Signals to other processes, and who descends from whom.
//!
//! Signals go through the shell's `kill`: the platform forbids `unsafe`, and this is no hot path.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How often a condition is looked at again.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Sends a signal (`TERM`, `KILL`, …) to processes, or to the group of a leader if `group` is given.
/// Those already gone are nobody's error.
pub(super) fn signal(name: &str, group: Option<u32>, pids: &[u32]) {
    let targets = group
        .map(|leader| format!("-{leader}"))
        .into_iter()
        .chain(pids.iter().map(u32::to_string));
    let sent = Command::new("sh")
        .args([
            "-c",
            "signal=$1; shift; for one; do kill -s \"$signal\" -- \"$one\"; done",
            "sh",
            name,
        ])
        .args(targets)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = sent {
        tracing::warn!(%error, signal = name, "a signal could not be sent");
    }
}

/// All descendants of a process. Empty where there is no `/proc`: then children notice the death of
/// their parent by themselves.
pub(super) fn descendants(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?.parent))
        })
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family.split_off(1)
}

/// Waits, at most for `bound`, until none of the processes runs; whether that came true.
pub(super) fn wait_until_gone(pids: &[u32], bound: Duration) -> bool {
    let start = Instant::now();
    while pids.iter().copied().any(is_running) {
        if start.elapsed() > bound {
            return false;
        }
        std::thread::sleep(TICK);
    }
    true
}

/// Whether a process is there and not a zombie.
pub(super) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state != 'Z')
}

struct Stat {
    state: char,
    parent: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let line = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    parse(&line)
}

/// `pid (name) state parent …`, where the name may hold spaces and parentheses.
fn parse(line: &str) -> Option<Stat> {
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_confuse() {
        let stat = parse("42 (a) Z 7 (b)) S 17 42 42 0 -1").unwrap();
        assert_eq!((stat.state, stat.parent), ('S', 17));
    }

    #[test]
    fn a_signalled_family_is_gone() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 600 & wait"])
            .spawn()
            .unwrap();
        let start = Instant::now();
        while descendants(child.id()).is_empty() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "the grandchild never appeared"
            );
            std::thread::sleep(TICK);
        }
        let family = descendants(child.id());
        assert!(descendants(std::process::id()).contains(&family[0]));

        signal("KILL", None, &[&[child.id()][..], &family].concat());

        child.wait().unwrap();
        assert!(wait_until_gone(&family, Duration::from_secs(10)));
    }
}
