//! The hypervisor and the machine as a whole: console, memory, domains, features.

use crate::abi::Handle64;
use crate::layout::{constants, flags, structs};
use crate::plain::Union;
use crate::xen::CtlBitmap;

constants! {
    /// [`CpuFeatureset::index`]: what the CPUs have.
    CPU_FEATURESET_RAW: u32 = 0, "XEN_SYSCTL_cpu_featureset_raw";
    /// [`CpuFeatureset::index`]: what the hypervisor uses.
    CPU_FEATURESET_HOST: u32 = 1, "XEN_SYSCTL_cpu_featureset_host";
    /// [`CpuFeatureset::index`]: what PV guests get.
    CPU_FEATURESET_PV: u32 = 2, "XEN_SYSCTL_cpu_featureset_pv";
    /// [`CpuFeatureset::index`]: what HVM and PVH guests get.
    CPU_FEATURESET_HVM: u32 = 3, "XEN_SYSCTL_cpu_featureset_hvm";
    /// [`CpuFeatureset::index`]: what PV guests could get.
    CPU_FEATURESET_PV_MAX: u32 = 4, "XEN_SYSCTL_cpu_featureset_pv_max";
    /// [`CpuFeatureset::index`]: what HVM and PVH guests could get.
    CPU_FEATURESET_HVM_MAX: u32 = 5, "XEN_SYSCTL_cpu_featureset_hvm_max";

    /// [`CpuPolicy::index`]: what the CPUs have.
    CPU_POLICY_RAW: u32 = 0, "XEN_SYSCTL_cpu_policy_raw";
    /// [`CpuPolicy::index`]: what the hypervisor uses.
    CPU_POLICY_HOST: u32 = 1, "XEN_SYSCTL_cpu_policy_host";
    /// [`CpuPolicy::index`]: what PV guests could get.
    CPU_POLICY_PV_MAX: u32 = 2, "XEN_SYSCTL_cpu_policy_pv_max";
    /// [`CpuPolicy::index`]: what HVM and PVH guests could get.
    CPU_POLICY_HVM_MAX: u32 = 3, "XEN_SYSCTL_cpu_policy_hvm_max";
    /// [`CpuPolicy::index`]: what PV guests get.
    CPU_POLICY_PV_DEFAULT: u32 = 4, "XEN_SYSCTL_cpu_policy_pv_default";
    /// [`CpuPolicy::index`]: what HVM and PVH guests get.
    CPU_POLICY_HVM_DEFAULT: u32 = 5, "XEN_SYSCTL_cpu_policy_hvm_default";

    /// [`TbufOp::cmd`]: asks.
    TBUFOP_GET_INFO: u32 = 0, "XEN_SYSCTL_TBUFOP_get_info";
    /// [`TbufOp::cmd`]: chooses CPUs.
    TBUFOP_SET_CPU_MASK: u32 = 1, "XEN_SYSCTL_TBUFOP_set_cpu_mask";
    /// [`TbufOp::cmd`]: chooses events.
    TBUFOP_SET_EVT_MASK: u32 = 2, "XEN_SYSCTL_TBUFOP_set_evt_mask";
    /// [`TbufOp::cmd`]: sets the size.
    TBUFOP_SET_SIZE: u32 = 3, "XEN_SYSCTL_TBUFOP_set_size";
    /// [`TbufOp::cmd`]: begins.
    TBUFOP_ENABLE: u32 = 4, "XEN_SYSCTL_TBUFOP_enable";
    /// [`TbufOp::cmd`]: ends.
    TBUFOP_DISABLE: u32 = 5, "XEN_SYSCTL_TBUFOP_disable";

    /// [`PsrCmtOp::cmd`]: how many monitoring ids.
    PSR_CMT_GET_TOTAL_RMID: u32 = 0, "XEN_SYSCTL_PSR_CMT_get_total_rmid";
    /// [`PsrCmtOp::cmd`]: bytes per count.
    PSR_CMT_GET_L3_UPSCALING_FACTOR: u32 = 1, "XEN_SYSCTL_PSR_CMT_get_l3_upscaling_factor";
    /// [`PsrCmtOp::cmd`]: KiB of a CPU's cache.
    PSR_CMT_GET_L3_CACHE_SIZE: u32 = 2, "XEN_SYSCTL_PSR_CMT_get_l3_cache_size";
    /// [`PsrCmtOp::cmd`]: whether there is monitoring.
    PSR_CMT_ENABLED: u32 = 3, "XEN_SYSCTL_PSR_CMT_enabled";
    /// [`PsrCmtOp::cmd`]: which events.
    PSR_CMT_GET_L3_EVENT_MASK: u32 = 4, "XEN_SYSCTL_PSR_CMT_get_l3_event_mask";
}

