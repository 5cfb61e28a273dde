//! The whole: the domains, the scheduler, and what connects them.
//!
//! One [`Hypervisor`] exists; everything that acts on more than one vCPU takes a reference to it.

mod events;
mod grants;
mod lifecycle;
#[cfg(all(test, loom))]
#[path = "tests/loom.rs"]
mod loom_tests;
mod pools;

pub use grants::{Mapped, UseError};
use pools::Members;
pub use pools::PoolError;

use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use crate::domain::{BuildError, Domain, DomainRef, VcpuRef};
use crate::emulate;
use crate::entries::Entries;
use crate::fallible::{self, NoMemory};
use crate::ids::DomId;
use crate::log::Level;
use crate::machine::{CpuMask, Machine};
use crate::sched::Scheduler;
use crate::sync::{Class, Lock, RwLock};

/// The hypervisor's state.
pub struct Hypervisor<M: Machine> {
    /// The machine below.
    pub machine: M,
    /// Who runs where.
    pub sched: Scheduler<M, VcpuRef<M>>,
    /// Who is in a guest.
    pub entries: Entries,
    /// Who is in which pool.
    members: Lock<Members>,
    /// Sorted by id.
    domains: RwLock<Vec<DomainRef<M>>>,
    /// Where to look for the next free id.
    next_id: Lock<u16>,
    /// Up to where the tools have cleared the console's memory.
    pub(crate) console_cleared: AtomicU64,
    /// Whether a guest may be told that the machine's TSC is invariant and in step.
    pub stable_tsc: bool,
}

/// Logs at a level, as `hv.machine.log`.
#[macro_export]
macro_rules! hv_log {
    ($hv:expr, $level:ident, $($arg:tt)*) => {
        $hv.machine.log($crate::log::Level::$level, format_args!($($arg)*))
    };
}

impl<M: Machine> Hypervisor<M> {
    /// A hypervisor without domains, on the CPUs that are `on`. Those that are not `isolated`, or all if that is none, are
    /// in pool 0.
    ///
    /// # Errors
    /// No memory.
    pub fn new(machine: M, stable_tsc: bool, on: CpuMask, isolated: CpuMask) -> Result<Self, NoMemory> {
        emulate::prepare();
        let rest = on.0 & !isolated.0;
        let (first, isolated) = if rest == 0 { (on, CpuMask(0)) } else { (CpuMask(rest), isolated) };
        Ok(Self {
            machine,
            sched: Scheduler::new(machine, first)?,
            entries: Entries::default(),
            members: Lock::new(Class::Pools, Members::new(on, isolated)),
            domains: RwLock::new(Class::Domains, Vec::new()),
            next_id: Lock::new(Class::NextId, 1),
            console_cleared: AtomicU64::new(0),
            stable_tsc,
        })
    }

    /// The domain of that number, dying ones included.
    pub fn domain(&self, id: DomId) -> Option<DomainRef<M>> {
        let domains = self.domains.read();
        let at = domains.binary_search_by_key(&id, |d| d.id).ok()?;
        domains.get(at).cloned()
    }

    /// The first domain whose number is at least `id`.
    pub fn domain_from(&self, id: DomId) -> Option<DomainRef<M>> {
        let domains = self.domains.read();
        domains.get(domains.partition_point(|d| d.id < id)).cloned()
    }

    /// All domains whose number is at least `first`, in order. Others may come and go meanwhile.
    pub fn domains_from(&self, first: DomId) -> impl Iterator<Item = DomainRef<M>> {
        let mut next = first;
        core::iter::from_fn(move || {
            let domain = self.domain_from(next)?;
            next = DomId(domain.id.0 + 1);
            Some(domain)
        })
    }

    /// Finds a number that no domain has and to which no frame belongs, after the one used last.
    #[must_use]
    pub fn free_id(&self) -> Option<DomId> {
        let mut next = self.next_id.lock();
        for _ in 0..DomId::FIRST_RESERVED.0 {
            let id = DomId(*next);
            *next = if *next + 1 >= DomId::FIRST_RESERVED.0 { 1 } else { *next + 1 };
            if self.domain(id).is_none() && self.machine.table().owned_by(id) == 0 {
                return Some(id);
            }
        }
        None
    }

    /// Adds a domain to the table and gives its vCPUs to the scheduler. False if the number is taken.
    ///
    /// # Errors
    /// No memory for the table's or the scheduler's room, or no pool that could run it.
    pub fn add_domain(&self, domain: &DomainRef<M>) -> Result<bool, BuildError> {
        // The pool stays until the domain is in it.
        let _pools = self.check_pool_of(domain)?;
        let mut domains = self.domains.write();
        let at = domains.partition_point(|d| d.id < domain.id);
        if domains.get(at).is_some_and(|d| d.id == domain.id) {
            return Ok(false);
        }
        fallible::reserve(&mut domains, 1)?;
        let vcpus = domains.iter().map(|d| d.vcpus.len()).sum::<usize>() + domain.vcpus.len();
        self.sched.reserve(vcpus)?;
        domains.insert(at, domain.clone());
        drop(domains);
        domain.vcpu_refs().for_each(|vcpu| self.sched.place(&vcpu));
        Ok(true)
    }

    /// Takes a dead domain out of the table, unless that has happened already and the number is another's.
    pub(crate) fn remove_domain(&self, dead: &Domain<M>) {
        let mut domains = self.domains.write();
        if let Some(at) = domains.iter().position(|d| core::ptr::eq(&**d, dead)) {
            let domain = domains.remove(at);
            drop(domains);
            domain.vcpu_refs().for_each(|vcpu| self.sched.forget(&vcpu));
        }
    }

    /// Flushes a domain's guest translations on every CPU that runs it, waiting until they are gone.
    ///
    /// The domain's flush epoch has been advanced; vCPUs that are not running flush when they enter.
    pub fn flush_guest_tlbs(&self, domain: &Domain<M>) {
        let mut cpus = domain.running_on();
        cpus.remove(self.machine.this_cpu());
        self.entries.exclude(cpus, |cpu| self.machine.kick(cpu));
    }

    /// Ends a guest that did what no guest may, with the reason in the log.
    pub fn crash(&self, vcpu: &VcpuRef<M>, reason: core::fmt::Arguments<'_>) {
        self.machine.log(Level::Error, format_args!("{vcpu} crashed: {reason}"));
        self.shutdown_domain(vcpu.domain(), hypercall_abi::sched::SHUTDOWN_CRASH);
    }
}
