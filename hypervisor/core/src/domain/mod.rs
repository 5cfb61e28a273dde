//! A domain: memory, vCPUs, event channels, and how far along its life it is.
//!
//! A [`Domain`] is held by [`DomainRef`]: by the table of domains until it is destroyed, and by whoever works with it. Its
//! parts have their own locks, in the order of `docs/src/internals/locks.md`.

mod build;
mod grants;
mod life;
mod memory;
mod nested_tlb;
mod vcpu;
mod watchdog;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

pub use build::{BuildError, DomainConfig, MAX_VCPUS};
pub(crate) use grants::{Ending, MAX_ENDING};
pub use grants::{Grants, Mappings, Pin};
pub(crate) use life::Teardown;
pub use life::{Life, Stage};
pub(crate) use memory::Space;
pub use memory::{DomainMemory, MemoryFault};
pub use nested_tlb::{NestedTlb, VcpuView};
pub use vcpu::{Attention, Context, Requests, SharedArea, Timers, Vcpu, VcpuRef};
pub use watchdog::Watchdogs;

use hypercall_abi::memory::E820Entry;

use crate::cpuid;
use crate::evtchn::EventChannels;
use crate::frames::FrameRef;
use crate::hardware::HardwareDomain;
use crate::ids::{DomId, PoolId, VcpuId};
use crate::machine::{CpuMask, Machine};
use crate::sched::Budget;
use crate::sync::{Lock, RwLock};
use crate::time::Nanos;

/// The number of HVM parameters (`HVM_NR_PARAMS`, `public/hvm/params.h`).
pub const PARAMS: usize = 39;

/// A domain, held.
pub type DomainRef<M> = Arc<Domain<M>>;

/// A domain.
pub struct Domain<M: Machine> {
    /// Its number; not reused before its last frame is free.
    pub id: DomId,
    /// May control the others and the hypervisor.
    pub privileged: bool,
    /// The handle that the tools gave it (a UUID).
    pub handle: Lock<[u8; 16]>,
    /// What creation asked for, as the tools read it back.
    pub config: DomainConfig,
    /// Its vCPUs, started or not.
    pub vcpus: Box<[Vcpu<M>]>,
    /// Guest-physical memory.
    pub memory: DomainMemory<M>,
    /// Event channels.
    pub events: Lock<EventChannels<FrameRef<M>>>,
    /// What it grants to others.
    pub grants: Lock<Grants<M>>,
    /// What it has mapped of others' grants.
    pub maptrack: Lock<Mappings<M>>,
    /// The `shared_info` page.
    pub shared_info: FrameRef<M>,
    /// HVM parameters.
    pub params: [AtomicU64; PARAMS],
    /// How far along its life it is.
    pub life: Life,
    /// What CPUID answers. Written only before the domain first runs.
    pub cpuid: RwLock<cpuid::Policy>,
    /// The machine's devices, for the domain that owns them.
    pub hardware: Option<Box<HardwareDomain>>,
    /// The memory map that the guest may ask for.
    pub memory_map: Lock<Vec<E820Entry>>,
    /// Seconds by which its wall clock is ahead of UTC.
    pub time_offset: AtomicI64,
    /// Watchdogs.
    pub watchdogs: Watchdogs,
    /// CPU time that it may use.
    pub budget: Budget,
    /// Its CPU pool. After it has been added to the table, [`Hypervisor`](crate::hypervisor::Hypervisor) changes it.
    pub(crate) pool: AtomicU32,
    /// Updates of its runstate areas are marked while they are under way.
    pub(crate) marks_runstate: AtomicBool,
    /// When the domain's next message may be logged.
    pub(crate) log_after: AtomicU64,
    /// CPUs that have one of the vCPUs loaded.
    pub(crate) running_on: AtomicU64,
    /// The vector of [`PARAM_CALLBACK_IRQ`](hypercall_abi::hvm::PARAM_CALLBACK_IRQ), 0 for none.
    pub(crate) callback_vector: AtomicU32,
    /// Hypercall numbers that were unknown and have been logged, one bit each.
    pub(crate) logged_unknown: AtomicU64,
    /// How far the destruction has got.
    pub(crate) teardown: Lock<Teardown>,
    /// The line that the guest is writing to the debug port.
    pub(crate) debug_line: Lock<crate::console::Line>,
}

impl<M: Machine> Domain<M> {
    /// One of its vCPUs, if the index is good.
    pub fn vcpu(self: &Arc<Self>, id: VcpuId) -> Option<VcpuRef<M>> {
        (id.index() < self.vcpus.len()).then(|| VcpuRef::new(self.clone(), id))
    }

    /// Its vCPUs.
    pub fn vcpu_refs(self: &Arc<Self>) -> impl Iterator<Item = VcpuRef<M>> + '_ {
        (0..self.vcpus.len() as u32).map(|i| VcpuRef::new(self.clone(), VcpuId(i)))
    }

    /// CPUs that have one of the vCPUs loaded now.
    pub fn running_on(&self) -> CpuMask {
        CpuMask(self.running_on.load(Ordering::SeqCst))
    }

    /// Its CPU pool.
    #[inline]
    pub fn pool(&self) -> PoolId {
        PoolId(self.pool.load(Ordering::SeqCst))
    }

    /// Whether guest frame and machine frame are the same number throughout.
    pub fn is_identity_mapped(&self) -> bool {
        self.hardware.is_some()
    }

    /// Whether the domain may have another message logged: about ten per second.
    pub(crate) fn may_log(&self, now: Nanos) -> bool {
        let after = self.log_after.load(Ordering::Relaxed);
        let allowed = now.0 >= after;
        if allowed {
            self.log_after.store(now.0 + 100 * Nanos::MILLISECOND, Ordering::Relaxed);
        }
        allowed
    }
}
