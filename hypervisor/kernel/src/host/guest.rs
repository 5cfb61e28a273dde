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
    (&self => $(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(#[inline]
        fn $name(&self $(, $arg: $type)*) $(-> $result)? {
            match self {
                Self::Svm(backend) => backend.$name($($arg),*),
            }
        })*
    };
    (&mut self => $(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(#[inline]
        fn $name(&mut self $(, $arg: $type)*) $(-> $result)? {
            match self {
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
    forward! { &self =>
        fn gprs() -> &Gprs;
        fn can_take_interrupt() -> bool;
        fn can_take_nmi() -> bool;
        fn instruction_len() -> Option<u8>;
        fn control() -> ControlRegs;
        fn system() -> SystemState;
        fn xcr0() -> u64;
        fn hypercall_instruction() -> [u8; 3];
    }
    forward! { &mut self =>
        fn gprs_mut() -> &mut Gprs;
        fn switch_in();
        fn switch_out();
        fn enter() -> Exit;
        fn inject(event: Event);
        fn forget_events();
        fn request_interrupt_window(wanted: bool);
        fn skip(len: u8);
        fn set_system(state: &SystemState);
        fn set_xcr0(value: u64) -> bool;
        fn set_tsc_offset(offset: u64);
        fn flush_tlb();
        fn set_nested_root(root: Mfn);
        fn allow_hardware_ports();
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
    forward! { &self =>
        fn max_leaf() -> Level;
        fn table(table: Mfn) -> u64;
        fn leaf(leaf: Leaf, level: Level) -> u64;
        fn decode(raw: u64, level: Level) -> Slot;
    }
}
