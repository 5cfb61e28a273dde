//! Why the guest stopped, and what can be done to it on the way back in.

use crate::frame::Gaddr;
use crate::ids::Vector;
use crate::size::Size;

/// Why the guest stopped. Payloads are decoded; nothing vendor-specific is left, but for the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A host interrupt is pending.
    Interrupt,
    /// A host NMI was taken.
    Nmi,
    /// The guest can take an interrupt now, as was asked for.
    InterruptWindow,
    /// VMMCALL or VMCALL: number and arguments are in the registers.
    Hypercall,
    /// CPUID.
    Cpuid,
    /// HLT.
    Halt,
    /// PAUSE in a loop.
    Pause,
    /// RDMSR of the register in ecx.
    MsrRead,
    /// WRMSR.
    MsrWrite,
    /// MOV from CR8, the local APIC's task priority.
    TaskPriorityRead,
    /// MOV to CR8.
    TaskPriorityWrite,
    /// Another access to a control register. The backend has dealt with it.
    ControlRegister,
    /// IN, OUT, INS or OUTS.
    Io(IoAccess),
    /// The nested page table has no such translation.
    NestedFault(NestedFault),
    /// XSETBV.
    Xsetbv,
    /// INVD or WBINVD.
    CacheFlush,
    /// An instruction that this guest CPU does not have: #UD.
    Undefined,
    /// An exception that is watched only so that its endless repetition stays interruptible: give it to the guest.
    Reflect(Event),
    /// The machine check of the host.
    MachineCheck,
    /// Triple fault.
    Shutdown,
    /// The CPU refused the guest's state; the code is the hardware's own.
    InvalidState(u64),
    /// An exit that nobody asked for; the code is the hardware's own.
    Unknown(u64),
}

/// An access to an I/O port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoAccess {
    /// The port.
    pub port: u16,
    /// How many bytes.
    pub size: Size,
    /// OUT or OUTS.
    pub write: bool,
    /// INS or OUTS: the data is in memory and not in rAX, perhaps repeated.
    pub string: bool,
    /// The instruction's length.
    pub len: u8,
}

/// A guest-physical access that the nested page table did not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NestedFault {
    /// What was accessed.
    pub address: Gaddr,
    /// It was a write.
    pub write: bool,
    /// It was an instruction fetch.
    pub fetch: bool,
    /// The CPU was walking the guest's own page tables.
    pub in_walk: bool,
}

/// Something to deliver to the guest through its interrupt descriptor table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An external interrupt.
    Interrupt(Vector),
    /// A non-maskable interrupt.
    Nmi,
    /// An exception.
    Exception {
        /// Its vector.
        vector: u8,
        /// The error code, for those that have one.
        error: Option<u32>,
    },
}

impl Event {
    /// #UD, the answer to an instruction that this guest CPU does not have.
    pub const UNDEFINED: Self = Self::Exception { vector: 6, error: None };
    /// #GP(0), the answer to a value or register that this guest CPU does not have.
    pub const GENERAL_PROTECTION: Self = Self::Exception { vector: 13, error: Some(0) };
}
