//! A domain's memory.

use crate::abi::Handle64;
use crate::layout::{constants, flags, structs};

constants! {
    /// Page types of [`GetPageFrameInfo3`]: an ordinary page.
    PFINFO_NOTAB: u32 = 0, "XEN_DOMCTL_PFINFO_NOTAB";
    /// A page that cannot be used.
    PFINFO_BROKEN: u32 = 0xd << 28, "XEN_DOMCTL_PFINFO_BROKEN";
    /// Nothing yet.
    PFINFO_XALLOC: u32 = 0xe << 28, "XEN_DOMCTL_PFINFO_XALLOC";
    /// Nothing.
    PFINFO_XTAB: u32 = 0xf << 28, "XEN_DOMCTL_PFINFO_XTAB";
    /// The bits of the type.
    PFINFO_LTAB_MASK: u32 = 0xf << 28, "XEN_DOMCTL_PFINFO_LTAB_MASK";

    /// [`ShadowOp::op`]: ends a mode.
    SHADOW_OP_OFF: u32 = 0, "XEN_DOMCTL_SHADOW_OP_OFF";
    /// [`ShadowOp::op`]: shadow paging, for tests.
    SHADOW_OP_ENABLE_TEST: u32 = 1, "XEN_DOMCTL_SHADOW_OP_ENABLE_TEST";
    /// [`ShadowOp::op`]: writes are recorded from now on.
    SHADOW_OP_ENABLE_LOGDIRTY: u32 = 2, "XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY";
    /// [`ShadowOp::op`]: reads the record and clears it.
    SHADOW_OP_CLEAN: u32 = 11, "XEN_DOMCTL_SHADOW_OP_CLEAN";
    /// [`ShadowOp::op`]: reads the record.
    SHADOW_OP_PEEK: u32 = 12, "XEN_DOMCTL_SHADOW_OP_PEEK";
    /// [`ShadowOp::op`]: asks for the size of the page table pool, in MiB.
    SHADOW_OP_GET_ALLOCATION: u32 = 30, "XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION";
    /// [`ShadowOp::op`]: sets it.
    SHADOW_OP_SET_ALLOCATION: u32 = 31, "XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION";
    /// [`ShadowOp::op`]: begins a mode.
    SHADOW_OP_ENABLE: u32 = 32, "XEN_DOMCTL_SHADOW_OP_ENABLE";
}

flags! {
    /// [`ShadowOp::mode`].
    struct ShadowMode: u32 {
        /// When a record is read: this is the last time.
        const LOGDIRTY_FINAL = 1 << 0, "XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL";
        /// Counts references.
        const REFCOUNT = 1 << 1, "XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT";
        /// Records writes.
        const LOG_DIRTY = 1 << 2, "XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY";
        /// Translates frame numbers.
        const TRANSLATE = 1 << 3, "XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE";
        /// Keeps the hypervisor out of the guest's address space.
        const EXTERNAL = 1 << 4, "XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL";
    }
}

structs! {
    /// How much memory the domain may have.
    struct MaxMem = "struct xen_domctl_max_mem" {
        /// KiB.
        max_memkb: u64,
    }

    /// Asks for the types of pages.
    struct GetPageFrameInfo3 = "struct xen_domctl_getpageframeinfo3" {
        /// Length of the array.
        num: u64,
        /// In: array of frames; out: their types (`PFINFO_*`).
        array: Handle64,
    }

    /// Counters of a [`ShadowOp`].
    struct ShadowOpStats = "struct xen_domctl_shadow_op_stats" {
        fault_count: u32,
        dirty_count: u32,
    }

    /// Page table pool and records of writes.
    struct ShadowOp = "struct xen_domctl_shadow_op" {
        /// In: `SHADOW_OP_*`.
        op: u32,
        /// In: options.
        mode: ShadowMode,
        /// In or out: MiB of the pool.
        mb: u32,
        _pad: [u8; 4],
        /// Out: a bit for each page that was written.
        dirty_bitmap: Handle64,
        /// In: room in bits; out: bits filled.
        pages: u64,
        stats: ShadowOpStats,
    }

    /// Size of the page table pool.
    struct PagingMempool = "struct xen_domctl_paging_mempool" {
        /// Bytes, a multiple of the page size.
        size: u64,
    }

    /// Fills the domain's hypercall page.
    struct HypercallInit = "struct xen_domctl_hypercall_init" {
        /// Its guest frame.
        gmfn: u64,
    }

    /// Writes back caches for a range.
    struct CacheFlush<A> = "struct xen_domctl_cacheflush" {
        start_pfn: A::Ulong,
        nr_pfns: A::Ulong,
    }

    /// Checks the map of guest frames.
    struct AuditP2m = "struct xen_domctl_audit_p2m" {
        orphans: u64,
        m2p_bad: u64,
        p2m_bad: u64,
    }

    /// Memory sharing.
    struct MemSharingOp = "struct xen_domctl_mem_sharing_op" {
        op: u8,
        enable: u8 = "u.enable",
    }

    /// The domain's virtual NUMA topology; arrays as in the guest's
    /// [`VnumaTopologyInfo`](crate::memory::VnumaTopologyInfo).
    struct Vnuma = "struct xen_domctl_vnuma" {
        nr_vnodes: u32,
        nr_vmemranges: u32,
        nr_vcpus: u32,
        /// Zero.
        pad: u32,
        vdistance: Handle64,
        vcpu_to_vnode: Handle64,
        vnode_to_pnode: Handle64,
        vmemrange: Handle64,
    }
}
