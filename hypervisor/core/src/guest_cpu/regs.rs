//! A vCPU's registers, in no vendor's format.

/// The general registers in encoding order, with instruction pointer and flags.
///
/// The entry code in assembly stores and loads them by offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Gprs {
    /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    pub gpr: [u64; 16],
    /// The instruction pointer.
    pub rip: u64,
    /// The flags.
    pub rflags: u64,
}

/// A general register by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the architecture's own names")]
pub enum Gpr {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    R12 = 12,
    R13 = 13,
    R14 = 14,
    R15 = 15,
}

impl Gpr {
    /// The register that the low four bits of `number` encode.
    pub const fn from_encoding(number: u8) -> Self {
        use Gpr::*;
        const ALL: [Gpr; 16] = [Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15];
        ALL[(number & 15) as usize]
    }
}

impl Gprs {
    /// One register's 64 bits.
    pub const fn get(&self, reg: Gpr) -> u64 {
        self.gpr[reg as usize]
    }

    /// One register's low 32 bits.
    pub const fn get32(&self, reg: Gpr) -> u32 {
        self.gpr[reg as usize] as u32
    }

    /// Sets all 64 bits of a register; a 32-bit result is passed zero-extended, as the CPU would.
    pub const fn set(&mut self, reg: Gpr, value: u64) {
        self.gpr[reg as usize] = value;
    }

    /// edx:eax, as RDMSR and WRMSR use it.
    pub const fn edx_eax(&self) -> u64 {
        (self.get32(Gpr::Rdx) as u64) << 32 | self.get32(Gpr::Rax) as u64
    }

    /// Sets edx:eax, clearing the upper halves.
    pub const fn set_edx_eax(&mut self, value: u64) {
        self.set(Gpr::Rax, value & 0xffff_ffff);
        self.set(Gpr::Rdx, value >> 32);
    }
}

/// A segment register with its hidden part, laid out as in the VMCB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Descriptor bits 40-47 and 52-55 packed together, as the VMCB and Xen's save record have them:
    /// type 0-3, S 4, DPL 5-6, P 7, AVL 8, L 9, D/B 10, G 11.
    pub attributes: u16,
    /// The limit in bytes, expanded.
    pub limit: u32,
    /// The base.
    pub base: u64,
}

/// The segment registers and descriptor tables, laid out as in the VMCB. The tables have neither selector nor attributes,
/// and limits of 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "the architecture's own names")]
pub struct Segments {
    pub es: Segment,
    pub cs: Segment,
    pub ss: Segment,
    pub ds: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub gdtr: Segment,
    pub ldtr: Segment,
    pub idtr: Segment,
    pub tr: Segment,
}

impl Segments {
    /// With the same in every data segment register, and descriptor tables of the full length at 0.
    const fn uniform(cs: Segment, data: Segment, tr: Segment, ldtr: Segment) -> Self {
        let table = Segment { selector: 0, attributes: 0, limit: 0xffff, base: 0 };
        Self { es: data, cs, ss: data, ds: data, fs: data, gs: data, gdtr: table, ldtr, idtr: table, tr }
    }
}

/// What address translation depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the architecture's own names")]
pub struct ControlRegs {
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
    pub cpl: u8,
    pub mode: CpuMode,
}

/// What the guest's code segment and EFER make of an instruction stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuMode {
    /// Real or virtual-8086 mode.
    #[default]
    Real,
    /// 16-bit protected mode.
    Bits16,
    /// 32-bit protected or compatibility mode.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

impl CpuMode {
    /// The default size of addresses, and of the instruction pointer.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Real | Self::Bits16 => 16,
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// The MSRs that lead from user mode into a kernel, in the order of the VMCB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "the architecture's own names")]
pub struct EntryMsrs {
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
}

/// The whole state of a vCPU apart from general registers and floating point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the architecture's own names")]
pub struct SystemState {
    pub segments: Segments,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
    pub dr6: u64,
    pub dr7: u64,
    pub pat: u64,
    /// Where SYSCALL, SYSENTER and SWAPGS lead.
    pub entry: EntryMsrs,
}

const DATA: u16 = 0x93;
const CODE: u16 = 0x9b;
const TASK: u16 = 0x8b;
const TABLE: u16 = 0x82;
const FLAT: u16 = 0xc00;
/// PAT after a reset: WB, WT, UC-, UC, twice.
const PAT_RESET: u64 = 0x0007_0406_0007_0406;

impl SystemState {
    /// The state after INIT (AMD64 manual 2, table 14-1), with the given code segment start.
    pub fn after_init(code_selector: u16) -> Self {
        let real = |selector: u16, attributes| Segment {
            selector,
            attributes,
            limit: 0xffff,
            base: u64::from(selector) << 4,
        };
        Self {
            segments: Segments::uniform(
                real(code_selector, CODE),
                real(0, DATA),
                real(0, TASK),
                real(0, TABLE),
            ),
            cr0: 0x10,
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            pat: PAT_RESET,
            ..Self::default()
        }
    }

    /// The state at a PVH entry point (`public/arch-x86/hvm/start_info.h`): flat 32-bit protected mode.
    pub fn pvh_entry() -> Self {
        let flat = |selector, attributes| Segment {
            selector,
            attributes: attributes | FLAT,
            limit: u32::MAX,
            base: 0,
        };
        let tr = Segment { selector: 0, attributes: TASK, limit: 0x67, base: 0 };
        let ldtr = Segment { selector: 0, attributes: TABLE, limit: 0, base: 0 };
        Self {
            segments: Segments::uniform(flat(0x8, CODE), flat(0x10, DATA), tr, ldtr),
            cr0: 0x11,
            ..Self::after_init(0)
        }
    }
}
