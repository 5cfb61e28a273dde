//! x86: Xen's CPUID leaves and MSR, CPUID and MSR values as the tools pass them (`public/arch-x86/cpuid.h`,
//! `public/arch-x86/xen.h`).

use crate::layout::{constants, flags, structs};

constants! {
    /// The leaf with the signature and the highest leaf. If another interface sits here, Xen's leaves start at
    /// the next multiple of 0x100.
    CPUID_FIRST_LEAF: u32 = 0x4000_0000, "XEN_CPUID_FIRST_LEAF";
    /// EAX of this leaf: version, major in the high half.
    CPUID_LEAF_VERSION: u32 = 0x4000_0001, "XEN_CPUID_LEAF(1)";
    /// EAX: hypercall pages, EBX: the MSR that installs one, ECX: [`CpuidFeatures1`].
    CPUID_LEAF_HYPERCALL: u32 = 0x4000_0002, "XEN_CPUID_LEAF(2)";
    /// Time: sub-leaf 0 mode and frequency, 1 scale and offset, 2 the host's frequency in kHz.
    CPUID_LEAF_TIME: u32 = 0x4000_0003, "XEN_CPUID_LEAF(3)";
    /// EAX: [`CpuidHvmFeatures`], EBX: vCPU id, ECX: domain id.
    CPUID_LEAF_HVM: u32 = 0x4000_0004, "XEN_CPUID_LEAF(4)";
    /// Only for PV guests.
    CPUID_LEAF_PV: u32 = 0x4000_0005, "XEN_CPUID_LEAF(5)";
    /// "XenV".
    CPUID_SIGNATURE_EBX: u32 = 0x566e_6558, "XEN_CPUID_SIGNATURE_EBX";
    /// "MMXe".
    CPUID_SIGNATURE_ECX: u32 = 0x6558_4d4d, "XEN_CPUID_SIGNATURE_ECX";
    /// "nVMM".
    CPUID_SIGNATURE_EDX: u32 = 0x4d4d_566e, "XEN_CPUID_SIGNATURE_EDX";
    /// How many leaves there are beyond the first.
    CPUID_MAX_NUM_LEAVES: u32 = 5, "XEN_CPUID_MAX_NUM_LEAVES";
    /// [`CpuidLeaf::subleaf`] of a leaf that has no sub-leaves.
    CPUID_NO_SUBLEAF: u32 = 0xffff_ffff, "XEN_CPUID_NO_SUBLEAF";

    /// Word of a feature set: CPUID leaf 1 EDX.
    FEATURESET_1D: usize = 0, "XEN_X86_FEATURE_FPU / 32";
    /// Word of a feature set: CPUID leaf 1 ECX.
    FEATURESET_1C: usize = 1, "XEN_X86_FEATURE_SSE3 / 32";
    /// Word of a feature set: CPUID leaf 0x80000001 EDX.
    FEATURESET_E1D: usize = 2, "XEN_X86_FEATURE_SYSCALL / 32";
    /// Word of a feature set: CPUID leaf 0x80000001 ECX.
    FEATURESET_E1C: usize = 3, "XEN_X86_FEATURE_LAHF_LM / 32";
    /// Word of a feature set: CPUID leaf 0xd sub-leaf 1 EAX.
    FEATURESET_DA1: usize = 4, "XEN_X86_FEATURE_XSAVEOPT / 32";
    /// Word of a feature set: CPUID leaf 7 EBX.
    FEATURESET_7B0: usize = 5, "XEN_X86_FEATURE_FSGSBASE / 32";
    /// Word of a feature set: CPUID leaf 7 ECX.
    FEATURESET_7C0: usize = 6, "XEN_X86_FEATURE_PREFETCHWT1 / 32";
    /// Word of a feature set: CPUID leaf 0x80000007 EDX.
    FEATURESET_E7D: usize = 7, "XEN_X86_FEATURE_ITSC / 32";
    /// Word of a feature set: CPUID leaf 0x80000008 EBX.
    FEATURESET_E8B: usize = 8, "XEN_X86_FEATURE_CLZERO / 32";
    /// Word of a feature set: CPUID leaf 7 EDX.
    FEATURESET_7D0: usize = 9, "XEN_X86_FEATURE_AVX512_4VNNIW / 32";
    /// Word of a feature set: CPUID leaf 7 sub-leaf 1 EAX.
    FEATURESET_7A1: usize = 10, "XEN_X86_FEATURE_AVX_VNNI / 32";
    /// Word of a feature set: CPUID leaf 0x80000021 EAX.
    FEATURESET_E21A: usize = 11, "XEN_X86_FEATURE_LFENCE_DISPATCH / 32";
    /// Word of a feature set: CPUID leaf 7 sub-leaf 1 EBX.
    FEATURESET_7B1: usize = 12, "XEN_X86_FEATURE_INTEL_PPIN / 32";
    /// Word of a feature set: CPUID leaf 7 sub-leaf 2 EDX.
    FEATURESET_7D2: usize = 13, "XEN_X86_FEATURE_INTEL_PSFD / 32";
    /// Word of a feature set: CPUID leaf 7 sub-leaf 1 EDX.
    FEATURESET_7D1: usize = 15, "XEN_X86_FEATURE_CET_SSS / 32";
    /// Word of a feature set: MSR 0x10a, low half.
    FEATURESET_M10AL: usize = 16, "XEN_X86_FEATURE_RDCL_NO / 32";
    /// Word of a feature set: MSR 0x10a, high half.
    FEATURESET_M10AH: usize = 17, "XEN_X86_FEATURE_ITS_NO / 32";
    /// Word of a feature set: CPUID leaf 0x80000021 ECX.
    FEATURESET_E21C: usize = 18, "XEN_X86_FEATURE_TSA_SQ_NO / 32";
}

