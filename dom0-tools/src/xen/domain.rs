//! A domain as the hypervisor lists it.

use serde::Serialize;

use crate::config::Uuid;
use crate::lifecycle::decide::{Activity, Reason};

/// What the hypervisor says of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its number.
    pub id: u16,
    /// Its handle: the guest's UUID.
    pub uuid: Uuid,
    /// Its flags.
    pub flags: DomainFlags,
    /// Why it shut down; `None` if it did not.
    pub shutdown: Option<Reason>,
    /// Memory that it has, pages.
    pub pages: u64,
    /// Memory that it may have, pages.
    pub max_pages: u64,
    /// CPU time that it used, nanoseconds.
    pub cpu_time: u64,
    /// Its CPU pool.
    pub pool: u32,
    /// vCPUs that are online.
    pub online_vcpus: u32,
    /// vCPUs that it has.
    pub vcpus: u32,
}

/// What a domain is doing; several can be true at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent bits of the interface")]
pub struct DomainFlags {
    /// A vCPU runs right now.
    pub running: bool,
    /// No vCPU has anything to do.
    pub blocked: bool,
    /// Somebody paused it.
    pub paused: bool,
    /// It is being destroyed.
    pub dying: bool,
}

impl DomainInfo {
    /// What decisions depend on.
    #[must_use]
    pub fn activity(&self) -> Activity {
        match self.shutdown {
            _ if self.flags.dying => Activity::Dying,
            Some(reason) => Activity::Shutdown(reason),
            None if self.flags.paused && self.cpu_time == 0 => Activity::Unstarted,
            None => Activity::Live,
        }
    }

    /// Memory that it may have, MiB; `None` if there is no limit, which the interface says of domain 0 with a number
    /// beyond any machine.
    #[must_use]
    pub fn max_memory_mib(&self) -> Option<u64> {
        (self.max_pages < 1 << 40).then_some(self.max_pages >> 8)
    }

    /// The state in one word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.activity() {
            Activity::Dying => "dying",
            Activity::Shutdown(reason) => match reason {
                Reason::Crash | Reason::Watchdog => "crashed",
                Reason::Suspend => "suspended",
                _ => "shutdown",
            },
            _ if self.flags.paused => "paused",
            _ if self.flags.running => "running",
            _ => "idle",
        }
    }
}
