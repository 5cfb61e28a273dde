//! Control of single domains: `domctl`.

use hypercall_abi::Plain;
use hypercall_abi::domctl::{
    self, ArchDomainConfig, CreateDomain, CreateFlags, Domctl, EmulationFlags, HvmContext, MaxMem, MaxVcpus,
    SetDomainHandle, ShadowOp,
};
use hypercall_abi::errno::Errno;

use super::error::XenError;
use super::hypercall::Xen;
use crate::config::{GuestConfig, Uuid};

/// Event channels of a guest whose file names no limit: what xl gives.
const EVENT_CHANNELS: u32 = 1023;
/// Grant table frames of a guest whose file names no limit: what xl gives.
const GRANT_FRAMES: u32 = 64;
/// Maptrack frames of a guest whose file names no limit: what xl gives.
const MAPTRACK_FRAMES: u32 = 1024;

impl Xen {
    pub(super) fn control<T: Plain>(
        &self,
        name: &'static str,
        cmd: u32,
        domain: u16,
        argument: T,
    ) -> Result<Domctl, XenError> {
        let mut domctl = Domctl::new(cmd, domain, argument);
        self.domctl(name, &mut domctl)?;
        Ok(domctl)
    }

    /// Makes an empty, paused PVH domain for a guest, in a CPU pool.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn create_domain(&self, uuid: Uuid, config: &GuestConfig, pool: u32) -> Result<u16, XenError> {
        let frames = |wanted: Option<u32>, default: u32| {
            // The guest file limits both to what an i32 holds; a negative number asks for the default.
            i32::try_from(wanted.unwrap_or(default)).unwrap_or(-1)
        };
        let argument = CreateDomain {
            handle: uuid.0,
            flags: CreateFlags::HVM | CreateFlags::HAP | CreateFlags::OOS_OFF,
            max_vcpus: config.maxvcpus,
            max_evtchn_port: config.event_channels.unwrap_or(EVENT_CHANNELS),
            max_grant_frames: frames(config.max_grant_frames, GRANT_FRAMES),
            max_maptrack_frames: frames(config.max_maptrack_frames, MAPTRACK_FRAMES),
            cpupool_id: pool,
            // The highest grant table version that it may use.
            grant_opts: 2,
            arch: ArchDomainConfig { emulation_flags: EmulationFlags::LAPIC, ..ArchDomainConfig::default() },
            ..CreateDomain::default()
        };
        // Domain number 0 as the argument asks for a free one.
        let created = self.control("domctl createdomain", domctl::CREATEDOMAIN, 0, argument)?;
        Ok(created.domain)
    }

    /// Destroys a domain. Its memory is freed as soon as nobody has it mapped any more.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn destroy_domain(&self, domain: u16) -> Result<(), XenError> {
        loop {
            // A hypervisor that has to work for long asks to be called again.
            match self.control("domctl destroydomain", domctl::DESTROYDOMAIN, domain, [0_u64; 0]) {
                Err(e) if e.is(Errno::EAGAIN) || e.is(Errno::ERESTART) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Pauses a domain, once more if it is paused.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn pause_domain(&self, domain: u16) -> Result<(), XenError> {
        self.control("domctl pausedomain", domctl::PAUSEDOMAIN, domain, [0_u64; 0]).map(drop)
    }

    /// Undoes [`Xen::pause_domain`] once.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn unpause_domain(&self, domain: u16) -> Result<(), XenError> {
        self.control("domctl unpausedomain", domctl::UNPAUSEDOMAIN, domain, [0_u64; 0]).map(drop)
    }

    /// Makes a domain's vCPUs.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn max_vcpus(&self, domain: u16, max: u32) -> Result<(), XenError> {
        self.control("domctl max_vcpus", domctl::MAX_VCPUS, domain, MaxVcpus { max }).map(drop)
    }

    /// Limits a domain's memory to `max_memkb` KiB.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn max_mem(&self, domain: u16, max_memkb: u64) -> Result<(), XenError> {
        self.control("domctl max_mem", domctl::MAX_MEM, domain, MaxMem { max_memkb }).map(drop)
    }

    /// Sets aside `mb` MiB for a domain's nested page tables. A hypervisor that takes them from its own memory
    /// may not know the call.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn set_paging_memory(&self, domain: u16, mb: u32) -> Result<(), XenError> {
        let argument = ShadowOp { op: domctl::SHADOW_OP_SET_ALLOCATION, mb, ..ShadowOp::default() };
        match self.control("domctl shadow_op", domctl::SHADOW_OP, domain, argument) {
            Err(e) if e.is(Errno::ENOSYS) || e.is(Errno::EOPNOTSUPP) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Loads a domain's state from `records` (`public/hvm/save.h`).
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn set_hvm_context(&self, domain: u16, records: &[u8]) -> Result<(), XenError> {
        let mut buffer = self.buffer_of(records)?;
        let argument =
            HvmContext { size: records.len() as u32, buffer: buffer.handle(), ..HvmContext::default() };
        self.control("domctl sethvmcontext", domctl::SETHVMCONTEXT, domain, argument).map(drop)
    }

    /// Changes a domain's handle.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn set_handle(&self, domain: u16, uuid: Uuid) -> Result<(), XenError> {
        let argument = SetDomainHandle { handle: uuid.0 };
        self.control("domctl setdomainhandle", domctl::SETDOMAINHANDLE, domain, argument).map(drop)
    }
}
