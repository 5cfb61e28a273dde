//! Programs that set up what is behind a device, in the way of Xen's hotplug scripts
//! (`docs/misc/vif-script` and `tools/hotplug/Linux` of Xen's sources, `libxl_linux.c`): they are told by their
//! environment which device it is, and find the rest in xenstore.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{fmt, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::error::DeviceError;
use super::xenbus::Address;
use crate::xs_client::{Tx, with_daemon};

/// How long a script may take: as long as xl gives it.
const DEADLINE: Duration = Duration::from_secs(40);
/// What is shown of a script that failed: its last lines.
const SHOWN_LINES: usize = 5;
/// The same, bytes.
const SHOWN_BYTES: u64 = 1024;

/// What a script is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Set up.
    Online,
    /// Undo that.
    Offline,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Online => "online",
            Self::Offline => "offline",
        })
    }
}

/// Runs the script of a network card.
///
/// # Errors
/// [`DeviceError::Script`]: it cannot be started, fails, or takes too long; then it was killed.
pub(super) fn run(script: &Path, action: Action, address: Address) -> Result<(), DeviceError> {
    let failed = |how: String, last| DeviceError::Script { script: script.to_owned(), action, how, last };
    let mut command = Command::new(script);
    command
        .args([&action.to_string(), "type_if=vif"])
        .env("script", script)
        .env("XENBUS_TYPE", address.kind.back())
        .env("XENBUS_PATH", address.back_in_domain_0())
        .env("XENBUS_BASE_PATH", "backend")
        // As the driver calls it: renaming it is the script's.
        .env("vif", format!("vif{}.{}", address.domain, address.id))
        // The gateway's interface, for routes; guest files cannot name one.
        .env("netdev", "");
    let (ended, output) = finish(command, DEADLINE).map_err(|e| failed(e.to_string(), Vec::new()))?;
    let how = match ended {
        Some(status) if status.success() => return Ok(()),
        Some(status) => status.to_string(),
        None => format!("it did not end within {} s", DEADLINE.as_secs()),
    };
    let mut last: Vec<String> = output.lines().rev().take(SHOWN_LINES).map(str::to_owned).collect();
    last.reverse();
    // Xen's own scripts say there what went wrong; their output goes to a log.
    let node = format!("{}/hotplug-error", address.back());
    last.extend(with_daemon(|client| client.find(Tx::NONE, &node))?.flatten());
    Err(failed(how, last))
}

/// Runs a command to its end, at most until `deadline`: then it is killed, with all that it started, and its status is
/// `None`. What it said last comes, too.
fn finish(mut command: Command, deadline: Duration) -> io::Result<(Option<ExitStatus>, String)> {
    // No pipe: a process that it leaves behind could keep that open for ever.
    let mut said = File::from(rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)?);
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let mut child = command.process_group(0).spawn()?;
    let status = if ends_within(&child, deadline)? {
        Some(child.wait()?)
    } else {
        kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        child.wait()?;
        None
    };
    let length = said.seek(SeekFrom::End(0))?;
    said.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
    let mut last = Vec::new();
    said.take(SHOWN_BYTES).read_to_end(&mut last)?;
    Ok((status, String::from_utf8_lossy(&last).into_owned()))
}

fn ends_within(child: &Child, deadline: Duration) -> io::Result<bool> {
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let timeout = Timespec::try_from(deadline).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&timeout))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Kind;

    fn sh(text: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn what_a_script_says_last_is_kept() {
        let (status, said) =
            finish(sh("for i in $(seq 1000); do echo line $i; done; echo end >&2; exit 3"), DEADLINE)
                .unwrap();
        assert_eq!(status.unwrap().code(), Some(3));
        assert!(said.ends_with("line 1000\nend\n") && said.len() <= 1024, "{said}");
    }

    #[test]
    fn a_script_that_does_not_end_is_killed_with_its_children() {
        let (status, said) = finish(sh("echo begun; sleep 1000 & wait"), Duration::from_millis(200)).unwrap();
        assert_eq!((status, said.as_str()), (None, "begun\n"));
    }

    #[test]
    fn what_a_script_leaves_behind_is_not_waited_for() {
        let (status, _) = finish(sh("sleep 2 & exit 0"), DEADLINE).unwrap();
        assert!(status.unwrap().success());
    }

    #[test]
    fn a_script_learns_which_device_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("vif-test");
        let text = "#!/bin/sh\necho $1 $2 $vif $XENBUS_TYPE $XENBUS_PATH $XENBUS_BASE_PATH > $(dirname $script)/told\n";
        std::fs::write(&script, text).unwrap();
        let address = Address { domain: 5, kind: Kind::Nic, id: 1 };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        run(&script, Action::Online, address).unwrap();
        let told = std::fs::read_to_string(directory.path().join("told")).unwrap();
        assert_eq!(told, "online type_if=vif vif5.1 vif backend/vif/5/1 backend\n");
    }
}
