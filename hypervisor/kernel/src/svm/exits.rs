//! From an SVM exit code to the common [`Exit`] (AMD64 manual volume 2, appendix C).

use tenon_core::frame::Gaddr;
use tenon_core::guest_cpu::{Event, Exit, IoAccess, NestedFault};
use tenon_core::size::Size;

use super::vmcb::Control;

pub const CR8_READ: u64 = 0x08;
pub const CR8_WRITE: u64 = 0x18;
pub const EXCEPTION: u64 = 0x40;
pub const INTR: u64 = 0x60;
pub const NMI: u64 = 0x61;
pub const SMI: u64 = 0x62;
pub const INIT: u64 = 0x63;
pub const VINTR: u64 = 0x64;
pub const RDPMC: u64 = 0x6f;
pub const CPUID: u64 = 0x72;
pub const IRET: u64 = 0x74;
pub const INVD: u64 = 0x76;
pub const HLT: u64 = 0x78;
pub const INVLPGA: u64 = 0x7a;
pub const IOIO: u64 = 0x7b;
pub const MSR: u64 = 0x7c;
pub const SHUTDOWN: u64 = 0x7f;
pub const VMRUN: u64 = 0x80;
pub const VMMCALL: u64 = 0x81;
pub const SKINIT: u64 = 0x86;
pub const WBINVD: u64 = 0x89;
pub const MONITOR: u64 = 0x8a;
pub const MWAIT: u64 = 0x8b;
pub const XSETBV: u64 = 0x8d;
pub const RDPRU: u64 = 0x8e;
pub const NPF: u64 = 0x400;
/// As many bits as are common to the CPUs, which write 64, and QEMU, which writes 32.
pub const INVALID: u32 = u32::MAX;

/// Control register accesses that are intercepted: CR8, reads in the low half and writes in the high half.
pub const INTERCEPTED_CONTROL_REGISTERS: u32 = 1 << 8 | 1 << (16 + 8);
/// Exceptions that are intercepted: #DB and #AC, which a guest can make repeat for ever, and the host's #MC.
pub const INTERCEPTED_EXCEPTIONS: u32 = 1 << DEBUG | 1 << ALIGNMENT_CHECK | 1 << MACHINE_CHECK;
pub const DEBUG: u8 = 1;
pub const ALIGNMENT_CHECK: u8 = 17;
pub const MACHINE_CHECK: u8 = 18;

/// What the exit means. `rip` is the guest's, for the length of I/O instructions.
#[inline(always)]
pub fn decode(control: &Control, rip: u64) -> Exit {
    match control.exit_code {
        VMMCALL => Exit::Hypercall,
        CPUID => Exit::Cpuid,
        INTR | SMI | INIT => Exit::Interrupt,
        NMI => Exit::Nmi,
        // After IRET another NMI may be let in.
        VINTR | IRET => Exit::InterruptWindow,
        HLT => Exit::Halt,
        MSR if control.exit_info1 == 0 => Exit::MsrRead,
        MSR => Exit::MsrWrite,
        NPF => Exit::NestedFault(nested_fault(control)),
        CR8_READ => Exit::TaskPriorityRead,
        CR8_WRITE => Exit::TaskPriorityWrite,
        IOIO => Exit::Io(io_access(control, rip)),
        XSETBV => Exit::Xsetbv,
        INVD | WBINVD => Exit::CacheFlush,
        RDPMC | INVLPGA | MONITOR | MWAIT | RDPRU | VMRUN..=SKINIT => Exit::Undefined,
        SHUTDOWN => Exit::Shutdown,
        code if code as u32 == INVALID => Exit::InvalidState(control.exit_info1),
        code if code == EXCEPTION + u64::from(MACHINE_CHECK) => Exit::MachineCheck,
        code if code == EXCEPTION + u64::from(DEBUG) => {
            Exit::Reflect(Event::Exception { vector: DEBUG, error: None })
        }
        code if code == EXCEPTION + u64::from(ALIGNMENT_CHECK) => {
            Exit::Reflect(Event::Exception { vector: ALIGNMENT_CHECK, error: Some(0) })
        }
        code => Exit::Unknown(code),
    }
}

fn nested_fault(control: &Control) -> NestedFault {
    let info = control.exit_info1;
    NestedFault {
        address: Gaddr(control.exit_info2),
        write: info & 2 != 0,
        fetch: info & 0x10 != 0,
        in_walk: info & (1 << 33) != 0,
    }
}

fn io_access(control: &Control, rip: u64) -> IoAccess {
    let info = control.exit_info1;
    IoAccess {
        port: (info >> 16) as u16,
        size: Size::from_bytes(info >> 4 & 7).unwrap_or(Size::Dword),
        write: info & 1 == 0,
        string: info & 4 != 0,
        // EXITINFO2 is the next instruction's address; 15 bytes are the longest instruction there is.
        len: control.exit_info2.wrapping_sub(rip).min(15) as u8,
    }
}
