//! A fault of QEMU that now and then ends a Linux kernel with several CPUs as it boots: a CPU executes the INT3 that
//! another had put there for a moment, to change the kernel's code, and taken away again. It is known by what Linux says
//! of it; docs/src/decisions/stale-int3.md has the evidence that it is QEMU's.

use std::time::Duration;

use crate::config::Config;
use crate::machine::Machine;
use crate::runner::Emulator;

/// How Linux reports a breakpoint that nobody has set.
const REPORT: &str = "int3: 0000 [#";

/// Whether a machine can meet it: it takes two CPUs of QEMU.
pub fn possible(emulator: Emulator, config: &Config) -> bool {
    emulator == Emulator::Qemu && config.cpus > 1
}

impl Machine {
    /// Whether domain 0 or a guest has died of it.
    pub(crate) fn ran_stale_int3(&mut self) -> bool {
        if !self.console.tail(usize::MAX, is_report).is_empty() {
            return true;
        }
        // Guests report on consoles whose logs domain 0 keeps. If it does not answer, they cannot be read, and then
        // the failure stands.
        let logs =
            self.run(&format!("grep -qsF '{REPORT}' /var/log/tenon/console/*"), Duration::from_secs(30));
        logs.is_ok_and(|done| done.code == 0)
    }
}

fn is_report(line: &str) -> bool {
    line.contains(REPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kernels_reports_are_known() {
        assert!(is_report("[    7.006664] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI"));
        assert!(is_report("(d1) [    3.093098] int3: 0000 [#1] PREEMPT SMP NOPTI"));
    }

    #[test]
    fn other_deaths_are_not_taken_for_it() {
        assert!(!is_report(
            "[    2.1] Oops: general protection fault, probably for non-canonical address: 0000 [#1]"
        ));
        assert!(!is_report("[    2.1] Kernel panic - not syncing: Fatal exception in interrupt"));
        assert!(!is_report("[    2.1]  exc_int3+0x3a/0x70"));
    }

    #[test]
    fn one_cpu_cannot_meet_it() {
        assert!(!possible(Emulator::Qemu, &Config::new(1)));
        assert!(possible(Emulator::Qemu, &Config::new(4)));
    }
}
