//! From a VT-x exit reason to the common [`Exit`] (SDM volume 3, appendix C and 28.2).

use tenon_core::frame::Gaddr;
use tenon_core::guest_cpu::bits::{CR0_CD, CR0_NW};
use tenon_core::guest_cpu::{Event, Exit, Gpr, Gprs, IoAccess, NestedFault};
use tenon_core::size::Size;

use super::fields::Field;
use super::vmcs::Current;

pub const EXCEPTION: u32 = 0;
const INTERRUPT: u32 = 1;
const TRIPLE_FAULT: u32 = 2;
const INIT: u32 = 3;
const STARTUP: u32 = 4;
const SMI: u32 = 6;
const INTERRUPT_WINDOW: u32 = 7;
pub const NMI_WINDOW: u32 = 8;
const CPUID: u32 = 10;
const GETSEC: u32 = 11;
const HLT: u32 = 12;
const INVD: u32 = 13;
const RDPMC: u32 = 15;
const VMCALL: u32 = 18;
const VMCLEAR: u32 = 19;
const VMXON: u32 = 27;
pub const CONTROL_REGISTER: u32 = 28;
const IO: u32 = 30;
const RDMSR: u32 = 31;
const WRMSR: u32 = 32;
const INVALID_GUEST_STATE: u32 = 33;
const MSR_LOADING: u32 = 34;
const MWAIT: u32 = 36;
const MONITOR: u32 = 39;
const PAUSE: u32 = 40;
const MACHINE_CHECK_AT_ENTRY: u32 = 41;
pub const EPT_VIOLATION: u32 = 48;
const INVEPT: u32 = 50;
const INVVPID: u32 = 53;
const WBINVD: u32 = 54;
const XSETBV: u32 = 55;
/// Set beside the reason if the entry failed.
pub const ENTRY_FAILED: u32 = 1 << 31;

pub const DEBUG: u8 = 1;
pub const ALIGNMENT_CHECK: u8 = 17;
pub const MACHINE_CHECK: u8 = 18;
/// Exceptions that exit: #DB and #AC, which a guest can make repeat for ever, and the host's #MC.
pub const WATCHED_EXCEPTIONS: u32 = 1 << DEBUG | 1 << ALIGNMENT_CHECK | 1 << MACHINE_CHECK;

/// What the exit means, if the reason tells: that of an exception, of an access to a control register and of a failed entry
/// depends on more, and has effects.
#[inline(always)]
pub fn decode(vmcs: &Current<'_>, reason: u32) -> Option<Exit> {
    Some(match reason {
        VMCALL => Exit::Hypercall,
        CPUID => Exit::Cpuid,
        INTERRUPT | INIT | STARTUP | SMI => Exit::Interrupt,
        INTERRUPT_WINDOW | NMI_WINDOW => Exit::InterruptWindow,
        HLT => Exit::Halt,
        RDMSR => Exit::MsrRead,
        WRMSR => Exit::MsrWrite,
        EPT_VIOLATION => Exit::NestedFault(nested_fault(vmcs)),
        IO => Exit::Io(io_access(vmcs)),
        XSETBV => Exit::Xsetbv,
        INVD | WBINVD => Exit::CacheFlush,
        PAUSE => Exit::Pause,
        GETSEC | RDPMC | MWAIT | MONITOR | INVEPT | INVVPID | VMCLEAR..=VMXON => Exit::Undefined,
        TRIPLE_FAULT => Exit::Shutdown,
        EXCEPTION | CONTROL_REGISTER => return None,
        reason if reason & ENTRY_FAILED != 0 => return None,
        reason => Exit::Unknown(reason.into()),
    })
}

/// Why an entry failed that had got as far as the guest's state.
pub fn entry_failure(reason: u32) -> &'static str {
    match reason & !ENTRY_FAILED {
        INVALID_GUEST_STATE => "invalid guest state",
        MSR_LOADING => "loading of MSRs",
        MACHINE_CHECK_AT_ENTRY => "machine check",
        _ => "unknown reason",
    }
}

/// EPT violation: NMIs were unblocked by the IRET that met it.
pub const UNBLOCKED_NMI: u64 = 1 << 12;

fn nested_fault(vmcs: &Current<'_>) -> NestedFault {
    /// The access was to where a linear address leads, not to a table on the way.
    const TRANSLATED: u64 = 3 << 7;
    let info = vmcs.read(Field::Qualification);
    NestedFault {
        address: Gaddr(vmcs.read(Field::GuestPhysicalAddress)),
        write: info & 2 != 0,
        fetch: info & 4 != 0,
        in_walk: info & TRANSLATED != TRANSLATED,
    }
}

fn io_access(vmcs: &Current<'_>) -> IoAccess {
    let info = vmcs.read(Field::Qualification);
    IoAccess {
        port: (info >> 16) as u16,
        size: Size::from_bytes((info & 7) + 1).unwrap_or(Size::Dword),
        write: info & 8 == 0,
        string: info & 0x10 != 0,
        len: vmcs.read(Field::InstructionLength) as u8,
    }
}

/// An access to a control register that exits.
pub enum ControlAccess {
    /// MOV from CR8.
    ReadPriority,
    /// MOV to CR8.
    WritePriority,
    /// MOV to CR0 that changes bits of the host's: the whole value.
    Cr0(u64),
    /// What the guest cannot have.
    Refused,
}

impl ControlAccess {
    pub fn decode(vmcs: &Current<'_>, gprs: &Gprs, bits_64: bool) -> Self {
        let info = vmcs.read(Field::Qualification);
        let register = Gpr::from_encoding((info >> 8) as u8);
        let value = if bits_64 { gprs.get(register) } else { gprs.get32(register).into() };
        match (info & 0xf, info >> 4 & 3) {
            (8, 1) => Self::ReadPriority,
            (8, _) => Self::WritePriority,
            (0, 0) if value & (CR0_NW | CR0_CD) != CR0_NW => Self::Cr0(value),
            _ => Self::Refused,
        }
    }
}

impl From<ControlAccess> for Exit {
    fn from(access: ControlAccess) -> Self {
        match access {
            ControlAccess::ReadPriority => Self::TaskPriorityRead,
            ControlAccess::WritePriority => Self::TaskPriorityWrite,
            ControlAccess::Cr0(_) => Self::ControlRegister,
            ControlAccess::Refused => Self::Reflect(Event::GENERAL_PROTECTION),
        }
    }
}
