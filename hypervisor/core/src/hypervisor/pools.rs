//! Which CPUs and which domains are in which CPU pool, and which CPUs are on.
//!
//! A CPU that is on is in one pool, free, or *leaving*: it is in no pool any more, but not everybody has left it. Changes
//! of that are made one after the other, under the lock of [`Members`]; what follows for the queues, and how races are
//! settled, is in [`sched::pools`](crate::sched).
//!
//! Nobody waits for a CPU that is leaving: the caller may be what has to leave it. It is told [`Progress::More`] and calls
//! again.

use super::Hypervisor;
use crate::domain::{BuildError, Domain, DomainRef, Stage, VcpuRef};
use crate::evtchn::Virq;
use crate::hv_log;
use crate::ids::{CpuId, DomId, PoolId, VcpuId};
use crate::machine::{CpuMask, Machine};
use crate::p2m::Progress;
use crate::refusals;
use crate::sched::MAX_POOLS;
use crate::sync::LockGuard;
use crate::sync::atomic::Ordering;

refusals! {
    /// Why a pool or a CPU stays as it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PoolError {
        /// No such pool.
        NoPool(pool: PoolId) => ENOENT, "there is no {pool}";
        /// The new pool's number is another's.
        Exists(pool: PoolId) => EEXIST, "{pool} is there already";
        /// A number that no pool can have.
        Number(pool: PoolId) => EINVAL, "a {pool}: the highest number is {}", MAX_POOLS - 1;
        /// All numbers are in use.
        Full => ENOSPC, "there are {MAX_POOLS} CPU pools already";
        /// The pool to destroy has domains.
        HasDomains(pool: PoolId, domains: u32) => EBUSY, "{pool} has {domains} domains";
        /// The pool to destroy has CPUs.
        HasCpus(pool: PoolId) => EBUSY, "{pool} has CPUs";
        /// Pool 0 is domain 0's.
        First => EBUSY, "pool 0 is domain 0's, and stays";
        /// A domain would have nowhere to run.
        NoCpus(pool: PoolId) => ENOENT, "{pool} has no CPU";
        /// A domain would have nowhere to run any more.
        LastCpu(cpu: CpuId, pool: PoolId) => EBUSY, "{cpu} is the last of {pool}, which has domains";
        /// There is no such CPU.
        NoCpu(cpu: CpuId) => EINVAL, "there is no {cpu}";
        /// It is off.
        Off(cpu: CpuId) => ENODEV, "{cpu} is off";
        /// It is in a pool.
        NotFree(cpu: CpuId) => ENODEV, "{cpu} is not free";
        /// No CPU is free.
        NoneFree => ENODEV, "no CPU is free";
        /// It is not in that pool.
        NotIn(cpu: CpuId, pool: PoolId) => EADDRNOTAVAIL, "{cpu} is not in {pool}";
        /// None of them is in that pool.
        NoneIn(cpus: u64, pool: PoolId) => EINVAL, "none of the CPUs {cpus:#x} is in {pool}";
        /// Another CPU has not left its pool yet.
        Leaving(cpu: CpuId) => EBUSY, "{cpu} is leaving its pool; others wait";
        /// The boot CPU stays on, and in pool 0.
        Boot => EINVAL, "cpu0 started the machine: it stays on, and pool 0 keeps it";
    }
}

/// Who is where. The CPUs of the pools are the scheduler's.
pub(super) struct Members {
    /// The pools that there are, by number.
    pools: u64,
    on: CpuMask,
    /// CPUs that could be on.
    present: CpuMask,
    /// CPUs that are in no pool when they come on.
    isolated: CpuMask,
    leaving: Option<(CpuId, PoolId)>,
}

impl Members {
    /// Pool 0 and those CPUs, all of which are on.
    pub fn new(on: CpuMask, isolated: CpuMask) -> Self {
        Self { pools: 1, on, present: on, isolated, leaving: None }
    }

