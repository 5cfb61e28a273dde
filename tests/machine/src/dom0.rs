//! Working inside domain 0 through its agent.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::channel::Line;
use crate::machine::Machine;

/// How long domain 0 may take from power-on to its agent. Much of it is the firmware and the emulator.
const BOOT: Duration = Duration::from_secs(180);

/// What a command in domain 0 printed, both streams together, and how it ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub output: String,
}

impl Machine {
    /// Waits until domain 0 takes commands.
    pub fn dom0_up(&mut self) -> Result<()> {
        self.expect("dom0: up", BOOT)?;
        self.wait(Line::Agent, "@ready", Duration::from_secs(30), |agent| agent.take_line_with("@ready"))?;
        Ok(())
    }

    /// Runs a shell command in domain 0.
    pub fn run(&mut self, command: &str, within: Duration) -> Result<Done> {
        if let Some(stuck) = &self.stuck {
            bail!("domain 0 is still busy with: {stuck}");
        }
        self.tell(command)?;
        let answer = self.wait(Line::Agent, "@exit", within, |agent| agent.take_line_with("@exit "));
        if answer.is_err() {
            self.stuck = Some(command.to_owned());
        }
        let taken = answer.with_context(|| format!("domain 0: {command}"))?;
        let code = taken.line.trim_start_matches("@exit ").trim();
        let code = code.parse().with_context(|| format!("the agent said {:?}", taken.line))?;
        Ok(Done { code, output: taken.before.trim().to_owned() })
    }

    /// Runs a command that must succeed within a minute; returns its output.
    pub fn ok(&mut self, command: &str) -> Result<String> {
        let done = self.run(command, Duration::from_secs(60))?;
        ensure!(done.code == 0, "domain 0: {command}: exit code {}:\n{}", done.code, done.output);
        Ok(done.output)
    }

    /// Runs a command that must fail; returns its output, which should say why.
    pub fn fails(&mut self, command: &str) -> Result<String> {
        let done = self.run(command, Duration::from_secs(60))?;
        ensure!(done.code != 0, "domain 0: {command}: succeeded:\n{}", done.output);
        Ok(done.output)
    }

    /// Runs a command that must succeed and print JSON.
    pub fn json(&mut self, command: &str) -> Result<Value> {
        let output = self.ok(command)?;
        serde_json::from_str(&output).with_context(|| format!("domain 0: {command}: no JSON:\n{output}"))
    }

    /// Writes a text file.
    pub fn write_file(&mut self, path: &str, text: &str) -> Result<()> {
        let lines: Vec<String> = text.lines().map(|line| format!("'{line}'")).collect();
        self.ok(&format!("printf '%s\\n' {} > {path}", lines.join(" ")))?;
        Ok(())
    }

    /// Waits until `condition` is true in domain 0's shell.
    pub fn until(&mut self, condition: &str, within: Duration) -> Result<()> {
        let seconds = within.as_secs();
        let command = format!("timeout {seconds} sh -c 'until {condition}; do sleep 1; done'");
        let done = self.run(&command, within + Duration::from_secs(60))?;
        ensure!(done.code == 0, "domain 0: not within {seconds} s: {condition}\n{}", done.output);
        Ok(())
    }

    /// Gives a command of which no answer is expected.
    pub fn tell(&mut self, command: &str) -> Result<()> {
        if let Some(stuck) = &self.stuck {
            bail!("domain 0 is still busy with: {stuck}");
        }
        let agent = self.agent.as_mut().context("this machine has no agent")?;
        agent.send(&format!("{command}\n"))
    }

    /// Switches off by way of domain 0.
    pub fn power_off(&mut self) -> Result<()> {
        self.tell("poweroff")?;
        self.expect_end(Duration::from_secs(60))?;
        Ok(())
    }
}
