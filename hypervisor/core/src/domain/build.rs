//! Making an empty domain.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};

use super::{Domain, DomainMemory, Life, PARAMS, Teardown, Vcpu, Watchdogs, grants};
use crate::console::Line;
use crate::cpuid;
use crate::evtchn::{self, EventChannels, EvtchnError};
use crate::fallible::NoMemory;
use crate::frames::{FrameRef, OutOfFrames};
use crate::gnttab::{GrantError, Version};
use crate::guest_cpu::GuestCpu;
use crate::hardware::HardwareDomain;
use crate::ids::{DomId, PoolId, Port, VcpuId};
use crate::machine::Machine;
use crate::p2m::P2mError;
use crate::refusals;
use crate::sched::Budget;
use crate::sync::{Class, Lock, RwLock};

/// The most vCPUs a domain can have.
pub const MAX_VCPUS: u32 = 128;

/// What a domain is made from. The fields are `XEN_DOMCTL_createdomain`'s.
#[derive(Clone, Copy, Debug)]
pub struct DomainConfig {
    /// The handle that the tools give it.
    pub handle: [u8; 16],
    /// Number of vCPUs, started or not: 1 to [`MAX_VCPUS`].
    pub max_vcpus: u32,
    /// The highest event channel port.
    pub max_evtchn_port: u32,
    /// The most pages of grant entries.
    pub max_grant_frames: u32,
    /// The highest version of the grant table.
    pub max_grant_version: Version,
    /// The most pages of map tracking.
    pub max_maptrack_frames: u32,
    /// `XEN_DOMCTL_CDF_*` as given, for reading back.
    pub flags: u32,
    /// The most RAM frames.
    pub max_frames: u32,
}

refusals! {
    /// Why a domain could not be made.
    #[derive(Debug)]
    pub enum BuildError {
        /// The number of vCPUs is out of range.
        Vcpus(n: u32) => EINVAL, "{n} vCPUs asked for: a domain has 1 to {MAX_VCPUS}";
        /// The pool is not there.
        NoPool(pool: PoolId) => ESRCH, "there is no {pool}";
        /// The pool could not run it.
        EmptyPool(pool: PoolId) => ENODEV, "{pool} has no CPU";
        /// Tenon has no memory left for its own structures.
        OutOfMemory => ENOMEM, "no hypervisor memory for another domain";
    }
    passes on {
        /// No frame for a shared page.
        Frames(OutOfFrames);
        /// No page for the root of the p2m.
        P2m(P2mError);
        /// Event channels.
        Events(EvtchnError);
        /// The grant table.
        Grants(GrantError);
    }
}

impl From<NoMemory> for BuildError {
    fn from(_: NoMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<M: Machine> Domain<M> {
    /// An empty domain (with `hardware`, the one that controls the machine): no memory, every vCPU held, event channels open.
    ///
    /// # Errors
    /// See [`BuildError`]; nothing is left behind.
    pub fn new(
        machine: M,
        id: DomId,
        config: DomainConfig,
        cpuid: cpuid::Policy,
        hardware: Option<Box<HardwareDomain>>,
    ) -> Result<Arc<Self>, BuildError> {
        if config.max_vcpus == 0 || config.max_vcpus > MAX_VCPUS {
            return Err(BuildError::Vcpus(config.max_vcpus));
        }
        let memory = DomainMemory::new(machine, id, config.max_frames)?;
        let shared_info = FrameRef::alloc_shared(machine, id)?;
        let events = EventChannels::new(evtchn::Config {
            dom: id,
            max_port: Port(config.max_evtchn_port),
            vcpus: config.max_vcpus,
            shared_info: shared_info.clone(),
        })?;
        let (granted, mapped) = grants::new_tables(machine, id, &config)?;
        let mut vcpus = Vec::new();
        vcpus.try_reserve_exact(config.max_vcpus as usize).map_err(|_| BuildError::OutOfMemory)?;
        let root = memory.root();
        for index in 0..config.max_vcpus {
            let vcpu = Vcpu::new(machine, VcpuId(index))?;
            let mut context = vcpu.context.lock();
            context.guest.set_nested_root(root);
            if hardware.is_some() {
                context.guest.allow_hardware_ports();
            }
            drop(context);
            vcpus.push(vcpu);
        }
        Ok(Arc::new(Self {
            id,
            privileged: hardware.is_some(),
            handle: Lock::new(Class::Settings, config.handle),
            config,
            vcpus: vcpus.into_boxed_slice(),
            memory,
            events: Lock::new(Class::Events(id), events),
            grants: Lock::new(Class::Grants, granted),
            maptrack: Lock::new(Class::Grants, mapped),
            shared_info,
            params: [const { AtomicU64::new(0) }; PARAMS],
            life: Life::default(),
            cpuid: RwLock::new(Class::Settings, cpuid),
            hardware,
            memory_map: Lock::new(Class::Settings, Vec::new()),
            time_offset: AtomicI64::new(0),
            watchdogs: Watchdogs::none(),
            budget: Budget::default(),
            pool: AtomicU32::new(PoolId::ZERO.0),
            marks_runstate: AtomicBool::new(false),
            log_after: AtomicU64::new(0),
            running_on: AtomicU64::new(0),
            callback_vector: AtomicU32::new(0),
            logged_unknown: AtomicU64::new(0),
            teardown: Lock::new(Class::Teardown, Teardown::START),
            debug_line: Lock::new(Class::Watchdog, Line::default()),
        }))
    }
}
