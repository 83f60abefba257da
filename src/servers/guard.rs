//! The guard: a small shell process that outlives its parent by a moment.
//!
//! It waits for the end of its standard input, which comes when the parent says so or dies, in
//! whatever way (panic, Ctrl-C, `kill -9`), then stops every server whose process id is still noted in
//! the folder, and removes the folder. It needs neither `unsafe` nor anything but a POSIX shell.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// A server with a `parting` signal gets the chance to clean up. The second round is for a server that
/// was just being started while the parent died, and had not noted its process id yet.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
: > "$1/command/watching"
cd /
said=
read -r said || true
stop_all() {
    for home in "$1"/*; do
        pid= parting=
        read -r pid < "$home/pid"
        [ -n "$pid" ] || continue
        read -r parting < "$home/parting"
        if [ -n "$parting" ]; then
            kill -s "$parting" "$pid"
            tries=0
            while kill -s 0 "$pid" && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
        fi
        [ "${home##*/}" = command ] || kill -s KILL -- "-$pid"
    done
} 2>/dev/null
stop_all "$1"
[ "$said" = stopped ] || { sleep 0.3; stop_all "$1"; }
rm -rf -- "$1"
"#;

/// Watches over one folder of servers.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    command_file: PathBuf,
}

impl Guard {
    /// Starts watching over the servers in `folder`: each in a folder of its own, with its process id
    /// in `pid`, leader of a group, and maybe a signal in `parting`.
    pub(super) fn over(folder: &Path) -> anyhow::Result<Self> {
        let command_folder = folder.join("command");
        std::fs::create_dir(&command_folder)?;
        std::fs::write(command_folder.join("parting"), "TERM\n")?;
        let process = Command::new("sh")
            .args(["-c", SCRIPT, "kopeck-guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            // Whoever reads this process's output to its end must not have to wait for the guard.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C in the terminal is for the parent's group.
            .process_group(0)
            .spawn()
            .context("the guard of the servers can't be started")?;
        Ok(Self {
            process,
            command_file: command_folder.join("pid"),
        })
    }

    /// Notes (or forgets) the process that works with the servers, so that it ends with the parent.
    pub(super) fn note_command(&self, pid: Option<u32>) -> anyhow::Result<()> {
        match pid {
            Some(pid) => std::fs::write(&self.command_file, format!("{pid}\n")),
            None => std::fs::remove_file(&self.command_file),
        }
        .context("the command's process id can't be noted")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut input) = self.process.stdin.take() {
            // A guard that is gone can't be told; the folder is removed by its owner then.
            let _ = input.write_all(b"stopped\n");
        }
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::servers::processes;

    /// What a `kill -9` of the parent does to the guard: its input ends without a word.
    fn die(mut guard: Guard) {
        drop(guard.process.stdin.take());
        guard.process.wait().unwrap();
    }

    #[test]
    fn when_the_parent_dies_the_servers_and_the_folder_go() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard::over(folder.path()).unwrap();
        let mut server = Command::new("sh");
        let mut server = server
            .args(["-c", "sleep 600 & wait"])
            .process_group(0)
            .spawn()
            .unwrap();
        std::fs::create_dir(folder.path().join("redis")).unwrap();
        std::fs::write(folder.path().join("redis/pid"), format!("{}\n", server.id())).unwrap();

        die(guard);

        assert!(processes::wait_until_gone(
            &[server.id()],
            Duration::from_secs(10)
        ));
        server.wait().unwrap();
        assert!(!folder.path().exists());
    }

    #[test]
    fn the_guard_survives_the_signals_that_end_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard::over(folder.path()).unwrap();
        let watching = folder.path().join("command/watching");
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !watching.exists() {
            assert!(std::time::Instant::now() < deadline, "the guard does not begin");
            std::thread::yield_now();
        }
        for name in ["HUP", "INT", "TERM"] {
            processes::signal(name, None, &[guard.process.id()]);
        }
        assert!(processes::is_running(guard.process.id()));
        die(guard);
        assert!(!folder.path().exists());
    }
}
