//! What vCPUs did, and who holds a dying domain's memory: calls that only Tenon has.

use hypercall_abi::errno::Errno;
use hypercall_abi::tenon::{self, HOLDINGS, HOLDINGS_END, VCPU_ACCOUNT};

use super::error::XenError;
use super::hypercall::Xen;

/// Kinds of exits that there is room for: many more than there are.
const ROOM: usize = 64;

/// What a vCPU did since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcpuAccount {
    /// When it was read: system time in nanoseconds.
    pub now: u64,
    /// Nanoseconds until then in each run state (`RUNSTATE_*`).
    pub spent: [u64; 4],
    /// Exits by kind, as many as the hypervisor counts.
    pub exits: Vec<u64>,
}

/// What a domain has mapped of another one's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Grants.
    pub grants: u64,
    /// Pages, as the controller.
    pub pages: u64,
}

impl Xen {
    /// What `holder` has mapped of `domain`. It is nothing where the hypervisor does not know, or one of the two is gone.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn holdings(&self, domain: u16, holder: u16) -> Result<Holdings, XenError> {
        let mut sum = Holdings::default();
        let mut at = 0;
        while at != HOLDINGS_END {
            let argument = tenon::Holdings { at, holder, ..tenon::Holdings::default() };
            let answer = match self.control("domctl of Tenon's, holdings", HOLDINGS, domain, argument) {
                Err(e) if e.is(Errno::ENOSYS) || e.is(Errno::ESRCH) => return Ok(Holdings::default()),
                answer => answer?.payload::<tenon::Holdings>(),
            };
            sum.grants += u64::from(answer.grants);
            sum.pages += u64::from(answer.frames);
            at = answer.at;
        }
        Ok(sum)
    }

    /// The accounts of a domain's first `vcpus` vCPUs.
    ///
    /// # Errors
    /// ESRCH if there is no such domain; ENOSYS if the hypervisor is not Tenon.
    pub fn accounts(&self, domain: u16, vcpus: u32) -> Result<Vec<VcpuAccount>, XenError> {
        let mut exits = self.buffer(ROOM * size_of::<u64>())?;
        let mut accounts = Vec::new();
        for vcpu in 0..vcpus {
            let argument = tenon::VcpuAccount {
                vcpu,
                kinds: ROOM as u32,
                exits: exits.handle(),
                ..tenon::VcpuAccount::default()
            };
            let answer = self.control("domctl of Tenon's, vcpu_account", VCPU_ACCOUNT, domain, argument)?;
            let tenon::VcpuAccount { now, spent, kinds, .. } = answer.payload();
            accounts.push(VcpuAccount { now, spent, exits: exits.values(ROOM.min(kinds as usize)) });
        }
        Ok(accounts)
    }
}
