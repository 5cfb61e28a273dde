//! The choice of backend, made once at boot: everything above sees [`AnyGuest`] and [`AnyFormat`].

use core::fmt;

use spin::Once;
use tenon_core::frame::Mfn;
use tenon_core::guest_cpu::{ControlRegs, Event, Exit, Gprs, GuestCpu, SystemState};
use tenon_core::p2m::{Format, Leaf, Level, Npt, Slot};

use crate::cpu::features;
use crate::mm::page_box::OutOfMemory;
use crate::svm::{self, SvmVcpu};

/// How guests are run on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// AMD-V with nested paging.
    Svm,
}

/// Why this machine cannot run guests.
#[derive(Clone, Copy, Debug)]
pub enum NoBackend {
    /// AMD-V is there or should be, but not usable.
    Svm(svm::Unusable),
}

impl fmt::Display for NoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Svm(why) => why.fmt(f),
        }
    }
}

static BACKEND: Once<Backend> = Once::new();

/// Finds out how guests can be run.
///
/// # Errors
/// Why they cannot.
pub fn choose_backend() -> Result<Backend, NoBackend> {
    svm::probe().map_err(NoBackend::Svm)?;
    Ok(*BACKEND.call_once(|| Backend::Svm))
}

/// How guests are run, once [`choose_backend`] has found out.
pub fn backend() -> Backend {
    BACKEND.get().copied().unwrap_or(Backend::Svm)
}

/// A vCPU of the machine's backend.
pub enum AnyGuest {
    /// AMD-V.
    Svm(SvmVcpu),
}

impl AnyGuest {
    /// A vCPU in the state after INIT.
    pub fn new() -> Result<Self, OutOfMemory> {
        match backend() {
            Backend::Svm => SvmVcpu::new().map(Self::Svm),
        }
    }

    #[inline]
    fn get(&self) -> &impl GuestCpu {
        match self {
            Self::Svm(vcpu) => vcpu,
        }
    }

    #[inline]
    fn get_mut(&mut self) -> &mut impl GuestCpu {
        match self {
            Self::Svm(vcpu) => vcpu,
        }
    }
}

impl GuestCpu for AnyGuest {
    #[inline]
    fn gprs(&self) -> &Gprs {
        self.get().gprs()
    }
    #[inline]
    fn gprs_mut(&mut self) -> &mut Gprs {
        self.get_mut().gprs_mut()
    }
    fn switch_in(&mut self) {
        self.get_mut().switch_in();
    }
    fn switch_out(&mut self) {
        self.get_mut().switch_out();
    }
    #[inline]
    fn enter(&mut self) -> Exit {
        self.get_mut().enter()
    }
    fn can_take_interrupt(&self) -> bool {
        self.get().can_take_interrupt()
    }
    fn can_take_nmi(&self) -> bool {
        self.get().can_take_nmi()
    }
    fn inject(&mut self, event: Event) {
        self.get_mut().inject(event);
    }
    fn request_interrupt_window(&mut self, wanted: bool) {
        self.get_mut().request_interrupt_window(wanted);
    }
    #[inline]
    fn instruction_len(&self) -> Option<u8> {
        self.get().instruction_len()
    }
    #[inline]
    fn skip(&mut self, len: u8) {
        self.get_mut().skip(len);
    }
    #[inline]
    fn control(&self) -> ControlRegs {
        self.get().control()
    }
    fn system(&self) -> SystemState {
        self.get().system()
    }
    fn set_system(&mut self, state: &SystemState) {
        self.get_mut().set_system(state);
    }
    fn set_xcr0(&mut self, value: u64) -> bool {
        self.get_mut().set_xcr0(value)
    }
    fn xcr0(&self) -> u64 {
        self.get().xcr0()
    }
    fn set_tsc_offset(&mut self, offset: u64) {
        self.get_mut().set_tsc_offset(offset);
    }
    fn flush_tlb(&mut self) {
        self.get_mut().flush_tlb();
    }
    fn hypercall_instruction(&self) -> [u8; 3] {
        self.get().hypercall_instruction()
    }
    fn set_nested_root(&mut self, root: Mfn) {
        self.get_mut().set_nested_root(root);
    }
    fn allow_hardware_ports(&mut self) {
        self.get_mut().allow_hardware_ports();
    }
}

/// The format of the machine's nested page tables.
#[derive(Clone, Copy, Debug)]
pub enum AnyFormat {
    /// AMD's.
    Npt(Npt),
}

impl AnyFormat {
    /// The backend's format.
    pub fn of_backend() -> Self {
        match backend() {
            Backend::Svm => Self::Npt(Npt { giant_pages: features().gib_pages }),
        }
    }

    #[inline]
    fn get(&self) -> &impl Format {
        match self {
            Self::Npt(format) => format,
        }
    }
}

impl Format for AnyFormat {
    fn root_level(&self) -> Level {
        self.get().root_level()
    }
    fn max_leaf(&self) -> Level {
        self.get().max_leaf()
    }
    fn table(&self, table: Mfn) -> u64 {
        self.get().table(table)
    }
    fn leaf(&self, leaf: Leaf, level: Level) -> u64 {
        self.get().leaf(leaf, level)
    }
    #[inline]
    fn decode(&self, raw: u64, level: Level) -> Slot {
        self.get().decode(raw, level)
    }
}