flags! {
    /// [`PhysInfo::capabilities`].
    struct PhysCap: u32 {
        /// HVM and PVH guests.
        const HVM = 1 << 0, "XEN_SYSCTL_PHYSCAP_hvm";
        /// PV guests.
        const PV = 1 << 1, "XEN_SYSCTL_PHYSCAP_pv";
        /// Devices can be assigned.
        const DIRECTIO = 1 << 2, "XEN_SYSCTL_PHYSCAP_directio";
        /// Nested paging.
        const HAP = 1 << 3, "XEN_SYSCTL_PHYSCAP_hap";
        /// Shadow paging.
        const SHADOW = 1 << 4, "XEN_SYSCTL_PHYSCAP_shadow";
        /// CPU and IOMMU can share page tables.
        const IOMMU_HAP_PT_SHARE = 1 << 5, "XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share";
        /// Processor trace.
        const VMTRACE = 1 << 6, "XEN_SYSCTL_PHYSCAP_vmtrace";
        /// Performance counters.
        const VPMU = 1 << 7, "XEN_SYSCTL_PHYSCAP_vpmu";
        /// Grant table version 1.
        const GNTTAB_V1 = 1 << 8, "XEN_SYSCTL_PHYSCAP_gnttab_v1";
        /// Grant table version 2.
        const GNTTAB_V2 = 1 << 9, "XEN_SYSCTL_PHYSCAP_gnttab_v2";
    }

    /// [`CpuLevellingCaps::caps`].
    struct LevelCaps: u32 {
        /// CPUID can fault.
        const FAULTING = 1 << 0, "XEN_SYSCTL_CPU_LEVELCAP_faulting";
        /// Leaf 1 ECX can be masked.
        const ECX = 1 << 1, "XEN_SYSCTL_CPU_LEVELCAP_ecx";
        /// Leaf 1 EDX can be masked.
        const EDX = 1 << 2, "XEN_SYSCTL_CPU_LEVELCAP_edx";
        /// Leaf 0x80000001 ECX can be masked.
        const EXTD_ECX = 1 << 3, "XEN_SYSCTL_CPU_LEVELCAP_extd_ecx";
        /// Leaf 0x80000001 EDX can be masked.
        const EXTD_EDX = 1 << 4, "XEN_SYSCTL_CPU_LEVELCAP_extd_edx";
        /// Leaf 0xd sub-leaf 1 EAX can be masked.
        const XSAVE_EAX = 1 << 5, "XEN_SYSCTL_CPU_LEVELCAP_xsave_eax";
        /// Leaf 6 ECX can be masked.
        const THERMAL_ECX = 1 << 6, "XEN_SYSCTL_CPU_LEVELCAP_thermal_ecx";
        /// Leaf 7 EAX can be masked.
        const L7S0_EAX = 1 << 7, "XEN_SYSCTL_CPU_LEVELCAP_l7s0_eax";
        /// Leaf 7 EBX can be masked.
        const L7S0_EBX = 1 << 8, "XEN_SYSCTL_CPU_LEVELCAP_l7s0_ebx";
    }
}

