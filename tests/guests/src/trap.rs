//! Exceptions and interrupts.
//!
//! An exception that [`attempt!`](crate::attempt) expects becomes its result; any other one ends the innermost
//! [`protect`]ed call. Interrupts are counted, and acknowledged at the local APIC if their vector was
//! [`set_up`] to be.
#![allow(unsafe_code, reason = "descriptor tables and exception entries")]

use alloc::format;
use alloc::string::String;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::{fmt, ptr};

use spin::Mutex;

use crate::cpu::{self, LANDING, MAX_CPUS, RECOVER};
use crate::{apic, say};

pub const BREAKPOINT: u8 = 3;
pub const UNDEFINED: u8 = 6;
pub const DOUBLE_FAULT: u8 = 8;
pub const PROTECTION: u8 = 13;
pub const PAGE_FAULT: u8 = 14;
/// Not an exception.
pub const NMI: u8 = 2;

/// An exception.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    pub vector: u8,
    pub error: u64,
    pub rip: u64,
    /// The address of a page fault.
    pub address: u64,
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vector {
            PROTECTION => write!(f, "#GP({:#x}) at {:#x}", self.error, self.rip),
            PAGE_FAULT => write!(f, "#PF({:#x}) on {:#x} at {:#x}", self.error, self.address, self.rip),
            UNDEFINED => write!(f, "#UD at {:#x}", self.rip),
            vector => write!(f, "exception {vector} ({:#x}) at {:#x}", self.error, self.rip),
        }
    }
}

/// Registers as the entry leaves them on the stack.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

global_asm!(
    ".balign 16",
    "guest_vectors:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    // Exceptions 8, 10 to 14, 17 and 21 push an error code themselves.
    ".if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)",
    ".else",
    "push 0",
    ".endif",
    "push vector",
    "jmp guest_trap",
    ".set vector, vector + 1",
    ".endr",
    "guest_trap:",
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "call {on_trap}",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rbp",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rbx",
    "pop rax",
    "add rsp, 16",
    "iretq",
    // guest_protect(function, argument) -> 0 if it returned, 1 if something ended it.
    "guest_protect:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push qword ptr gs:[{landing}]",
    "mov gs:[{landing}], rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "xor eax, eax",
    "jmp 2f",
    "guest_throw:",
    "mov rsp, gs:[{landing}]",
    "mov eax, 1",
    "2:",
    "pop qword ptr gs:[{landing}]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    on_trap = sym on_trap,
    landing = const LANDING,
);

unsafe extern "C" {
    static guest_vectors: u8;
    fn guest_protect(function: extern "C" fn(u64), argument: u64) -> u64;
    fn guest_throw() -> !;
}

const _: () = assert!(RECOVER == 0);

/// Runs instructions that may fault; the result says whether they did, and how. The instructions must leave the
/// stack pointer as it was at any instruction that can fault. Operands as for `asm!`, named ones first.
#[macro_export]
macro_rules! attempt {
    ($($insn:literal),+ $(; $($operands:tt)*)?) => {{
        $crate::trap::clear();
        core::arch::asm!(
            "lea {recover}, [rip + 66f]",
            "mov gs:[0], {recover}",
            $($insn,)+
            "66:",
            "mov qword ptr gs:[0], 0",
            recover = out(reg) _,
            $($($operands)*)?
        );
        $crate::trap::taken()
    }};
}

/// Forgets the last exception. Part of [`attempt!`](crate::attempt).
pub fn clear() {
    cpu::with(|cpu| cpu.trap = None);
}

/// The last exception as an error. Part of [`attempt!`](crate::attempt).
pub fn taken() -> Result<(), Trap> {
    cpu::with(|cpu| cpu.trap.take()).map_or(Ok(()), Err)
}

/// Why a [`protect`]ed call ended early.
static REASON: Mutex<Option<String>> = Mutex::new(None);