/// The MSR that installs a hypercall page, as EBX of [`CPUID_LEAF_HYPERCALL`] announces it. Writing a page's
/// guest-physical address, with the page's index in the low bits, fills that page.
pub const MSR_HYPERCALL: u32 = 0x4000_0000;

/// The same where the Viridian leaves come first.
pub const MSR_HYPERCALL_VIRIDIAN: u32 = 0x4000_0200;

flags! {
    /// ECX of [`CPUID_LEAF_HYPERCALL`].
    struct CpuidFeatures1: u32 {
        /// `MMU_PT_UPDATE_PRESERVE_AD` works.
        const MMU_PT_UPDATE_PRESERVE_AD = 1 << 0, "XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD";
    }

    /// EAX of [`CPUID_LEAF_HVM`].
    struct CpuidHvmFeatures: u32 {
        /// APIC register accesses cost little.
        const APIC_ACCESS_VIRT = 1 << 0, "XEN_HVM_CPUID_APIC_ACCESS_VIRT";
        /// x2APIC accesses cost little.
        const X2APIC_VIRT = 1 << 1, "XEN_HVM_CPUID_X2APIC_VIRT";
        /// Memory mapped from other domains can be reached by devices.
        const IOMMU_MAPPINGS = 1 << 2, "XEN_HVM_CPUID_IOMMU_MAPPINGS";
        /// EBX is the vCPU id.
        const VCPU_ID_PRESENT = 1 << 3, "XEN_HVM_CPUID_VCPU_ID_PRESENT";
        /// ECX is the domain id.
        const DOMID_PRESENT = 1 << 4, "XEN_HVM_CPUID_DOMID_PRESENT";
        /// MSI and I/O APIC destinations have 15 bits.
        const EXT_DEST_ID = 1 << 5, "XEN_HVM_CPUID_EXT_DEST_ID";
        /// Per-vCPU upcall vectors work with bound physical interrupts.
        const UPCALL_VECTOR = 1 << 6, "XEN_HVM_CPUID_UPCALL_VECTOR";
    }
}

structs! {
    /// One CPUID leaf of a policy.
    struct CpuidLeaf = "struct xen_cpuid_leaf" {
        /// EAX on input.
        leaf: u32,
        /// ECX on input, or [`CPUID_NO_SUBLEAF`].
        subleaf: u32,
        /// EAX on output.
        a: u32,
        /// EBX on output.
        b: u32,
        /// ECX on output.
        c: u32,
        /// EDX on output.
        d: u32,
    }

    /// One MSR of a policy.
    struct MsrEntry = "struct xen_msr_entry" {
        /// The MSR's number.
        idx: u32,
        /// Zero.
        flags: u32,
        /// Its value.
        val: u64,
    }
}
