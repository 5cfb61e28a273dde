//! A domain's vCPUs and their state.

use crate::abi::Handle64;
use crate::hvm::VmceVcpu;
use crate::layout::{constants, flags, structs};
use crate::xen::CtlBitmap;

constants! {
    /// [`DebugOp::op`].
    DEBUG_OP_SINGLE_STEP_OFF: u32 = 0, "XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF";
    /// [`DebugOp::op`].
    DEBUG_OP_SINGLE_STEP_ON: u32 = 1, "XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON";
}

flags! {
    /// [`VcpuAffinity::flags`]: which maps are meant.
    struct AffinityFlags: u32 {
        /// The CPUs that it may run on.
        const HARD = 1 << 0, "XEN_VCPUAFFINITY_HARD";
        /// The CPUs that it likes.
        const SOFT = 1 << 1, "XEN_VCPUAFFINITY_SOFT";
        /// Undo the guest's own pinning.
        const FORCE = 1 << 2, "XEN_VCPUAFFINITY_FORCE";
    }
}

structs! {
    /// A vCPU's registers in the PV format.
    struct VcpuContext = "struct xen_domctl_vcpucontext" {
        vcpu: u32,
        _pad: [u8; 4],
        /// A [`VcpuGuestContext`](super::VcpuGuestContext) of the domain's width.
        ctxt: Handle64,
    }

    /// What a vCPU does.
    struct GetVcpuInfo = "struct xen_domctl_getvcpuinfo" {
        /// In: the vCPU.
        vcpu: u32,
        /// Out: it is up.
        online: u8,
        /// Out: it has nothing to do.
        blocked: u8,
        /// Out: it runs now.
        running: u8,
        _pad0: u8,
        /// Out: nanoseconds that it ran.
        cpu_time: u64,
        /// Out: where it runs or ran last.
        cpu: u32,
        _pad1: [u8; 4],
    }

    /// On which CPUs a vCPU runs.
    struct VcpuAffinity = "struct xen_domctl_vcpuaffinity" {
        /// In: the vCPU.
        vcpu: u32,
        /// In: which maps.
        flags: AffinityFlags,
        /// In or out; out again: what came of it.
        cpumap_hard: CtlBitmap,
        /// In or out; out again: what came of it.
        cpumap_soft: CtlBitmap,
    }

    /// All of the domain's state as records (`hvm`'s save records).
    struct HvmContext = "struct xen_domctl_hvmcontext" {
        /// In: bytes of room; out: bytes filled, or needed if there is no buffer.
        size: u32,
        _pad: [u8; 4],
        buffer: Handle64,
    }

    /// One record of the domain's state.
    struct HvmContextPartial = "struct xen_domctl_hvmcontext_partial" {
        /// In: the record's type.
        kind: u32 = "type",
        /// In: the vCPU, or which device.
        instance: u32,
        /// In: bytes of room; out: bytes filled.
        bufsz: u64,
        buffer: Handle64,
    }

    /// Callbacks of PV guests, and machine check state.
    struct ExtVcpuContext = "struct xen_domctl_ext_vcpucontext" {
        /// In: the vCPU.
        vcpu: u32,
        /// In or out: bytes of this structure that are valid.
        size: u32,
        syscall32_callback_eip: u64,
        sysenter_callback_eip: u64,
        syscall32_callback_cs: u16,
        sysenter_callback_cs: u16,
        syscall32_disables_events: u8,
        sysenter_disables_events: u8,
        _pad: [u8; 2],
        vmce: VmceVcpu,
    }

    /// A vCPU's extended state, as XSAVE has it, after a head of masks.
    struct VcpuExtState = "struct xen_domctl_vcpuextstate" {
        /// In: the vCPU.
        vcpu: u32,
        _pad: [u8; 4],
        /// In or out: features of the state.
        xfeature_mask: u64,
        /// In or out: bytes.
        size: u64,
        buffer: Handle64,
    }

    /// An MSR.
    struct VcpuMsr = "struct xen_domctl_vcpu_msr" {
        index: u32,
        /// Zero.
        reserved: u32,
        value: u64,
    }

    /// MSRs of a vCPU that no record has.
    struct VcpuMsrs = "struct xen_domctl_vcpu_msrs" {
        /// In: the vCPU.
        vcpu: u32,
        /// In: room; out: MSRs filled, or needed if there is no buffer.
        msr_count: u32,
        /// Array of [`VcpuMsr`].
        msrs: Handle64,
    }

    /// What the domain's CPUs are.
    struct CpuPolicy = "struct xen_domctl_cpu_policy" {
        /// In: length of `leaves`; out: leaves filled.
        nr_leaves: u32,
        /// In: length of `msrs`; out: MSRs filled.
        nr_msrs: u32,
        /// Array of [`CpuidLeaf`](crate::arch::CpuidLeaf).
        leaves: Handle64,
        /// Array of [`MsrEntry`](crate::arch::MsrEntry).
        msrs: Handle64,
        /// Out: the leaf that was refused, or all ones.
        err_leaf: u32,
        /// Out: its sub-leaf.
        err_subleaf: u32,
        /// Out: the MSR that was refused, or all ones.
        err_msr: u32,
        _pad: [u8; 4],
    }

    /// Single steps of a vCPU.
    struct DebugOp = "struct xen_domctl_debug_op" {
        /// `DEBUG_OP_*`.
        op: u32,
        vcpu: u32,
    }
}
