//! Notes by which a kernel image says how it wants to be started (`public/elfnote.h`).
//!
//! They are ELF notes with the name "Xen"; numbers have 4 or 8 bytes, as the note's size says.

use crate::layout::constants;

/// The notes' owner name, with its terminating zero.
pub const NAME: &[u8; 4] = b"Xen\0";

constants! {
    /// Any `NAME=VALUE` text.
    INFO: u32 = 0, "XEN_ELFNOTE_INFO";
    /// The PV entry's virtual address.
    ENTRY: u32 = 1, "XEN_ELFNOTE_ENTRY";
    /// The hypercall page's virtual address.
    HYPERCALL_PAGE: u32 = 2, "XEN_ELFNOTE_HYPERCALL_PAGE";
    /// The virtual address at which the image wants to be.
    VIRT_BASE: u32 = 3, "XEN_ELFNOTE_VIRT_BASE";
    /// What the ELF physical addresses exceed the real ones by.
    PADDR_OFFSET: u32 = 4, "XEN_ELFNOTE_PADDR_OFFSET";
    /// The Xen version the kernel is for, text.
    XEN_VERSION: u32 = 5, "XEN_ELFNOTE_XEN_VERSION";
    /// The operating system's name, text.
    GUEST_OS: u32 = 6, "XEN_ELFNOTE_GUEST_OS";
    /// The operating system's version, text.
    GUEST_VERSION: u32 = 7, "XEN_ELFNOTE_GUEST_VERSION";
    /// The loader, text.
    LOADER: u32 = 8, "XEN_ELFNOTE_LOADER";
    /// "yes", "no" or "bimodal".
    PAE_MODE: u32 = 9, "XEN_ELFNOTE_PAE_MODE";
    /// Names of features, separated by `|`, `!` before required ones.
    FEATURES: u32 = 10, "XEN_ELFNOTE_FEATURES";
    /// "yes" if the symbol table is to be loaded.
    BSD_SYMTAB: u32 = 11, "XEN_ELFNOTE_BSD_SYMTAB";
    /// The lowest address of the hypervisor's hole.
    HV_START_LOW: u32 = 12, "XEN_ELFNOTE_HV_START_LOW";
    /// How to recognize invalid page table entries.
    L1_MFN_VALID: u32 = 13, "XEN_ELFNOTE_L1_MFN_VALID";
    /// Not 0 if a suspend may be cancelled.
    SUSPEND_CANCEL: u32 = 14, "XEN_ELFNOTE_SUSPEND_CANCEL";
    /// Where the first p2m list goes.
    INIT_P2M: u32 = 15, "XEN_ELFNOTE_INIT_P2M";
    /// The initrd may be given by frame number.
    MOD_START_PFN: u32 = 16, "XEN_ELFNOTE_MOD_START_PFN";
    /// Feature bits (`features`).
    SUPPORTED_FEATURES: u32 = 17, "XEN_ELFNOTE_SUPPORTED_FEATURES";
    /// The PVH entry: guest-physical, 32-bit protected mode, paging off.
    PHYS32_ENTRY: u32 = 18, "XEN_ELFNOTE_PHYS32_ENTRY";
    /// The highest of these numbers.
    MAX: u32 = 18, "XEN_ELFNOTE_MAX";
}
