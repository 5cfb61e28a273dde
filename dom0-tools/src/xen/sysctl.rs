//! The hypervisor and the machine as a whole: `sysctl`.

use hypercall_abi::domctl::{DOMINF_SHUTDOWN_MASK, DOMINF_SHUTDOWN_SHIFT, DomInf, GetDomainInfo};
use hypercall_abi::sysctl::{self, DebugKeys, GetDomainInfoList, PhysInfo, ReadConsole, Sysctl};

use super::domain::{DomainFlags, DomainInfo};
use super::error::XenError;
use super::hypercall::Xen;
use crate::config::Uuid;
use crate::lifecycle::decide::Reason;

/// Domains that are asked for at once.
const BATCH: usize = 128;
/// Bytes of the hypervisor's log that are asked for at once.
const LOG_PIECE: u32 = 64 * 1024;
/// The most of the hypervisor's log that is read, bytes: more than a ring has, so that a busy log ends, too.
const LOG_LIMIT: usize = 16 << 20;

impl From<&GetDomainInfo> for DomainInfo {
    fn from(info: &GetDomainInfo) -> Self {
        let has = |flag| info.flags.contains(flag);
        let reason = info.flags.bits() >> DOMINF_SHUTDOWN_SHIFT & DOMINF_SHUTDOWN_MASK;
        Self {
            id: info.domain,
            uuid: Uuid(info.handle),
            flags: DomainFlags {
                running: has(DomInf::RUNNING),
                blocked: has(DomInf::BLOCKED),
                paused: has(DomInf::PAUSED),
                dying: has(DomInf::DYING),
            },
            shutdown: has(DomInf::SHUTDOWN).then(|| Reason::from_code(reason)),
            pages: info.tot_pages,
            max_pages: info.max_pages,
            cpu_time: info.cpu_time,
            pool: info.cpupool,
            online_vcpus: info.nr_online_vcpus,
            vcpus: info.max_vcpu_id.wrapping_add(1),
        }
    }
}

impl Xen {
    /// Every domain, by number.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn domains(&self) -> Result<Vec<DomainInfo>, XenError> {
        let mut buffer = self.buffer(BATCH * size_of::<GetDomainInfo>())?;
        let mut domains: Vec<DomainInfo> = Vec::new();
        loop {
            let first = domains.last().map_or(0, |last| last.id.saturating_add(1));
            let argument = GetDomainInfoList {
                first_domain: first,
                max_domains: BATCH as u32,
                buffer: buffer.handle(),
                ..GetDomainInfoList::default()
            };
            let mut call = Sysctl::new(sysctl::GETDOMAININFOLIST, argument);
            self.sysctl("sysctl getdomaininfolist", &mut call)?;
            let count = call.payload::<GetDomainInfoList>().num_domains as usize;
            let found: Vec<GetDomainInfo> = buffer.values(count.min(BATCH));
            domains.extend(found.iter().map(DomainInfo::from));
            if count < BATCH {
                return Ok(domains);
            }
        }
    }

    /// The machine.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn physinfo(&self) -> Result<PhysInfo, XenError> {
        let mut call = Sysctl::new(sysctl::PHYSINFO, PhysInfo::default());
        self.sysctl("sysctl physinfo", &mut call)?;
        Ok(call.payload())
    }

    /// Memory that is free and not set aside for domains that are being built, pages.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn free_pages(&self) -> Result<u64, XenError> {
        let host = self.physinfo()?;
        Ok(host.free_pages.saturating_sub(host.outstanding_pages))
    }

    /// Has the hypervisor act as if these keys had been typed on its console.
    ///
    /// # Errors
    /// As the hypervisor says: `EINVAL` for a key that does nothing.
    pub fn debug_keys(&self, keys: &str) -> Result<(), XenError> {
        let mut buffer = self.buffer(keys.len().max(1))?;
        buffer.bytes_mut()[..keys.len()].copy_from_slice(keys.as_bytes());
        let argument =
            DebugKeys { keys: buffer.handle(), nr_keys: keys.len() as u32, ..DebugKeys::default() };
        self.sysctl("sysctl debug_keys", &mut Sysctl::new(sysctl::DEBUG_KEYS, argument)).map(drop)
    }

    /// The hypervisor's log, oldest first; `clear` empties it.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn log(&self, clear: bool) -> Result<Vec<u8>, XenError> {
        let mut buffer = self.buffer(LOG_PIECE as usize)?;
        let mut log = Vec::new();
        let mut index = 0;
        while log.len() < LOG_LIMIT {
            let argument = ReadConsole {
                clear: u8::from(clear),
                incremental: 1,
                index,
                buffer: buffer.handle(),
                count: LOG_PIECE,
                ..ReadConsole::default()
            };
            let mut call = Sysctl::new(sysctl::READCONSOLE, argument);
            self.sysctl("sysctl readconsole", &mut call)?;
            let answer: ReadConsole = call.payload();
            let count = answer.count.min(LOG_PIECE) as usize;
            if count == 0 {
                break;
            }
            log.extend_from_slice(&buffer.bytes()[..count]);
            index = answer.index;
        }
        Ok(log)
    }
}
