//! A vCPU's registers in the PV format (`public/arch-x86/xen.h`, `xen-x86_64.h`, `xen-x86_32.h`).
//!
//! For HVM and PVH vCPUs only the FPU state, the flags, the general and the debug registers mean something.

use crate::layout::{flags, structs};

flags! {
    /// [`VcpuGuestContext::flags`].
    struct ContextFlags: u32 {
        /// `fpu_ctxt` is valid.
        const I387_VALID = 1 << 0, "VGCF_i387_valid";
        /// The vCPU runs its kernel.
        const IN_KERNEL = 1 << 2, "VGCF_in_kernel";
        /// PV: events are off in the failsafe callback.
        const FAILSAFE_DISABLES_EVENTS = 1 << 3, "VGCF_failsafe_disables_events";
        /// PV: events are off in the system call entry.
        const SYSCALL_DISABLES_EVENTS = 1 << 4, "VGCF_syscall_disables_events";
        /// The vCPU is up.
        const ONLINE = 1 << 5, "VGCF_online";
    }
}

structs! {
    /// General registers of a 64-bit vCPU.
    struct UserRegs64 = "struct cpu_user_regs" in X64 {
        r15: u64,
        r14: u64,
        r13: u64,
        r12: u64,
        rbp: u64,
        rbx: u64,
        r11: u64,
        r10: u64,
        r9: u64,
        r8: u64,
        rax: u64,
        rcx: u64,
        rdx: u64,
        rsi: u64,
        rdi: u64,
        error_code: u32,
        entry_vector: u32,
        rip: u64,
        cs: u16,
        _pad0: [u16; 1],
        saved_upcall_mask: u8,
        _pad1: [u8; 3],
        rflags: u64,
        rsp: u64,
        ss: u16,
        _pad2: [u16; 3],
        es: u16,
        _pad3: [u16; 3],
        ds: u16,
        _pad4: [u16; 3],
        fs: u16,
        _pad5: [u16; 3],
        gs: u16,
        _pad6: [u16; 3],
    }

    /// General registers of a 32-bit vCPU.
    struct UserRegs32 = "struct cpu_user_regs" in X32 {
        ebx: u32,
        ecx: u32,
        edx: u32,
        esi: u32,
        edi: u32,
        ebp: u32,
        eax: u32,
        error_code: u16,
        entry_vector: u16,
        eip: u32,
        cs: u16,
        saved_upcall_mask: u8,
        _pad0: u8,
        eflags: u32,
        esp: u32,
        ss: u16,
        _pad1: u16,
        es: u16,
        _pad2: u16,
        ds: u16,
        _pad3: u16,
        fs: u16,
        _pad4: u16,
        gs: u16,
        _pad5: u16,
    }

    /// PV: an interrupt gate.
    struct TrapInfo<A> = "struct trap_info" {
        vector: u8,
        /// Privilege level in bits 1:0; bit 2: events are off.
        flags: u8,
        cs: u16,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        address: A::Ulong,
    }

    /// The registers.
    struct VcpuGuestContext<A> = "struct vcpu_guest_context" {
        /// As FXSAVE has it.
        fpu_ctxt: [u8; 512],
        /// [`ContextFlags`].
        flags: A::Ulong,
        user_regs: A::Pick<UserRegs64, UserRegs32>,
        trap_ctxt: [TrapInfo<A>; 256],
        ldt_base: A::Ulong,
        ldt_ents: A::Ulong,
        gdt_frames: [A::Ulong; 16],
        gdt_ents: A::Ulong,
        kernel_ss: A::Ulong,
        kernel_sp: A::Ulong,
        ctrlreg: [A::Ulong; 8],
        debugreg: [A::Ulong; 8],
        event_callback_cs: A::Pick<[u8; 0], u32>,
        event_callback_eip: A::Ulong,
        failsafe_callback_cs: A::Pick<[u8; 0], u32>,
        failsafe_callback_eip: A::Ulong,
        syscall_callback_eip: A::Pick<u64, [u8; 0]>,
        /// Assists that are on, a bit for each `VMASST_TYPE_*`.
        vm_assist: A::Ulong,
        fs_base: A::Pick<u64, [u8; 0]>,
        gs_base_kernel: A::Pick<u64, [u8; 0]>,
        gs_base_user: A::Pick<u64, [u8; 0]>,
    }
}
