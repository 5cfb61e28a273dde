//! A domain's state as records (`public/hvm/save.h`, `public/arch-x86/hvm/save.h`): the buffer of
//! `gethvmcontext` and `sethvmcontext`.
//!
//! Each record is a [`SaveDescriptor`] and the bytes it announces. The first one is a [`SaveHeader`], the last
//! one has the code [`SAVE_CODE_END`] and no bytes.

use crate::layout::{constants, flags, structs};
use crate::plain::Plain;

constants! {
    /// [`SaveHeader::magic`].
    SAVE_MAGIC: u32 = 0x5438_1286, "HVM_FILE_MAGIC";
    /// [`SaveHeader::version`].
    SAVE_VERSION: u32 = 1, "HVM_FILE_VERSION";

    /// The last record.
    SAVE_CODE_END: u16 = 0, "HVM_SAVE_CODE(END)";
    /// [`SaveHeader`].
    SAVE_CODE_HEADER: u16 = 1, "HVM_SAVE_CODE(HEADER)";
    /// [`HwCpu`].
    SAVE_CODE_CPU: u16 = 2, "HVM_SAVE_CODE(CPU)";
    /// The interrupt controllers.
    SAVE_CODE_PIC: u16 = 3, "HVM_SAVE_CODE(PIC)";
    /// The I/O APIC.
    SAVE_CODE_IOAPIC: u16 = 4, "HVM_SAVE_CODE(IOAPIC)";
    /// [`HwLapic`].
    SAVE_CODE_LAPIC: u16 = 5, "HVM_SAVE_CODE(LAPIC)";
    /// [`HwLapicRegs`].
    SAVE_CODE_LAPIC_REGS: u16 = 6, "HVM_SAVE_CODE(LAPIC_REGS)";
    /// PCI interrupt lines.
    SAVE_CODE_PCI_IRQ: u16 = 7, "HVM_SAVE_CODE(PCI_IRQ)";
    /// ISA interrupt lines.
    SAVE_CODE_ISA_IRQ: u16 = 8, "HVM_SAVE_CODE(ISA_IRQ)";
    /// PCI interrupt routing.
    SAVE_CODE_PCI_LINK: u16 = 9, "HVM_SAVE_CODE(PCI_LINK)";
    /// The interval timer.
    SAVE_CODE_PIT: u16 = 10, "HVM_SAVE_CODE(PIT)";
    /// The clock.
    SAVE_CODE_RTC: u16 = 11, "HVM_SAVE_CODE(RTC)";
    /// The HPET.
    SAVE_CODE_HPET: u16 = 12, "HVM_SAVE_CODE(HPET)";
    /// The ACPI timer.
    SAVE_CODE_PMTIMER: u16 = 13, "HVM_SAVE_CODE(PMTIMER)";
    /// [`HwMtrr`].
    SAVE_CODE_MTRR: u16 = 14, "HVM_SAVE_CODE(MTRR)";
    /// Viridian state of the domain.
    SAVE_CODE_VIRIDIAN_DOMAIN: u16 = 15, "HVM_SAVE_CODE(VIRIDIAN_DOMAIN)";
    /// [`CpuXsave`] and the rest of the area.
    SAVE_CODE_CPU_XSAVE: u16 = 16, "CPU_XSAVE_CODE";
    /// Viridian state of a vCPU.
    SAVE_CODE_VIRIDIAN_VCPU: u16 = 17, "HVM_SAVE_CODE(VIRIDIAN_VCPU)";
    /// [`VmceVcpu`].
    SAVE_CODE_VMCE_VCPU: u16 = 18, "HVM_SAVE_CODE(VMCE_VCPU)";
    /// [`TscAdjust`].
    SAVE_CODE_TSC_ADJUST: u16 = 19, "HVM_SAVE_CODE(TSC_ADJUST)";
    /// [`CpuMsrs`] and its [`OneMsr`]s.
    SAVE_CODE_CPU_MSR: u16 = 20, "CPU_MSR_CODE";
    /// The highest code.
    SAVE_CODE_MAX: u16 = 20, "HVM_SAVE_CODE_MAX";
}

flags! {
    /// [`HwCpu::flags`].
    struct HwCpuFlags: u32 {
        /// `fpu_regs` is valid.
        const FPU_INITIALISED = 1 << 0, "XEN_X86_FPU_INITIALISED";
    }
}

/// A record with a fixed layout.
pub trait SaveRecord: Plain {
    /// Its code.
    const CODE: u16;
}

macro_rules! records {
    ($($name:ident: $code:ident,)*) => {
        $(impl SaveRecord for $name {
            const CODE: u16 = $code;
        })*
    };
}

records! {
    SaveHeader: SAVE_CODE_HEADER,
    HwCpu: SAVE_CODE_CPU,
    HwLapic: SAVE_CODE_LAPIC,
    HwLapicRegs: SAVE_CODE_LAPIC_REGS,
    HwMtrr: SAVE_CODE_MTRR,
    VmceVcpu: SAVE_CODE_VMCE_VCPU,
    TscAdjust: SAVE_CODE_TSC_ADJUST,
}

