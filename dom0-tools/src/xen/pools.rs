//! CPU pools, and CPUs that are switched on and off.

use hypercall_abi::errno::Errno;
use hypercall_abi::sysctl::{self, CpuHotplug, CpupoolOp, SchedId, Sysctl};

use super::error::XenError;
use super::hypercall::Xen;
use super::sched::{bitmap, read};
use crate::config::CpuSet;

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    /// Its number.
    pub id: u32,
    /// How many domains it has.
    pub domains: u32,
    /// Its CPUs.
    pub cpus: CpuSet,
}

impl Xen {
    fn pool_op(&self, name: &'static str, op: CpupoolOp) -> Result<(CpupoolOp, CpuSet), XenError> {
        let mut cpus = self.cpu_set()?;
        let argument = CpupoolOp { cpumap: bitmap(&mut cpus), ..op };
        let mut call = Sysctl::new(sysctl::CPUPOOL_OP, argument);
        self.sysctl(name, &mut call)?;
        Ok((call.payload(), read(&cpus)))
    }

    /// Every pool, by number.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn pools(&self) -> Result<Vec<PoolInfo>, XenError> {
        let mut pools: Vec<PoolInfo> = Vec::new();
        loop {
            let cpupool_id = pools.last().map_or(0, |last| last.id.saturating_add(1));
            let op = CpupoolOp { op: sysctl::CPUPOOL_OP_INFO, cpupool_id, ..CpupoolOp::default() };
            match self.pool_op("sysctl cpupool_op info", op) {
                Ok((info, cpus)) => pools.push(PoolInfo { id: info.cpupool_id, domains: info.n_dom, cpus }),
                Err(e) if e.is(Errno::ENOENT) => return Ok(pools),
                Err(e) => return Err(e),
            }
        }
    }

    /// The CPUs of a pool; none if there is no such pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn pool_cpus(&self, pool: u32) -> Result<CpuSet, XenError> {
        let found = self.pools()?.into_iter().find(|found| found.id == pool);
        Ok(found.map(|found| found.cpus).unwrap_or_default())
    }

    /// The CPUs that are on and in no pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn free_cpus(&self) -> Result<CpuSet, XenError> {
        let op = CpupoolOp { op: sysctl::CPUPOOL_OP_FREEINFO, ..CpupoolOp::default() };
        Ok(self.pool_op("sysctl cpupool_op freeinfo", op)?.1)
    }

    /// Makes an empty pool; gives its number.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn create_pool(&self) -> Result<u32, XenError> {
        let (op, cpupool_id) = (sysctl::CPUPOOL_OP_CREATE, sysctl::CPUPOOL_PAR_ANY);
        let op = CpupoolOp { op, cpupool_id, sched_id: self.scheduler()?, ..CpupoolOp::default() };
        Ok(self.pool_op("sysctl cpupool_op create", op)?.0.cpupool_id)
    }

    /// Removes an empty pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn destroy_pool(&self, pool: u32) -> Result<(), XenError> {
        let op = CpupoolOp { op: sysctl::CPUPOOL_OP_DESTROY, cpupool_id: pool, ..CpupoolOp::default() };
        self.pool_op("sysctl cpupool_op destroy", op).map(drop)
    }

    /// Adds a free CPU to a pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn add_cpu(&self, pool: u32, cpu: u32) -> Result<(), XenError> {
        let op = CpupoolOp { op: sysctl::CPUPOOL_OP_ADDCPU, cpupool_id: pool, cpu, ..CpupoolOp::default() };
        self.pool_op("sysctl cpupool_op addcpu", op).map(drop)
    }

    /// Takes a CPU out of its pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn remove_cpu(&self, pool: u32, cpu: u32) -> Result<(), XenError> {
        let op = CpupoolOp { op: sysctl::CPUPOOL_OP_RMCPU, cpupool_id: pool, cpu, ..CpupoolOp::default() };
        self.pool_op("sysctl cpupool_op rmcpu", op).map(drop)
    }

    /// Moves a domain to a pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn move_domain(&self, domain: u16, pool: u32) -> Result<(), XenError> {
        let (op, domid) = (sysctl::CPUPOOL_OP_MOVEDOMAIN, domain.into());
        let op = CpupoolOp { op, cpupool_id: pool, domid, ..CpupoolOp::default() };
        self.pool_op("sysctl cpupool_op movedomain", op).map(drop)
    }

    /// Switches a CPU on or off.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn switch_cpu(&self, cpu: u32, on: bool) -> Result<(), XenError> {
        let op = if on { sysctl::CPU_HOTPLUG_ONLINE } else { sysctl::CPU_HOTPLUG_OFFLINE };
        let mut call = Sysctl::new(sysctl::CPU_HOTPLUG, CpuHotplug { cpu, op });
        self.sysctl("sysctl cpu_hotplug", &mut call).map(drop)
    }

    /// How CPUs are shared, one of `SCHEDULER_*`.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn scheduler(&self) -> Result<u32, XenError> {
        let mut call = Sysctl::new(sysctl::SCHED_ID, SchedId::default());
        self.sysctl("sysctl sched_id", &mut call)?;
        Ok(call.payload::<SchedId>().sched_id)
    }
}
