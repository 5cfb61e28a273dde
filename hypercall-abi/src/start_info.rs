//! What a PVH kernel finds at the address in EBX when it starts (`public/arch-x86/hvm/start_info.h`).
//!
//! All addresses are guest-physical; 0 means that there is none.

use crate::layout::{constants, structs};
use crate::xen::StartFlags;

constants! {
    /// [`HvmStartInfo::magic`]: "xEn3" with bit 7 of the E set.
    MAGIC: u32 = 0x336e_c578, "XEN_HVM_START_MAGIC_VALUE";
    /// Usable memory.
    MEMMAP_TYPE_RAM: u32 = 1, "XEN_HVM_MEMMAP_TYPE_RAM";
    /// Not usable.
    MEMMAP_TYPE_RESERVED: u32 = 2, "XEN_HVM_MEMMAP_TYPE_RESERVED";
    /// ACPI tables, usable once read.
    MEMMAP_TYPE_ACPI: u32 = 3, "XEN_HVM_MEMMAP_TYPE_ACPI";
    /// ACPI non-volatile storage.
    MEMMAP_TYPE_NVS: u32 = 4, "XEN_HVM_MEMMAP_TYPE_NVS";
    /// Memory with errors.
    MEMMAP_TYPE_UNUSABLE: u32 = 5, "XEN_HVM_MEMMAP_TYPE_UNUSABLE";
    /// Memory that is not enabled.
    MEMMAP_TYPE_DISABLED: u32 = 6, "XEN_HVM_MEMMAP_TYPE_DISABLED";
    /// Persistent memory.
    MEMMAP_TYPE_PMEM: u32 = 7, "XEN_HVM_MEMMAP_TYPE_PMEM";
}

/// The current [`HvmStartInfo::version`]: the one with a memory map.
pub const VERSION: u32 = 1;

structs! {
    /// The start information.
    struct HvmStartInfo = "struct hvm_start_info" {
        /// [`MAGIC`].
        magic: u32,
        /// [`VERSION`].
        version: u32,
        /// Who the domain is.
        flags: StartFlags,
        /// Entries of the module list.
        nr_modules: u32,
        /// Array of [`HvmModlistEntry`]; the first one is the initrd.
        modlist_paddr: u64,
        /// The command line, zero-terminated.
        cmdline_paddr: u64,
        /// ACPI's root pointer.
        rsdp_paddr: u64,
        /// Array of [`HvmMemmapTableEntry`].
        memmap_paddr: u64,
        /// Entries of the memory map.
        memmap_entries: u32,
        /// Zero.
        reserved: u32,
    }

    /// A module.
    struct HvmModlistEntry = "struct hvm_modlist_entry" {
        /// Where it is.
        paddr: u64,
        /// Size in bytes.
        size: u64,
        /// Its command line, zero-terminated.
        cmdline_paddr: u64,
        /// Zero.
        reserved: u64,
    }

    /// A range of the memory map.
    struct HvmMemmapTableEntry = "struct hvm_memmap_table_entry" {
        /// Where it starts.
        addr: u64,
        /// Size in bytes.
        size: u64,
        /// `MEMMAP_TYPE_*`, as ACPI numbers them.
        kind: u32 = "type",
        /// Zero.
        reserved: u32,
    }
}

const _: () = assert!(size_of::<HvmStartInfo>() == 56);
