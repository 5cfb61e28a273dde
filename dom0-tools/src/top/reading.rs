//! One look at all counters.

use hypercall_abi::errno::Errno;

use crate::config::Uuid;
use crate::host::{Domain, Host, HostError};
use crate::xen::account::VcpuAccount;

/// The machine and its domains at one moment, or nearly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The machine's CPUs.
    pub cpus: u32,
    /// The machine's memory.
    pub memory_mib: u64,
    /// Memory that no domain has.
    pub free_memory_mib: u64,
    /// Every domain, by number.
    pub domains: Vec<DomainReading>,
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainReading {
    /// Its number.
    pub id: u16,
    /// What tells it from another that had the number before.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its state, in one word.
    pub state: &'static str,
    /// vCPUs that are online.
    pub online_vcpus: u32,
    /// Memory that it has.
    pub memory_mib: u64,
    /// Memory that it may have, if there is a limit.
    pub max_memory_mib: Option<u64>,
    /// Every vCPU that it has, online or not.
    pub vcpus: Vec<VcpuAccount>,
}

impl Reading {
    /// Asks the hypervisor. A domain that goes away meanwhile is left out.
    ///
    /// # Errors
    /// If it refuses. A hypervisor other than Tenon answers ENOSYS.
    pub fn take(host: &Host) -> Result<Self, HostError> {
        let machine = host.xen.physinfo()?;
        let mut domains = Vec::new();
        for domain in host.domains()? {
            match host.xen.accounts(domain.info.id, domain.info.vcpus) {
                Ok(vcpus) => domains.push(DomainReading::new(domain, vcpus)),
                Err(e) if e.is(Errno::ESRCH) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Self {
            cpus: machine.nr_cpus,
            memory_mib: machine.total_pages >> 8,
            free_memory_mib: machine.free_pages >> 8,
            domains,
        })
    }

    /// The system time of the reading's end, nanoseconds.
    pub(super) fn end(&self) -> u64 {
        self.domains.iter().flat_map(|domain| &domain.vcpus).map(|vcpu| vcpu.now).max().unwrap_or(0)
    }
}

impl DomainReading {
    fn new(domain: Domain, vcpus: Vec<VcpuAccount>) -> Self {
        Self {
            id: domain.info.id,
            uuid: domain.info.uuid,
            state: domain.state(),
            online_vcpus: domain.info.online_vcpus,
            memory_mib: domain.info.pages >> 8,
            max_memory_mib: domain.info.max_memory_mib(),
            name: domain.name,
            vcpus,
        }
    }
}
