//! A vCPU.
//!
//! Three parts with three protections: what any CPU may touch at any time is atomic (requests, posted interrupts);
//! the scheduler's node belongs to the scheduler; the rest is the [`Context`], whose lock the CPU that runs the vCPU
//! holds all the while. Others lock the context only of a vCPU that is held and stopped.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hypercall_abi::trace as abi;

use super::DomainRef;
use crate::exit::ExitCounts;
use crate::fallible::NoMemory;
use crate::frames::FrameRef;
use crate::guest_cpu::GuestCpu;
use crate::ids::{PoolId, VcpuId, Vector};
use crate::machine::Machine;
use crate::sched::{Budget, SchedNode, Schedulable, Scheduler};
use crate::sync::{Class, Lock};
use crate::time::Nanos;
use crate::vlapic::{IdentityCell, PostedInterrupts, Vlapic};

bitflags::bitflags! {
    /// What a vCPU is asked to look at before it goes on. Posted by anybody, taken by its owner.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Requests: u32 {
        /// An event upcall may be due.
        const UPCALL = 1 << 0;
        /// A timer may have run out.
        const TIMER = 1 << 1;
        /// A non-maskable interrupt.
        const NMI = 1 << 2;
        /// INIT: reset and wait for a start-up IPI.
        const INIT = 1 << 3;
        /// A start-up IPI; its vector is in [`Vcpu::startup_vector`].
        const STARTUP = 1 << 4;
        /// A `SCHEDOP_poll` is over.
        const POLL_DONE = 1 << 5;
    }
}

/// A vCPU.
pub struct Vcpu<M: Machine> {
    /// Its index in the domain.
    pub id: VcpuId,
    /// Interrupts on their way to its local APIC.
    pub posted: PostedInterrupts,
    /// Its local APIC as senders see it.
    pub identity: IdentityCell,
    requests: AtomicU32,
    /// The page of the latest start-up IPI.
    pub(crate) startup_vector: AtomicU32,
    /// The guest or the tools have switched it on.
    pub(crate) online: AtomicBool,
    /// It has been given registers (by the tools, or by `VCPUOP_initialise`).
    pub(crate) initialised: AtomicBool,
    /// Where and when it runs.
    pub sched: SchedNode,
    /// How often it left its guest.
    pub exits: ExitCounts,
    /// The upcall vector that the guest set for this vCPU, 0 for none.
    pub(crate) upcall_vector: AtomicU32,
    /// The guest's pages show how its TSC tells the time. That does not change by itself, so it is not written again
    /// whenever the vCPU begins to run.
    pub(crate) shows_time: AtomicBool,
    /// What only the owner touches.
    pub context: Lock<Context<M>>,
}

/// Where the guest wants something to be kept up to date: up to two pieces, since it may cross a page.
pub struct SharedArea<M: Machine> {
    /// The piece in the first page, and where it starts.
    pub first: (FrameRef<M>, usize),
    /// The page of the rest.
    pub second: Option<FrameRef<M>>,
    /// In the 32-bit layout.
    pub compat: bool,
}

/// When the vCPU's own timers go off.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// `VCPUOP_set_singleshot_timer`.
    pub singleshot: Nanos,
    /// `VCPUOP_set_periodic_timer`: the next time, and the period in ns (0: off).
    pub periodic: (Nanos, u64),
    /// The limit of a `SCHEDOP_poll`.
    pub poll: Nanos,
    /// The local APIC's timer.
    pub apic: Nanos,
    /// The domain's watchdogs, which its first vCPU looks after.
    pub watchdog: Nanos,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            singleshot: Nanos::NEVER,
            periodic: (Nanos::NEVER, 0),
            poll: Nanos::NEVER,
            apic: Nanos::NEVER,
            watchdog: Nanos::NEVER,
        }
    }
}

impl Timers {
    /// The first of them.
    pub fn first(&self) -> Nanos {
        self.singleshot.min(self.periodic.0).min(self.poll).min(self.apic).min(self.watchdog)
    }
}

/// What only the CPU that runs the vCPU touches, or one that has stopped it.
pub struct Context<M: Machine> {
    /// The hardware state.
    pub guest: M::Guest,
    /// The local APIC.
    pub apic: Vlapic,
    /// Timers.
    pub timers: Timers,
    /// The guest's TSC minus the [machine's](Machine::tsc).
    pub tsc_offset: u64,
    /// An interrupt waits for the guest to be able to take it, or may: look before entering.
    pub irq_check: bool,
    /// An event upcall has been asked for and not been delivered.
    pub upcall_waiting: bool,
    /// An NMI has been asked for and not been delivered.
    pub nmi_waiting: bool,
    /// The flush epoch of the domain that this vCPU has acted on.
    pub tlb_epoch: u64,
    /// Where its page tables and hypercall arguments lie.
    pub nested_tlb: super::NestedTlb,
    /// Lengths of instructions that exit.
    pub lengths: crate::exit::Lengths,
    /// MTRRs and other MSRs that are only remembered.
    pub msrs: crate::exit::MsrStore,
    /// Where the guest wants its run state, if anywhere.
    pub runstate_area: Option<SharedArea<M>>,
    /// Where the guest wants a second copy of its time, if anywhere.
    pub time_area: Option<SharedArea<M>>,
    /// What this CPU's timer is set to for the vCPU; [`Nanos::NEVER`] for nothing.
    pub armed: Nanos,
}