/// Calls `f`, and returns its result or, if an exception or a panic ended it, the reason.
pub fn protect<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    struct Work<F, T> {
        f: Option<F>,
        result: Option<T>,
    }
    extern "C" fn perform<F: FnOnce() -> T, T>(work: u64) {
        // SAFETY: the address of the `Work` below, which waits for this call.
        let work = unsafe { &mut *(work as *mut Work<F, T>) };
        if let Some(f) = work.f.take() {
            work.result = Some(f());
        }
    }
    fn entry<F: FnOnce() -> T, T>(_: &Work<F, T>) -> extern "C" fn(u64) {
        perform::<F, T>
    }
    let mut work = Work { f: Some(f), result: None };
    let function = entry(&work);
    // SAFETY: the function and its argument fit each other; what is skipped on the way back only leaks.
    unsafe { guest_protect(function, (&raw mut work).expose_provenance() as u64) };
    work.result.ok_or_else(|| REASON.lock().take().unwrap_or_else(|| "no reason".into()))
}

/// Ends the innermost protected call.
pub fn throw(reason: String) -> ! {
    if cpu::with(|cpu| cpu.landing) == 0 {
        crate::console::last_line(format_args!("CPU {}: {reason}", cpu::index()));
        crate::suite::crash();
    }
    *REASON.lock() = Some(reason);
    // SAFETY: there is a protected call to end.
    unsafe { guest_throw() }
}

/// How often each vector came, on all CPUs together.
static HITS: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];
/// The time stamp counter when each vector came last.
static WHEN: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];
static ACKNOWLEDGED: [AtomicBool; 256] = [const { AtomicBool::new(false) }; 256];
/// Functions, as addresses; null for none. No lock: exceptions come at any time.
static HOOKS: [AtomicPtr<()>; 256] = [const { AtomicPtr::new(ptr::null_mut()) }; 256];

fn hook(vector: u8) -> Option<fn(&mut Frame)> {
    let address = HOOKS[usize::from(vector)].load(Ordering::SeqCst);
    // SAFETY: null, which is `None`, or what `set_up` stored: a function of this type.
    unsafe { core::mem::transmute::<*mut (), Option<fn(&mut Frame)>>(address) }
}

/// Chooses whether a vector is acknowledged at the local APIC, and what is called when it comes.
pub fn set_up(vector: u8, acknowledged: bool, hook: Option<fn(&mut Frame)>) {
    ACKNOWLEDGED[usize::from(vector)].store(acknowledged, Ordering::Relaxed);
    HOOKS[usize::from(vector)].store(hook.map_or(ptr::null_mut(), |hook| hook as *mut ()), Ordering::SeqCst);
    HITS[usize::from(vector)].store(0, Ordering::SeqCst);
}

/// How often a vector came since it was [`set_up`].
#[must_use]
pub fn hits(vector: u8) -> u64 {
    HITS[usize::from(vector)].load(Ordering::SeqCst)
}

/// The time stamp counter when a vector came last.
#[must_use]
pub fn when(vector: u8) -> u64 {
    WHEN[usize::from(vector)].load(Ordering::SeqCst)
}

extern "C" fn on_trap(frame: &mut Frame) {
    let vector = frame.vector as u8;
    if vector >= 32 || vector == NMI {
        return on_interrupt(vector, frame);
    }
    if let Some(hook) = hook(vector) {
        HITS[usize::from(vector)].fetch_add(1, Ordering::SeqCst);
        return hook(frame);
    }
    let address: u64;
    // SAFETY: a read.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) }
    let address = if vector == PAGE_FAULT { address } else { 0 };
    let trap = Trap { vector, error: frame.error, rip: frame.rip, address };
    let recover = cpu::with(|cpu| {
        cpu.trap = Some(trap);
        core::mem::take(&mut cpu.recover)
    });
    // The handler's own stack may have been another one, and the interrupted code in another ring.
    if recover != 0 && frame.cs & 3 == 0 {
        frame.rip = recover;
        return;
    }
    throw(format!("unexpected {trap:?}, cs {:#x} rsp {:#x}", frame.cs, frame.rsp));
}

