//! Feature bits by number (`public/features.h`), as `OP_GET_FEATURES` and kernels' ELF notes use them.

use crate::layout::constants;

constants! {
    /// PV: page tables may be written directly.
    WRITABLE_PAGE_TABLES: u32 = 0, "XENFEAT_writable_page_tables";
    /// PV: descriptor tables may be written directly.
    WRITABLE_DESCRIPTOR_TABLES: u32 = 1, "XENFEAT_writable_descriptor_tables";
    /// The hypervisor translates guest frames to machine frames.
    AUTO_TRANSLATED_PHYSMAP: u32 = 2, "XENFEAT_auto_translated_physmap";
    /// The guest's kernel runs in ring 0.
    SUPERVISOR_MODE_KERNEL: u32 = 3, "XENFEAT_supervisor_mode_kernel";
    /// PAE page directories may lie above 4 GiB.
    PAE_PGDIR_ABOVE_4GB: u32 = 4, "XENFEAT_pae_pgdir_above_4gb";
    /// `MMU_PT_UPDATE_PRESERVE_AD` works.
    MMU_PT_UPDATE_PRESERVE_AD: u32 = 5, "XENFEAT_mmu_pt_update_preserve_ad";
    /// PV: clear and copy page calls work.
    HIGHMEM_ASSIST: u32 = 6, "XENFEAT_highmem_assist";
    /// Grant mappings take available page table bits.
    GNTTAB_MAP_AVAIL_BITS: u32 = 7, "XENFEAT_gnttab_map_avail_bits";
    /// Event upcalls by vector work.
    HVM_CALLBACK_VECTOR: u32 = 8, "XENFEAT_hvm_callback_vector";
    /// HVM guests may use the PV clock.
    HVM_SAFE_PVCLOCK: u32 = 9, "XENFEAT_hvm_safe_pvclock";
    /// HVM guests may bind physical interrupts to event channels.
    HVM_PIRQS: u32 = 10, "XENFEAT_hvm_pirqs";
    /// The caller is the control domain.
    DOM0: u32 = 11, "XENFEAT_dom0";
    /// Memory calls take virtual NUMA nodes.
    MEMORY_OP_VNODE_SUPPORTED: u32 = 13, "XENFEAT_memory_op_vnode_supported";
    /// ARM only.
    ARM_SMCCC_SUPPORTED: u32 = 14, "XENFEAT_ARM_SMCCC_supported";
    /// In a kernel's notes: the RSDP may be anywhere.
    LINUX_RSDP_UNRESTRICTED: u32 = 15, "XENFEAT_linux_rsdp_unrestricted";
    /// Guest frame numbers are not machine frame numbers.
    NOT_DIRECT_MAPPED: u32 = 16, "XENFEAT_not_direct_mapped";
    /// Guest frame numbers are machine frame numbers.
    DIRECT_MAPPED: u32 = 17, "XENFEAT_direct_mapped";
    /// Words of 32 bits.
    NR_SUBMAPS: u32 = 1, "XENFEAT_NR_SUBMAPS";
}