/// What must be looked at before entering the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Nothing: enter.
    None,
    /// Requests, posted interrupts, or an interrupt that waits.
    Work,
    /// The vCPU must stop here.
    Stop,
}

impl<M: Machine> Vcpu<M> {
    /// A vCPU that has not been started.
    ///
    /// # Errors
    /// No memory.
    pub fn new(machine: M, id: VcpuId) -> Result<Self, NoMemory> {
        let apic = Vlapic::new(id);
        let identity = IdentityCell::new(apic.identity());
        let context = Context {
            guest: machine.new_guest()?,
            apic,
            timers: Timers::default(),
            tsc_offset: 0,
            irq_check: false,
            upcall_waiting: false,
            nmi_waiting: false,
            tlb_epoch: 0,
            nested_tlb: super::NestedTlb::default(),
            lengths: crate::exit::Lengths::default(),
            msrs: crate::exit::MsrStore::default(),
            runstate_area: None,
            time_area: None,
            armed: Nanos::NEVER,
        };
        Ok(Self {
            id,
            posted: PostedInterrupts::default(),
            identity,
            requests: AtomicU32::new(0),
            startup_vector: AtomicU32::new(0),
            online: AtomicBool::new(false),
            initialised: AtomicBool::new(false),
            sched: SchedNode::new(machine.now()),
            exits: ExitCounts::default(),
            upcall_vector: AtomicU32::new(0),
            shows_time: AtomicBool::new(false),
            context: Lock::new(Class::StoppedContext, context),
        })
    }

    /// Posts a request. The caller then [wakes](crate::sched::Scheduler::wake) the vCPU.
    pub fn request(&self, what: Requests) {
        self.requests.fetch_or(what.bits(), Ordering::SeqCst);
    }

    /// What it has been asked and has not looked at.
    pub fn requests(&self) -> Requests {
        Requests::from_bits_truncate(self.requests.load(Ordering::SeqCst))
    }

    /// Takes all requests.
    pub(crate) fn take_requests(&self) -> Requests {
        Requests::from_bits_truncate(self.requests.swap(0, Ordering::SeqCst))
    }

    /// Whether something waits that a blocked vCPU must wake for.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.requests.load(Ordering::SeqCst) != 0 || self.posted.is_pending()
    }

    /// Whether the guest or the tools have switched it on.
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// The vector of this vCPU's own upcalls.
    pub fn upcall_vector(&self) -> Option<Vector> {
        match self.upcall_vector.load(Ordering::Relaxed) {
            0 => None,
            vector => Some(Vector(vector as u8)),
        }
    }
}

impl<M: Machine> Context<M> {
    /// Has the guest read its TSC on the CPU that runs this.
    #[inline]
    pub fn load_tsc(&mut self, machine: M) {
        self.guest.set_tsc_offset(self.tsc_offset.wrapping_sub(machine.tsc_skew()));
    }

    /// Whether the guest computes in 64-bit mode: which layout its hypercall arguments have.
    pub fn is_64_bit(&self) -> bool {
        self.guest.control().mode == crate::guest_cpu::CpuMode::Bits64
    }
}

/// A vCPU together with its domain.
pub struct VcpuRef<M: Machine> {
    domain: DomainRef<M>,
    /// The vCPU's number. The vCPU has it, too, but has to be looked up for that.
    pub id: VcpuId,
}

impl<M: Machine> VcpuRef<M> {
    /// The caller has checked that the domain has that vCPU.
    pub(super) fn new(domain: DomainRef<M>, id: VcpuId) -> Self {
        Self { domain, id }
    }

    /// Its domain.
    pub fn domain(&self) -> &DomainRef<M> {
        &self.domain
    }
}

/// Whether both name the same vCPU.
impl<M: Machine> PartialEq for VcpuRef<M> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.domain, &other.domain)
    }
}

impl<M: Machine> Schedulable for VcpuRef<M> {
    fn node(&self) -> &SchedNode {
        &self.sched
    }

    fn domain_number(&self) -> u32 {
        self.domain.id.0.into()
    }

    fn budget(&self) -> &Budget {
        &self.domain.budget
    }

    fn pool(&self) -> PoolId {
        self.domain.pool()
    }

    fn has_work(&self) -> bool {
        (**self).has_work()
    }

    fn timer_is_due(&self) {
        self.request(Requests::TIMER);
    }

    fn state_changed(&self, from: usize, to: usize) {
        let change = abi::SCHED_RUNSTATE_CHANGE | (from as u32) << 8 | (to as u32) << 4;
        let who = || [u32::from(self.domain.id.0) << 16 | self.id.0];
        self.domain.memory.machine.trace().event(change, who);
    }
}

impl<M: Machine> Scheduler<M, VcpuRef<M>> {
    /// Posts a request to a vCPU and makes it look.
    pub fn signal(&self, vcpu: &VcpuRef<M>, what: Requests) {
        vcpu.request(what);
        self.wake(vcpu);
    }
}

impl<M: Machine> Clone for VcpuRef<M> {
    fn clone(&self) -> Self {
        Self { domain: self.domain.clone(), id: self.id }
    }
}

impl<M: Machine> Deref for VcpuRef<M> {
    type Target = Vcpu<M>;

    #[inline]
    fn deref(&self) -> &Vcpu<M> {
        &self.domain.vcpus[self.id.index()]
    }
}

impl<M: Machine> fmt::Display for VcpuRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.domain.id, self.id)
    }
}