    fn check(&self, pool: PoolId) -> Result<(), PoolError> {
        let is_there = self.pools & 1u64.checked_shl(pool.0).unwrap_or(0) != 0;
        if is_there { Ok(()) } else { Err(PoolError::NoPool(pool)) }
    }
}

impl<M: Machine> Hypervisor<M> {
    /// The CPUs that are on.
    pub fn online(&self) -> CpuMask {
        self.members.lock().on
    }

    /// The CPUs that are on and in no pool.
    pub fn free_cpus(&self) -> CpuMask {
        self.free_of(&self.members.lock())
    }

    fn free_of(&self, members: &Members) -> CpuMask {
        let in_pools = (0..MAX_POOLS as u32).fold(0, |all, pool| all | self.sched.pool_cpus(PoolId(pool)).0);
        let mut free = CpuMask(members.on.0 & !in_pools);
        if let Some((cpu, _)) = members.leaving {
            free.remove(cpu);
        }
        free
    }

    /// The first pool from number `from` on.
    pub fn pool_from(&self, from: PoolId) -> Option<PoolId> {
        let pools = u64::MAX.checked_shl(from.0).unwrap_or(0) & self.members.lock().pools;
        (pools != 0).then_some(PoolId(pools.trailing_zeros()))
    }

    /// How many domains a pool has.
    pub fn domains_in(&self, pool: PoolId) -> u32 {
        self.domains.read().iter().filter(|domain| domain.pool() == pool).count() as u32
    }

    /// Makes a pool without CPUs, of a given number or the next one.
    ///
    /// # Errors
    /// The number is not to be had.
    pub fn create_pool(&self, wanted: Option<PoolId>) -> Result<PoolId, PoolError> {
        let mut members = self.members.lock();
        let last = members.pools.checked_ilog2().unwrap_or(0);
        let next = || (1..=MAX_POOLS as u32).map(|i| PoolId((last + i) % MAX_POOLS as u32));
        let pool = match wanted {
            Some(pool) if pool.index() >= MAX_POOLS => return Err(PoolError::Number(pool)),
            Some(pool) if members.check(pool).is_ok() => return Err(PoolError::Exists(pool)),
            Some(pool) => pool,
            None => next().find(|pool| members.check(*pool).is_err()).ok_or(PoolError::Full)?,
        };
        members.pools |= 1 << pool.0;
        Ok(pool)
    }

    /// Removes a pool that has neither domains nor CPUs.
    ///
    /// # Errors
    /// It has, or it is not there.
    pub fn destroy_pool(&self, pool: PoolId) -> Result<(), PoolError> {
        let mut members = self.members.lock();
        members.check(pool)?;
        match self.domains_in(pool) {
            _ if pool == PoolId::ZERO => Err(PoolError::First),
            0 if self.sched.pool_cpus(pool).0 != 0 => Err(PoolError::HasCpus(pool)),
            0 => {
                members.pools &= !(1 << pool.0);
                Ok(())
            }
            domains => Err(PoolError::HasDomains(pool, domains)),
        }
    }

    /// Adds a free CPU to a pool: a given one, or the first.
    ///
    /// # Errors
    /// It is not free, or the pool is not there.
    pub fn add_cpu(&self, pool: PoolId, wanted: Option<CpuId>) -> Result<(), PoolError> {
        let members = self.members.lock();
        members.check(pool)?;
        let free = self.free_of(&members);
        let cpu = wanted.or_else(|| free.iter().next()).ok_or(PoolError::NoneFree)?;
        match members.leaving {
            _ if !members.present.contains(cpu) => return Err(PoolError::NoCpu(cpu)),
            _ if !members.on.contains(cpu) => return Err(PoolError::Off(cpu)),
            Some((leaving, _)) if leaving == cpu => return Err(PoolError::Leaving(cpu)),
            _ if !free.contains(cpu) => return Err(PoolError::NotFree(cpu)),
            _ => self.sched.join_pool(pool, cpu),
        }
        Ok(())
    }

