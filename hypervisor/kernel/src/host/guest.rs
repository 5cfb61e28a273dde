//! The choice of backend, made once at boot: everything above sees [`AnyGuest`] and [`AnyFormat`].

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::frame::Mfn;
use tenon_core::guest_cpu::{ControlRegs, Event, Exit, Gprs, GuestCpu, SystemState};
use tenon_core::p2m::{Format, Leaf, Level, Npt, Slot};

use crate::cpu::features;
use crate::svm::{self, SvmVcpu};

/// How guests are run on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// AMD-V with nested paging.
    Svm,
}

tenon_core::errors! {
    /// Why this machine cannot run guests.
    #[derive(Clone, Copy, Debug)]
    pub enum NoBackend {}
    passes on {
        /// AMD-V is there or should be, but not usable.
        Svm(svm::Unusable);
    }
}

static BACKEND: Once<Backend> = Once::new();

/// Finds out how guests can be run.
///
/// # Errors
/// Why they cannot.
pub fn choose_backend() -> Result<Backend, NoBackend> {
    svm::probe()?;
    Ok(*BACKEND.call_once(|| Backend::Svm))
}

/// How guests are run, once [`choose_backend`] has found out.
pub fn backend() -> Backend {
    BACKEND.get().copied().unwrap_or(Backend::Svm)
}

/// Methods of a trait as the chosen backend has them.
macro_rules! forward {
    ($(fn $name:ident($self:ident: $receiver:ty $(, $arg:ident: $type:ty)*) $(-> $result:ty)?;)*) => {
        $(#[inline(always)]
        fn $name($self: $receiver $(, $arg: $type)*) $(-> $result)? {
            match $self {
                Self::Svm(backend) => backend.$name($($arg),*),
            }
        })*
    };
}

/// A vCPU of the machine's backend.
pub enum AnyGuest {
    /// AMD-V.
    Svm(SvmVcpu),
}

impl AnyGuest {
    /// A vCPU in the state after INIT.
    pub fn new() -> Result<Self, NoMemory> {
        match backend() {
            Backend::Svm => SvmVcpu::new().map(Self::Svm),
        }
    }
}

impl GuestCpu for AnyGuest {
    forward! {
        fn gprs(self: &Self) -> &Gprs;
        fn gprs_mut(self: &mut Self) -> &mut Gprs;
        fn switch_in(self: &mut Self);
        fn switch_out(self: &mut Self);
        fn enter(self: &mut Self);
        fn exit(self: &Self) -> Exit;
        fn exit_code(self: &Self) -> u64;
        fn can_take_interrupt(self: &Self) -> bool;
        fn can_take_nmi(self: &Self) -> bool;
        fn inject(self: &mut Self, event: Event);
        fn forget_events(self: &mut Self);
        fn request_interrupt_window(self: &mut Self, wanted: bool);
        fn instruction_len(self: &Self) -> Option<u8>;
        fn skip(self: &mut Self, len: u8);
        fn control(self: &Self) -> ControlRegs;
        fn system(self: &Self) -> SystemState;
        fn set_system(self: &mut Self, state: &SystemState);
        fn xcr0(self: &Self) -> u64;
        fn set_xcr0(self: &mut Self, value: u64) -> bool;
        fn set_tsc_offset(self: &mut Self, offset: u64);
        fn flush_tlb(self: &mut Self);
        fn hypercall_instruction(self: &Self) -> [u8; 3];
        fn set_nested_root(self: &mut Self, root: Mfn);
        fn allow_hardware_ports(self: &mut Self);
    }
}

/// The format of the machine's nested page tables.
#[derive(Clone, Copy, Debug)]
pub enum AnyFormat {
    /// AMD's.
    Svm(Npt),
}

impl AnyFormat {
    /// The backend's format.
    pub fn of_backend() -> Self {
        match backend() {
            Backend::Svm => Self::Svm(Npt { giant_pages: features().gib_pages }),
        }
    }
}

impl Format for AnyFormat {
    forward! {
        fn max_leaf(self: &Self) -> Level;
        fn table(self: &Self, table: Mfn) -> u64;
        fn leaf(self: &Self, leaf: Leaf, level: Level) -> u64;
        fn decode(self: &Self, raw: u64, level: Level) -> Slot;
    }
}