fn on_interrupt(vector: u8, frame: &mut Frame) {
    // The interrupted code may be about to fault; what is called here may expect faults of its own.
    let (recover, trap) = cpu::with(|cpu| (core::mem::take(&mut cpu.recover), cpu.trap.take()));
    WHEN[usize::from(vector)].store(cpu::tsc(), Ordering::SeqCst);
    HITS[usize::from(vector)].fetch_add(1, Ordering::SeqCst);
    if ACKNOWLEDGED[usize::from(vector)].load(Ordering::Relaxed) {
        apic::acknowledge();
    }
    if let Some(hook) = hook(vector) {
        hook(frame);
    }
    cpu::with(|cpu| (cpu.recover, cpu.trap) = (recover, trap));
}

/// Selectors of each CPU's descriptor table.
pub const CODE64: u16 = 0x08;
pub const DATA: u16 = 0x10;
pub const CODE32: u16 = 0x18;
pub const USER_CODE32: u16 = 0x20 | 3;
pub const USER_DATA: u16 = 0x28 | 3;
pub const USER_CODE64: u16 = 0x30 | 3;
const TSS: u16 = 0x38;

#[repr(C, align(16))]
struct Tables {
    gdt: [u64; 9],
    tss: [u32; 26],
    /// For double faults.
    emergency_stack: [u8; 4096],
    /// For exceptions of ring 3.
    kernel_stack: [u8; 8192],
}

struct AllTables(UnsafeCell<[Tables; MAX_CPUS]>);

// SAFETY: each CPU uses its own element only.
unsafe impl Sync for AllTables {}

static TABLES: AllTables = AllTables(UnsafeCell::new(
    [const { Tables { gdt: [0; 9], tss: [0; 26], emergency_stack: [0; 4096], kernel_stack: [0; 8192] } };
        MAX_CPUS],
));

struct Idt(UnsafeCell<[[u64; 2]; 256]>);

// SAFETY: written once, before any other CPU is started.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; 256]));

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Fills the interrupt table and loads this CPU's tables.
pub(crate) fn init() {
    let base = (&raw const guest_vectors).addr() as u64;
    for vector in 0..256_u64 {
        let entry = base + vector * 16;
        let stack = u64::from(vector == u64::from(DOUBLE_FAULT));
        // Ring 3 may use the breakpoint.
        let kind = if vector == u64::from(BREAKPOINT) { 0xee00 } else { 0x8e00 };
        let low = entry & 0xffff
            | u64::from(CODE64) << 16
            | stack << 32
            | kind << 32
            | (entry >> 16 & 0xffff) << 48;
        // SAFETY: in bounds, and nobody else is here yet.
        unsafe { (*IDT.0.get())[vector as usize] = [low, entry >> 32] };
    }
    load();
}

/// Loads the running CPU's tables.
pub(crate) fn load() {
    // SAFETY: this CPU's element.
    let tables = unsafe { &mut *TABLES.0.get().cast::<Tables>().add(cpu::index()) };
    let kernel_stack = (&raw const tables.kernel_stack).addr() as u64 + 8192;
    let emergency_stack = (&raw const tables.emergency_stack).addr() as u64 + 4096;
    (tables.tss[1], tables.tss[2]) = (kernel_stack as u32, (kernel_stack >> 32) as u32);
    (tables.tss[9], tables.tss[10]) = (emergency_stack as u32, (emergency_stack >> 32) as u32);
    // No I/O permissions: the map lies beyond the segment.
    tables.tss[25] = 104 << 16;
    let tss = (&raw const tables.tss).addr() as u64;
    tables.gdt = [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_9b00_0000_ffff,
        0x00cf_fb00_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
        0x0000_8900_0000_0067 | (tss & 0xff_ffff) << 16 | (tss >> 24 & 0xff) << 56,
        tss >> 32,
    ];
    let gdt =
        Pointer { limit: size_of::<[u64; 9]>() as u16 - 1, base: (&raw const tables.gdt).addr() as u64 };
    let idt = Pointer { limit: 0xfff, base: IDT.0.get().addr() as u64 };
    // SAFETY: the tables are well-formed and live for ever; selectors keep their meaning.
    unsafe {
        asm!("lgdt [{}]", "lidt [{}]", "ltr {:x}", in(reg) &raw const gdt, in(reg) &raw const idt,
             in(reg) TSS, options(nostack, preserves_flags));
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if cpu::with(|cpu| cpu.landing) == 0 {
        say!("{info}");
    }
    throw(format!("{info}"))
}
