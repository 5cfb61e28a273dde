//! What vCPUs did: a call that only Tenon has.

use hypercall_abi::tenon::{self, VCPU_ACCOUNT};

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

impl Xen {
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
