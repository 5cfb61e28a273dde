//! The choice between AMD-V and VT-x, made once at boot.
//!
//! Everything above is generic over a [`Backend`], and compiled for each: so the way of an exit has no branch for it.

use core::fmt;

use spin::Once;
use tenon_core::entries::Entries;
use tenon_core::fallible::NoMemory;
use tenon_core::guest_cpu::GuestCpu;
use tenon_core::hypervisor::Hypervisor;
use tenon_core::p2m::{Ept, Format, Npt};
use tenon_core::trace::Trace;

use super::Host;
use crate::cpu::features;
use crate::svm::{self, SvmVcpu};
use crate::vmx::{self, VmxVcpu};

/// How guests are run.
pub trait Backend: Copy + fmt::Debug + Send + Sync + 'static {
    /// A vCPU.
    type Vcpu: GuestCpu;
    /// The format of nested page tables.
    type Format: Format + Copy + Send + Sync;

    /// Makes this CPU able to run guests, once [`choose`] has found out that it can.
    ///
    /// # Errors
    /// Why it cannot.
    fn enable() -> Result<(), NoBackend>;

    /// A vCPU in the state after INIT.
    ///
    /// # Errors
    /// No memory.
    fn vcpu() -> Result<Self::Vcpu, NoMemory>;

    /// The format of nested page tables here; with 1 GiB pages only where the IOMMU's have them as well.
    fn format(giant_pages: bool) -> Self::Format;

    /// What there is once.
    fn globals() -> &'static Globals<Self>;
}

/// What there is once on a machine with this backend.
pub struct Globals<B: Backend> {
    /// The hypervisor's state, once it has been made.
    pub hypervisor: Once<Hypervisor<Host<B>>>,
    /// The record of what happens.
    pub trace: Trace<Host<B>>,
}

impl<B: Backend> Globals<B> {
    const fn new() -> Self {
        Self { hypervisor: Once::new(), trace: Trace::new(Host::HERE) }
    }
}

/// AMD-V with nested paging.
#[derive(Clone, Copy, Debug)]
pub struct Svm;

/// VT-x with EPT.
#[derive(Clone, Copy, Debug)]
pub struct Vmx;

impl Backend for Svm {
    type Vcpu = SvmVcpu;
    type Format = Npt;

    fn enable() -> Result<(), NoBackend> {
        Ok(svm::enable()?)
    }

    fn vcpu() -> Result<SvmVcpu, NoMemory> {
        SvmVcpu::new()
    }

    fn format(giant_pages: bool) -> Npt {
        Npt { giant_pages: giant_pages && features().gib_pages }
    }

    #[inline]
    fn globals() -> &'static Globals<Self> {
        static GLOBALS: Globals<Svm> = Globals::new();
        &GLOBALS
    }
}

impl Backend for Vmx {
    type Vcpu = VmxVcpu;
    type Format = Ept;

    fn enable() -> Result<(), NoBackend> {
        Ok(vmx::enable()?)
    }

    fn vcpu() -> Result<VmxVcpu, NoMemory> {
        VmxVcpu::new()
    }

    fn format(giant_pages: bool) -> Ept {
        Ept { giant_pages: giant_pages && vmx::capabilities().is_some_and(|has| has.giant_pages) }
    }

    #[inline]
    fn globals() -> &'static Globals<Self> {
        static GLOBALS: Globals<Vmx> = Globals::new();
        &GLOBALS
    }
}

/// Which backend it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// [`Svm`].
    Svm,
    /// [`Vmx`].
    Vmx,
}

tenon_core::errors! {
    /// Why this machine cannot run guests.
    #[derive(Clone, Copy, Debug)]
    pub enum NoBackend {
        /// No hardware virtualization.
        Neither => "this CPU has neither AMD-V (CPUID 8000_0001h ecx bit 2) nor VT-x (CPUID 1 ecx bit 5)";
    }
    passes on {
        /// AMD-V is there, but not usable.
        Svm(svm::Unusable);
        /// VT-x is there, but not usable.
        Vmx(vmx::Unusable);
    }
}

static CHOICE: Once<Choice> = Once::new();

/// Finds out how guests can be run, and makes what all CPUs need for that.
///
/// # Errors
/// Why they cannot.
pub fn choose() -> Result<Choice, NoBackend> {
    let choice = if features().svm {
        svm::prepare()?;
        Choice::Svm
    } else if features().vmx {
        vmx::prepare()?;
        Choice::Vmx
    } else {
        return Err(NoBackend::Neither);
    };
    Ok(*CHOICE.call_once(|| choice))
}

/// How guests are run, once [`choose`] has found out.
pub fn chosen() -> Option<Choice> {
    CHOICE.get().copied()
}

/// Which CPUs are in a guest, whatever the backend; `None` before there is a hypervisor.
pub fn entries() -> Option<&'static Entries> {
    fn of<B: Backend>() -> Option<&'static Entries> {
        B::globals().hypervisor.get().map(|hv| &hv.entries)
    }
    match chosen()? {
        Choice::Svm => of::<Svm>(),
        Choice::Vmx => of::<Vmx>(),
    }
}