structs! {
    /// Reads the console ring.
    struct ReadConsole = "struct xen_sysctl_readconsole" {
        /// In: not 0 empties the ring.
        clear: u8,
        /// In: not 0 starts at `index`.
        incremental: u8,
        /// Zero.
        pad0: u8,
        /// Zero.
        pad1: u8,
        /// In: where to start; out: where to start next time.
        index: u32,
        buffer: Handle64,
        /// In: bytes of room; out: bytes filled.
        count: u32,
        _pad: [u8; 4],
    }

    /// The machine.
    struct PhysInfo = "struct xen_sysctl_physinfo" {
        threads_per_core: u32,
        cores_per_socket: u32,
        /// CPUs online.
        nr_cpus: u32,
        max_cpu_id: u32,
        /// NUMA nodes online.
        nr_nodes: u32,
        max_node_id: u32,
        cpu_khz: u32,
        capabilities: PhysCap,
        arch_capabilities: u32,
        /// Zero.
        pad: u32,
        total_pages: u64,
        free_pages: u64,
        /// Free pages still to be cleared.
        scrub_pages: u64,
        /// Pages claimed for domains.
        outstanding_pages: u64,
        max_mfn: u64,
        /// CPUID's feature words: 1 EDX, 0x80000001 EDX, then as Linux once ordered them.
        hw_cap: [u32; 8],
    }

    /// Which scheduler (`domctl::SCHEDULER_*`).
    struct SchedId = "struct xen_sysctl_sched_id" {
        sched_id: u32,
    }

    /// Lists domains.
    struct GetDomainInfoList = "struct xen_sysctl_getdomaininfolist" {
        /// In: the first id.
        first_domain: u16,
        _pad0: [u8; 2],
        /// In: room.
        max_domains: u32,
        /// Out: array of [`GetDomainInfo`](crate::domctl::GetDomainInfo).
        buffer: Handle64,
        /// Out: domains filled.
        num_domains: u32,
        _pad1: [u8; 4],
    }

    /// Keys as if typed on the hypervisor's console.
    struct DebugKeys = "struct xen_sysctl_debug_keys" {
        keys: Handle64,
        nr_keys: u32,
        _pad: [u8; 4],
    }

    /// How much memory is free.
    struct AvailHeap = "struct xen_sysctl_availheap" {
        /// In: the narrowest address that counts, in bits; 0 for any.
        min_bitwidth: u32,
        /// In: the widest; 0 for any.
        max_bitwidth: u32,
        /// In: the node; -1 for all.
        node: i32,
        _pad: [u8; 4],
        /// Out.
        avail_bytes: u64,
    }

    /// The trace buffer.
    struct TbufOp = "struct xen_sysctl_tbuf_op" {
        /// In: `TBUFOP_*`.
        cmd: u32,
        _pad0: [u8; 4],
        cpu_mask: CtlBitmap,
        evt_mask: u32,
        _pad1: [u8; 4],
        /// Out: the frame of the information page, 0 without buffers.
        buffer_mfn: u64,
        /// In: pages of each CPU's buffer; out: bytes of information.
        size: u32,
        _pad2: [u8; 4],
    }

    /// Which CPUID words the hypervisor can hide from PV guests.
    struct CpuLevellingCaps = "struct xen_sysctl_cpu_levelling_caps" {
        caps: LevelCaps,
    }

    /// CPUID's feature words.
    struct CpuFeatureset = "struct xen_sysctl_cpu_featureset" {
        /// In: `CPU_FEATURESET_*`.
        index: u32,
        /// In: room; out: words filled, or needed if there is no buffer.
        nr_features: u32,
        /// Out: array of words (`u32`), as `arch::FEATURESET_*` orders them.
        features: Handle64,
    }

    /// Whole policies.
    struct CpuPolicy = "struct xen_sysctl_cpu_policy" {
        /// In: `CPU_POLICY_*`.
        index: u32,
        /// In: room; out: leaves filled, or needed if there is no buffer.
        nr_leaves: u32,
        /// In: room; out: MSRs filled, or needed if there is no buffer.
        nr_msrs: u32,
        /// Zero.
        reserved: u32 = "_rsvd",
        /// Array of [`CpuidLeaf`](crate::arch::CpuidLeaf).
        leaves: Handle64,
        /// Array of [`MsrEntry`](crate::arch::MsrEntry).
        msrs: Handle64,
    }

    /// Cache monitoring.
    struct PsrCmtOp = "struct xen_sysctl_psr_cmt_op" {
        /// In: `PSR_CMT_*`.
        cmd: u32,
        /// Zero.
        flags: u32,
        /// In: the CPU (low half); out: the answer.
        u: Union<[u64; 1]>,
    }

    /// Cache allocation.
    struct PsrAlloc = "struct xen_sysctl_psr_alloc" {
        /// In: 0 third-level cache, 1 second-level cache, 2 memory bandwidth.
        cmd: u32,
        /// In: the socket.
        target: u32,
        /// Out: mask length or highest throttle, highest class, flags.
        u: Union<[u32; 3]>,
    }
}
