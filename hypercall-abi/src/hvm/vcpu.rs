//! The registers of a vCPU that is brought up (`public/hvm/hvm_vcpu.h`): the argument of
//! [`OP_INITIALISE`](crate::vcpu::OP_INITIALISE).
//!
//! `*_ar` are segment attributes: bits 7:0 as in a descriptor's byte 5, bits 11:8 as in the high half of byte 6.

use crate::layout::{constants, structs};
use crate::plain::Union;

constants! {
    /// The vCPU starts in 32-bit mode: [`VcpuHvm32`].
    VCPU_MODE_32B: u32 = 0, "VCPU_HVM_MODE_32B";
    /// The vCPU starts in 64-bit mode: [`VcpuHvm64`].
    VCPU_MODE_64B: u32 = 1, "VCPU_HVM_MODE_64B";
}

structs! {
    /// Registers for a start in 32-bit mode.
    struct VcpuHvm32 = "struct vcpu_hvm_x86_32" {
        eax: u32,
        ecx: u32,
        edx: u32,
        ebx: u32,
        esp: u32,
        ebp: u32,
        esi: u32,
        edi: u32,
        eip: u32,
        eflags: u32,
        cr0: u32,
        cr3: u32,
        cr4: u32,
        /// Zero.
        pad1: u32,
        efer: u64,
        cs_base: u32,
        ds_base: u32,
        ss_base: u32,
        es_base: u32,
        tr_base: u32,
        cs_limit: u32,
        ds_limit: u32,
        ss_limit: u32,
        es_limit: u32,
        tr_limit: u32,
        cs_ar: u16,
        ds_ar: u16,
        ss_ar: u16,
        es_ar: u16,
        tr_ar: u16,
        /// Zero.
        pad2: [u16; 3],
    }

    /// Registers for a start in 64-bit mode; segments are flat.
    struct VcpuHvm64 = "struct vcpu_hvm_x86_64" {
        rax: u64,
        rcx: u64,
        rdx: u64,
        rbx: u64,
        rsp: u64,
        rbp: u64,
        rsi: u64,
        rdi: u64,
        rip: u64,
        rflags: u64,
        cr0: u64,
        cr3: u64,
        cr4: u64,
        efer: u64,
    }

    /// Registers of a vCPU.
    struct VcpuHvmContext = "struct vcpu_hvm_context" {
        /// `VCPU_MODE_*`.
        mode: u32,
        /// Zero.
        pad: u32,
        /// A [`VcpuHvm32`] or a [`VcpuHvm64`].
        cpu_regs: Union<[u64; 15]>,
    }
}
