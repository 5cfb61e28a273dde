//! How vCPUs are scheduled: where they run, and how much CPU time domains get.

use hypercall_abi::domctl::{
    self, AffinityFlags, GetVcpuInfo, SCHEDULER_CREDIT, SchedCredit, SchedulerOp, VcpuAffinity,
};
use hypercall_abi::plain::Union;
use hypercall_abi::xen::CtlBitmap;

use super::error::XenError;
use super::hypercall::{Buffer, Xen};
use crate::config::CpuSet;

/// Bytes of a set of CPUs: room for more than any x86 machine has.
const SET_BYTES: usize = 512;
/// Says that a cap is to be left as it is; a weight of 0 says the same.
const SAME_CAP: u16 = u16::MAX;

/// The CPUs that a vCPU runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// It runs on no other.
    pub hard: CpuSet,
    /// It had better run on these.
    pub soft: CpuSet,
}

/// How much CPU time a domain gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Its vCPUs' share, relative to the others'; 256 is normal.
    pub weight: u16,
    /// The most that its vCPUs use together, percent of one CPU; 0 for no limit.
    pub cap: u16,
}

impl Xen {
    pub(super) fn cpu_set(&self) -> Result<Buffer, XenError> {
        self.buffer(SET_BYTES)
    }

    /// What a vCPU does.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn vcpu_info(&self, domain: u16, vcpu: u32) -> Result<GetVcpuInfo, XenError> {
        let argument = GetVcpuInfo { vcpu, ..GetVcpuInfo::default() };
        Ok(self.control("domctl getvcpuinfo", domctl::GETVCPUINFO, domain, argument)?.payload())
    }

    /// Where a vCPU may run.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn affinity(&self, domain: u16, vcpu: u32) -> Result<Affinity, XenError> {
        let (mut hard, mut soft) = (self.cpu_set()?, self.cpu_set()?);
        let argument = VcpuAffinity {
            vcpu,
            flags: AffinityFlags::HARD | AffinityFlags::SOFT,
            cpumap_hard: bitmap(&mut hard),
            cpumap_soft: bitmap(&mut soft),
        };
        self.control("domctl getvcpuaffinity", domctl::GETVCPUAFFINITY, domain, argument)?;
        Ok(Affinity { hard: read(&hard), soft: read(&soft) })
    }

    /// Lets a vCPU run on some CPUs only.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn pin(&self, domain: u16, vcpu: u32, cpus: &CpuSet) -> Result<(), XenError> {
        let mut hard = self.cpu_set()?;
        cpus.to_bitmap(hard.bytes_mut());
        let argument = VcpuAffinity {
            vcpu,
            flags: AffinityFlags::HARD,
            cpumap_hard: bitmap(&mut hard),
            ..VcpuAffinity::default()
        };
        self.control("domctl setvcpuaffinity", domctl::SETVCPUAFFINITY, domain, argument).map(drop)
    }

    /// How much CPU time a domain gets.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn shares(&self, domain: u16) -> Result<Shares, XenError> {
        let u = self.scheduler_op(domain, domctl::SCHEDOP_GETINFO, SchedCredit::default())?;
        Ok(Shares { weight: u.weight, cap: u.cap })
    }

    /// Changes what is given of it.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn set_shares(&self, domain: u16, weight: Option<u16>, cap: Option<u16>) -> Result<(), XenError> {
        let parameters = SchedCredit { weight: weight.unwrap_or(0), cap: cap.unwrap_or(SAME_CAP) };
        self.scheduler_op(domain, domctl::SCHEDOP_PUTINFO, parameters).map(drop)
    }

    fn scheduler_op(&self, domain: u16, cmd: u32, u: SchedCredit) -> Result<SchedCredit, XenError> {
        let argument = SchedulerOp { sched_id: SCHEDULER_CREDIT, cmd, u: Union::new(u) };
        let done = self.control("domctl scheduler_op", domctl::SCHEDULER_OP, domain, argument)?;
        Ok(done.payload::<SchedulerOp>().u.get())
    }
}

/// How an argument says that a set is, or goes, here.
pub(super) fn bitmap(cpus: &mut Buffer) -> CtlBitmap {
    CtlBitmap { bitmap: cpus.handle(), nr_bits: SET_BYTES as u32 * 8, ..CtlBitmap::default() }
}

pub(super) fn read(cpus: &Buffer) -> CpuSet {
    CpuSet::from_bitmap(&cpus.bytes()[..SET_BYTES])
}