    /// Takes a CPU out of a pool; it is free then.
    ///
    /// # Errors
    /// It is not in that pool, or the pool's domains need it.
    pub fn remove_cpu(&self, pool: PoolId, cpu: CpuId) -> Result<Progress, PoolError> {
        let mut members = self.members.lock();
        members.check(pool)?;
        if !members.on.contains(cpu) {
            return Err(PoolError::Off(cpu));
        }
        let progress = self.leave(&mut members, pool, cpu)?;
        drop(members);
        self.retarget(progress, cpu)
    }

    /// Switches a CPU off: a free one, or one of pool 0.
    ///
    /// # Errors
    /// It is in another pool, or needed.
    pub fn switch_cpu_off(&self, cpu: CpuId) -> Result<Progress, PoolError> {
        let mut members = self.members.lock();
        let leaving = members.leaving;
        match leaving {
            _ if cpu.0 == 0 => return Err(PoolError::Boot),
            _ if !members.present.contains(cpu) => return Err(PoolError::NoCpu(cpu)),
            _ if !members.on.contains(cpu) => return Ok(Progress::Done),
            None if self.free_of(&members).contains(cpu) => {}
            Some((leaving, _)) if leaving != cpu => return Err(PoolError::Leaving(leaving)),
            None if !self.sched.pool_cpus(PoolId::ZERO).contains(cpu) => return Err(PoolError::NotFree(cpu)),
            _ if self.leave(&mut members, PoolId::ZERO, cpu)? == Progress::More => return Ok(Progress::More),
            _ => {}
        }
        members.on.remove(cpu);
        self.machine.set_online(cpu, false);
        drop(members);
        self.tell_of_cpu(cpu, "off");
        self.retarget(Progress::Done, cpu)
    }

    /// Switches a CPU on: it joins pool 0, unless it was isolated at boot.
    ///
    /// # Errors
    /// There is no such CPU.
    pub fn switch_cpu_on(&self, cpu: CpuId) -> Result<(), PoolError> {
        let mut members = self.members.lock();
        if !members.present.contains(cpu) {
            return Err(PoolError::NoCpu(cpu));
        }
        if members.on.contains(cpu) {
            return Ok(());
        }
        members.on.insert(cpu);
        self.machine.set_online(cpu, true);
        if !members.isolated.contains(cpu) {
            self.sched.join_pool(PoolId::ZERO, cpu);
        }
        drop(members);
        self.tell_of_cpu(cpu, "on");
        Ok(())
    }

    /// Moves a domain to another pool. As with Xen, its affinities do not go along. Not for the caller's own domain.
    ///
    /// # Errors
    /// There is no such pool, or it has no CPU.
    pub fn move_domain(&self, domain: &DomainRef<M>, pool: PoolId) -> Result<(), PoolError> {
        if domain.pool() == pool {
            return Ok(());
        }
        self.while_stopped(domain, || {
            let members = self.members.lock();
            members.check(pool)?;
            if self.sched.pool_cpus(pool).0 == 0 {
                return Err(PoolError::NoCpus(pool));
            }
            self.place_in(domain, pool);
            Ok(())
        })
    }

