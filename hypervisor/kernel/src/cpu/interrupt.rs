//! Interrupts and exceptions as they arrive: the frame on the stack, and who takes it.
#![allow(unsafe_code, reason = "called by the vectors' assembly; reads the fixup table")]

use core::fmt;

use tenon_core::ids::Vector;

use crate::{irq, panic};

/// The state of what was interrupted, as `vectors.s` leaves it on the stack.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl Frame {
    /// The state right here.
    #[inline(always)]
    pub fn here() -> Self {
        let mut frame = Self::default();
        // SAFETY: stores registers into a local, and leaves the stack as it was.
        unsafe {
            core::arch::asm!(
                "mov [rax + 0x00], r15", "mov [rax + 0x08], r14", "mov [rax + 0x10], r13", "mov [rax + 0x18], r12",
                "mov [rax + 0x20], r11", "mov [rax + 0x28], r10", "mov [rax + 0x30], r9", "mov [rax + 0x38], r8",
                "mov [rax + 0x40], rdi", "mov [rax + 0x48], rsi", "mov [rax + 0x50], rbp", "mov [rax + 0x58], rbx",
                "mov [rax + 0x60], rdx", "mov [rax + 0x68], rcx", "mov [rax + 0x70], rax", "mov [rax + 0xa0], rsp",
                "pushfq", "pop [rax + 0x98]", "lea rcx, [rip]", "mov [rax + 0x88], rcx",
                in("rax") &raw mut frame, out("rcx") _,
            );
        }
        frame.cs = u64::from(super::tables::CODE.0);
        frame
    }
}

const _: () = assert!(core::mem::offset_of!(Frame, rip) == 0x88 && core::mem::offset_of!(Frame, rsp) == 0xa0);

const NMI: u8 = 2;
const INVALID_OPCODE: u8 = 6;
const GENERAL_PROTECTION: u8 = 13;
const FIRST_INTERRUPT: u8 = 32;

/// An instruction that may fault, and where to go on if it does.
#[repr(C)]
struct Fixup {
    from: u64,
    to: u64,
}

unsafe extern "C" {
    static __fixups_start: [Fixup; 0];
    static __fixups_end: [Fixup; 0];
}

fn fixups() -> &'static [Fixup] {
    let start = (&raw const __fixups_start).cast::<Fixup>();
    let bytes = (&raw const __fixups_end as usize).saturating_sub(start as usize);
    // SAFETY: the linker script collects nothing but fixups between the two symbols.
    unsafe { core::slice::from_raw_parts(start, bytes / size_of::<Fixup>()) }
}

/// Every vector's way into Rust. Interrupts are off.
#[unsafe(no_mangle)]
extern "C" fn interrupt_entry(frame: &mut Frame) {
    match frame.vector as u8 {
        NMI => panic::nmi(frame),
        vector if vector >= FIRST_INTERRUPT => irq::dispatch(Vector(vector)),
        vector => {
            let recoverable = vector == GENERAL_PROTECTION || vector == INVALID_OPCODE;
            match fixups().iter().find(|fixup| recoverable && fixup.from == frame.rip) {
                Some(fixup) => frame.rip = fixup.to,
                None => panic::exception(frame),
            }
        }
    }
}

/// The name of an exception's vector.
pub fn exception_name(vector: u64) -> &'static str {
    const NAMES: [&str; 22] = [
        "divide error",
        "debug exception",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range exceeded",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor segment overrun",
        "invalid TSS",
        "segment not present",
        "stack segment fault",
        "general protection fault",
        "page fault",
        "vector 15",
        "x87 floating point error",
        "alignment check",
        "machine check",
        "SIMD floating point error",
        "virtualization exception",
        "control protection exception",
    ];
    NAMES.get(vector as usize).copied().unwrap_or("unexpected vector")
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  rip {:016x}  cs {:04x}  rflags {:08x}", self.rip, self.cs, self.rflags)?;
        writeln!(f, "  rsp {:016x}  ss {:04x}  error {:x}", self.rsp, self.ss, self.error)?;
        writeln!(f, "  rax {:016x}  rbx {:016x}  rcx {:016x}", self.rax, self.rbx, self.rcx)?;
        writeln!(f, "  rdx {:016x}  rsi {:016x}  rdi {:016x}", self.rdx, self.rsi, self.rdi)?;
        writeln!(f, "  rbp {:016x}  r8  {:016x}  r9  {:016x}", self.rbp, self.r8, self.r9)?;
        writeln!(f, "  r10 {:016x}  r11 {:016x}  r12 {:016x}", self.r10, self.r11, self.r12)?;
        write!(f, "  r13 {:016x}  r14 {:016x}  r15 {:016x}", self.r13, self.r14, self.r15)
    }
}
