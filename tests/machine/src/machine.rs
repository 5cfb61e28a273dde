//! A running machine, and waiting for what it says.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::channel::{Channel, Event, Keyboard, Line, Taken};
use crate::config::{Config, Hypervisor, Images, Model};
use crate::{bochs, qemu};

/// Console lines that end every hope. A guest's lines do not count: guests may die.
const FATAL: [&str; 4] = [
    "Kernel panic - not syncing",
    "Tenon has panicked",
    "Panic on CPU",
    "Failed to boot both default and fallback",
];

/// A machine in an emulator. It ends with this value.
pub struct Machine {
    pub name: String,
    pub config: Config,
    pub(crate) emulator: Child,
    pub(crate) events: Receiver<Event>,
    pub(crate) console: Channel,
    pub(crate) agent: Option<Channel>,
    pub(crate) monitor: Option<Channel>,
    /// Files that live as long as the emulator: sockets, a copy of the UEFI variables.
    pub(crate) scratch: PathBuf,
    pub(crate) ended: bool,
    /// The first fatal line; every expectation fails on it.
    pub(crate) fatal: Option<String>,
    /// The command of which domain 0's agent owes the answer after its deadline.
    pub(crate) stuck: Option<String>,
    /// A scenario that makes domain 0 or the hypervisor die on purpose.
    pub may_die: bool,
}

impl Machine {
    /// Starts a machine under QEMU. Logs go to a directory called `name`.
    pub fn start(images: &dyn Images, name: &str, config: Config) -> Result<Self> {
        qemu::start(images, name, config).with_context(|| format!("cannot start the machine {name}"))
    }

    /// Starts a machine under Bochs: one serial line, no agent.
    pub fn start_bochs(images: &dyn Images, name: &str, config: Config, model: Model) -> Result<Self> {
        bochs::start(images, name, config, model).with_context(|| format!("cannot start the machine {name}"))
    }

    /// Waits for a console line that contains `needle`.
    pub fn expect(&mut self, needle: &str, within: Duration) -> Result<Taken> {
        self.wait(Line::Console, needle, within, |channel| channel.take_line_with(needle))
    }

    /// Waits for `needle` on the console, which need not end a line.
    pub fn expect_prompt(&mut self, needle: &str, within: Duration) -> Result<String> {
        self.wait(Line::Console, needle, within, |channel| channel.take_through(needle))
    }

    /// Types on the console.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        self.console.send(text).context("cannot type on the console")
    }

    /// A second way to type, for a thread that copies a keyboard.
    pub fn keyboard(&self) -> Keyboard {
        self.console.writer()
    }

    /// Takes in what comes within `time`. Returns whether the machine has ended.
    pub fn pump(&mut self, time: Duration) -> Result<bool> {
        // Silence is no failure here.
        let _ = self.next_event(Instant::now() + time);
        Ok(self.ended)
    }

    /// Gives the emulator's monitor a command.
    pub fn monitor(&mut self, command: &str) -> Result<()> {
        let monitor = self.monitor.as_mut().context("this emulator has no monitor")?;
        monitor.send(&format!("{command}\n"))
    }

    /// Waits until the machine has switched itself off.
    pub fn expect_end(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        while !self.ended {
            self.next_event(deadline).context("waiting for the machine to switch itself off")?;
        }
        Ok(self.emulator.wait()?)
    }

    /// Waits until `take` finds something on a line.
    pub(crate) fn wait<T>(
        &mut self,
        line: Line,
        what: &str,
        within: Duration,
        take: impl Fn(&mut Channel) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        loop {
            let channel = self.channel(line).context("the machine has no such line")?;
            if let Some(found) = take(channel) {
                return Ok(found);
            }
            if let Some(fatal) = self.fatal.as_ref().filter(|_| !self.may_die) {
                bail!("waiting for {what:?}: {fatal}");
            }
            if self.ended {
                bail!("waiting for {what:?}: the machine has ended");
            }
            self.next_event(deadline)
                .with_context(|| format!("waiting {} s for {what:?}", within.as_secs()))?;
        }
    }

    /// Takes in one event. An error means that the deadline has passed.
    fn next_event(&mut self, deadline: Instant) -> Result<()> {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Bytes(line, bytes)) => self.take_in(line, &bytes),
            // What the other lines had to say may still be on its way.
            Ok(Event::Closed) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => bail!("nothing came in time"),
        }
    }

    fn take_in(&mut self, line: Line, bytes: &[u8]) -> Result<()> {
        if line == Line::Console && self.config.show {
            let mut out = std::io::stdout();
            out.write_all(bytes)?;
            out.flush()?;
        }
        let Some(channel) = self.channel(line) else { return Ok(()) };
        let lines = channel.take_in(bytes)?;
        if line == Line::Console && self.fatal.is_none() {
            self.fatal = lines.into_iter().find(|l| !is_guest_line(l) && FATAL.iter().any(|f| l.contains(f)));
        }
        Ok(())
    }

    fn channel(&mut self, line: Line) -> Option<&mut Channel> {
        match line {
            Line::Console => Some(&mut self.console),
            Line::Agent => self.agent.as_mut(),
            Line::Monitor => self.monitor.as_mut(),
        }
    }

    /// The last lines of every party, for the report of a failure. The hypervisor is asked where its vCPUs are, as far
    /// as domain 0 still listens.
    pub fn last_words(&mut self) -> String {
        if self.agent.is_some() && self.config.hypervisor == Hypervisor::Tenon && !self.ended {
            // If it no longer does, that shows in its last lines.
            let _ = self.run("tenon dmesg --keys qv >/dev/null", Duration::from_secs(10));
        }
        let mut report = String::new();
        let mut party = |name: &str, lines: Vec<&str>| {
            report.push_str(&format!("--- {name}\n"));
            for line in lines {
                report.push_str(&format!("    {line}\n"));
            }
        };
        party("hypervisor", self.console.tail(60, is_hypervisor_line));
        party("guests", self.console.tail(15, is_guest_line));
        party("domain 0", self.console.tail(25, |line| !is_guest_line(line) && !is_hypervisor_line(line)));
        if let Some(agent) = &self.agent {
            party("agent", agent.tail(15, |_| true));
        }
        report
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Killing fails only if the emulator has ended by itself, which is as good.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

fn is_hypervisor_line(line: &str) -> bool {
    line.starts_with("(tenon)") || line.starts_with("(XEN)") || line.starts_with("Tenon ")
}

/// The hypervisor prefixes what a guest writes to its debug port with the domain: `(d3) text`.
fn is_guest_line(line: &str) -> bool {
    line.strip_prefix("(d")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.starts_with("0)"))
}
