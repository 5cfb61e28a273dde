//! What the administrator chooses at boot: how CPUs are given to vCPUs (`sched=`), and what is given at once (`sched-gran=`).

use super::core_gran::Cores;
use super::null::Seats;
use super::{Cpus, Schedulable, Scheduler};
use crate::fallible::NoMemory;

/// How CPUs are given to vCPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// In turns, by weight, within caps.
    #[default]
    ByWeight,
    /// Each to one vCPU, as long as there are some (`sched=null`).
    OneToOne,
}

/// What vCPUs of different domains are kept apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Granularity {
    /// Time alone: each CPU runs what it likes.
    #[default]
    Cpu,
    /// Cores: at no time do the threads of one run two domains.
    Core,
}

/// The choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How CPUs are given to vCPUs.
    pub sharing: Sharing,
    /// What keeps domains apart.
    pub granularity: Granularity,
}

impl<C: Cpus, V: Schedulable> Scheduler<C, V> {
    /// Follows a policy, from before the first vCPU on.
    ///
    /// # Errors
    /// No memory.
    pub fn follow(&mut self, policy: Policy) -> Result<(), NoMemory> {
        self.seats = match policy.sharing {
            Sharing::ByWeight => None,
            Sharing::OneToOne => Some(Seats::new(self.cpus.len())?),
        };
        self.cores = match policy.granularity {
            Granularity::Cpu => None,
            Granularity::Core => Some(Cores::new(self.cpus.len(), &self.topology)?),
        };
        self.is_plain = policy == Policy::default();
        Ok(())
    }

    /// What it follows.
    pub fn policy(&self) -> Policy {
        let sharing = if self.seats.is_some() { Sharing::OneToOne } else { Sharing::ByWeight };
        let granularity = if self.cores.is_some() { Granularity::Core } else { Granularity::Cpu };
        Policy { sharing, granularity }
    }
}