structs! {
    /// What comes before each record.
    struct SaveDescriptor = "struct hvm_save_descriptor" {
        /// `SAVE_CODE_*`.
        typecode: u16,
        /// The vCPU, or which device.
        instance: u16,
        /// Bytes of the record.
        length: u32,
    }

    /// The first record.
    struct SaveHeader = "struct hvm_save_header" {
        /// [`SAVE_MAGIC`].
        magic: u32,
        /// [`SAVE_VERSION`].
        version: u32,
        /// The hypervisor's version.
        changeset: u64,
        /// EAX of CPUID leaf 1 of the machine.
        cpuid: u32,
        /// The guest's TSC frequency.
        gtsc_khz: u32,
    }

    /// The local APIC, apart from its registers.
    struct HwLapic = "struct hvm_hw_lapic" {
        apic_base_msr: u64,
        /// Bit 0: by software, bit 1: by the base MSR.
        disabled: u32,
        /// The timer counts every that many cycles.
        timer_divisor: u32,
        /// The TSC deadline.
        tdt_msr: u64,
    }

    /// The local APIC's registers, as its page has them.
    struct HwLapicRegs = "struct hvm_hw_lapic_regs" {
        data: [u8; 1024],
    }

    /// Memory types.
    struct HwMtrr = "struct hvm_hw_mtrr" {
        msr_pat_cr: u64,
        /// Base and mask, by turns.
        msr_mtrr_var: [u64; 16],
        msr_mtrr_fixed: [u64; 11],
        msr_mtrr_cap: u64,
        msr_mtrr_def_type: u64,
    }

    /// The head of an XSAVE area; the rest of the area follows.
    struct CpuXsave = "struct hvm_hw_cpu_xsave" {
        /// Features that the state may have.
        xfeature_mask: u64,
        xcr0: u64,
        /// Features that the vCPU ever switched on.
        xcr0_accum: u64,
        fpu_sse: [u8; 512] = "save_area.fpu_sse",
        xsave_hdr: XsaveHeader = "save_area.xsave_hdr",
    }

    /// The header in an XSAVE area.
    struct XsaveHeader = "struct hvm_hw_cpu_xsave_hdr" {
        xstate_bv: u64,
        xcomp_bv: u64,
        reserved: [u64; 6],
    }

    /// Machine check state.
    struct VmceVcpu = "struct hvm_vmce_vcpu" {
        caps: u64,
        mci_ctl2_bank0: u64,
        mci_ctl2_bank1: u64,
        mcg_ext_ctl: u64,
    }

    /// The TSC_ADJUST MSR.
    struct TscAdjust = "struct hvm_tsc_adjust" {
        tsc_adjust: u64,
    }

    /// The head of a list of [`OneMsr`]s.
    struct CpuMsrs<A> = "struct hvm_msr" {
        count: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// An MSR.
    struct OneMsr = "struct hvm_one_msr" {
        index: u32,
        /// Zero.
        reserved: u32 = "_rsvd",
        val: u64,
    }

    /// A vCPU's registers. `*_arbytes` are segment attributes: bits 7:0 as in a descriptor's byte 5, bits 11:8
    /// as in the high half of byte 6, the rest 0.
    struct HwCpu = "struct hvm_hw_cpu" {
        /// As FXSAVE has it.
        fpu_regs: [u8; 512],
        rax: u64,
        rbx: u64,
        rcx: u64,
        rdx: u64,
        rbp: u64,
        rsi: u64,
        rdi: u64,
        rsp: u64,
        r8: u64,
        r9: u64,
        r10: u64,
        r11: u64,
        r12: u64,
        r13: u64,
        r14: u64,
        r15: u64,
        rip: u64,
        rflags: u64,
        cr0: u64,
        cr2: u64,
        cr3: u64,
        cr4: u64,
        dr0: u64,
        dr1: u64,
        dr2: u64,
        dr3: u64,
        dr6: u64,
        dr7: u64,
        cs_sel: u32,
        ds_sel: u32,
        es_sel: u32,
        fs_sel: u32,
        gs_sel: u32,
        ss_sel: u32,
        tr_sel: u32,
        ldtr_sel: u32,
        cs_limit: u32,
        ds_limit: u32,
        es_limit: u32,
        fs_limit: u32,
        gs_limit: u32,
        ss_limit: u32,
        tr_limit: u32,
        ldtr_limit: u32,
        idtr_limit: u32,
        gdtr_limit: u32,
        cs_base: u64,
        ds_base: u64,
        es_base: u64,
        fs_base: u64,
        gs_base: u64,
        ss_base: u64,
        tr_base: u64,
        ldtr_base: u64,
        idtr_base: u64,
        gdtr_base: u64,
        cs_arbytes: u32,
        ds_arbytes: u32,
        es_arbytes: u32,
        fs_arbytes: u32,
        gs_arbytes: u32,
        ss_arbytes: u32,
        tr_arbytes: u32,
        ldtr_arbytes: u32,
        sysenter_cs: u64,
        sysenter_esp: u64,
        sysenter_eip: u64,
        shadow_gs: u64,
        /// Obsolete.
        msr_flags: u64,
        msr_lstar: u64,
        msr_star: u64,
        msr_cstar: u64,
        msr_syscall_mask: u64,
        msr_efer: u64,
        msr_tsc_aux: u64,
        /// The guest's TSC.
        tsc: u64,
        /// Vector in bits 7:0, kind in 10:8, bit 11: with error code, bit 31: valid.
        pending_event: u32,
        /// The pending event's.
        error_code: u32,
        flags: HwCpuFlags,
        /// Zero.
        pad0: u32,
    }
}