    /// Sees that a domain has a pool that can run it; nobody changes that while the caller has what this returns.
    pub(super) fn check_pool_of(&self, domain: &Domain<M>) -> Result<LockGuard<'_, Members>, BuildError> {
        let (members, pool) = (self.members.lock(), domain.pool());
        if members.check(pool).is_err() {
            return Err(BuildError::NoPool(pool));
        }
        if self.sched.pool_cpus(pool).0 == 0 {
            return Err(BuildError::EmptyPool(pool));
        }
        Ok(members)
    }

    /// Confines a vCPU to some CPUs.
    ///
    /// # Errors
    /// None of them is in its pool.
    pub fn confine(&self, vcpu: &VcpuRef<M>, cpus: CpuMask) -> Result<(), PoolError> {
        let _pools = self.members.lock();
        let pool = vcpu.domain().pool();
        if cpus.0 & self.sched.pool_cpus(pool).0 == 0 {
            return Err(PoolError::NoneIn(cpus.0, pool));
        }
        self.sched.set_affinity(vcpu, cpus);
        Ok(())
    }

    /// A CPU leaves a pool, or goes on with that.
    fn leave(&self, members: &mut Members, pool: PoolId, cpu: CpuId) -> Result<Progress, PoolError> {
        match members.leaving {
            Some(leaving) if leaving == (cpu, pool) => {}
            Some((leaving, _)) => return Err(PoolError::Leaving(leaving)),
            None if !self.sched.pool_cpus(pool).contains(cpu) => return Err(PoolError::NotIn(cpu, pool)),
            None if pool == PoolId::ZERO && cpu.0 == 0 => return Err(PoolError::Boot),
            None => {
                if self.sched.pool_cpus(pool).0.count_ones() == 1 {
                    self.clear_out(pool, cpu)?;
                }
                members.leaving = Some((cpu, pool));
                self.sched.leave_pool(pool, cpu);
                self.break_affinities(pool);
            }
        }
        // Under the table's lock, so that no vCPU is forgotten meanwhile.
        let domains = self.domains.read();
        let vcpus = domains.iter().filter(|domain| domain.pool() == pool).flat_map(Domain::vcpu_refs);
        if !self.sched.evacuate(cpu, vcpus) {
            return Ok(Progress::More);
        }
        members.leaving = None;
        Ok(Progress::Done)
    }

    /// The last CPU of a pool may go if the pool's domains are dying: what is left of them waits in pool 0.
    fn clear_out(&self, pool: PoolId, cpu: CpuId) -> Result<(), PoolError> {
        let domains = || self.domains_from(DomId(0)).filter(|domain| domain.pool() == pool);
        if domains().any(|domain| domain.life.stage() == Stage::Alive) {
            return Err(PoolError::LastCpu(cpu, pool));
        }
        domains().for_each(|domain| self.place_in(&domain, PoolId::ZERO));
        Ok(())
    }

    fn place_in(&self, domain: &DomainRef<M>, pool: PoolId) {
        domain.pool.store(pool.0, Ordering::SeqCst);
        for vcpu in domain.vcpu_refs() {
            self.sched.set_soft_affinity(&vcpu, CpuMask(u64::MAX));
            self.sched.set_affinity(&vcpu, CpuMask(u64::MAX));
        }
    }

    /// vCPUs that are confined to CPUs of which their pool has none any more are free to run anywhere in it, as with Xen.
    fn break_affinities(&self, pool: PoolId) {
        let cpus = self.sched.pool_cpus(pool).0;
        for domain in self.domains_from(DomId(0)).filter(|domain| domain.pool() == pool) {
            for vcpu in domain.vcpu_refs().filter(|vcpu| vcpu.sched.affinity().0 & cpus == 0) {
                hv_log!(
                    self,
                    Info,
                    "{vcpu} may run on all CPUs of {pool}: the one that it was confined to leaves"
                );
                self.sched.set_affinity(&vcpu, CpuMask(u64::MAX));
            }
        }
    }

    /// Has devices interrupt other CPUs than one that everybody has left.
    fn retarget(&self, progress: Progress, cpu: CpuId) -> Result<Progress, PoolError> {
        if progress == Progress::Done {
            self.with_hardware(|hardware| hardware.leave_cpu(cpu));
        }
        Ok(progress)
    }

    fn tell_of_cpu(&self, cpu: CpuId, now: &str) {
        hv_log!(self, Info, "{cpu} is {now}");
        if let Some(control) = self.domain(DomId::ZERO) {
            self.raise_virq(&control, Virq::PCPU_STATE, VcpuId(0));
        }
    }
}
