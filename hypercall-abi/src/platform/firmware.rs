//! What the firmware told the hypervisor when the machine started.

use crate::layout::{constants, structs};
use crate::plain::Union;

constants! {
    /// [`FwDiskInfo`]; the index counts disks.
    FW_DISK_INFO: u32 = 1, "XEN_FW_DISK_INFO";
    /// [`FwDiskMbrSignature`]; the index counts disks.
    FW_DISK_MBR_SIGNATURE: u32 = 2, "XEN_FW_DISK_MBR_SIGNATURE";
    /// [`FwVbeddcInfo`].
    FW_VBEDDC_INFO: u32 = 3, "XEN_FW_VBEDDC_INFO";
    /// Something of EFI; the index is `FW_EFI_*`.
    FW_EFI_INFO: u32 = 4, "XEN_FW_EFI_INFO";
    /// A byte of keyboard shift flags.
    FW_KBD_SHIFT_FLAGS: u32 = 5, "XEN_FW_KBD_SHIFT_FLAGS";
    /// A version (`u32`).
    FW_EFI_VERSION: u32 = 0, "XEN_FW_EFI_VERSION";
    /// [`FwEfiConfigTable`].
    FW_EFI_CONFIG_TABLE: u32 = 1, "XEN_FW_EFI_CONFIG_TABLE";
    /// [`FwEfiVendor`].
    FW_EFI_VENDOR: u32 = 2, "XEN_FW_EFI_VENDOR";
    /// [`FwEfiMemInfo`].
    FW_EFI_MEM_INFO: u32 = 3, "XEN_FW_EFI_MEM_INFO";
    /// A version (`u32`).
    FW_EFI_RT_VERSION: u32 = 4, "XEN_FW_EFI_RT_VERSION";
    /// [`FwEfiPciRom`].
    FW_EFI_PCI_ROM: u32 = 5, "XEN_FW_EFI_PCI_ROM";
    /// [`FwEfiAppleProperties`].
    FW_EFI_APPLE_PROPERTIES: u32 = 6, "XEN_FW_EFI_APPLE_PROPERTIES";
}

structs! {
    /// Asks for something.
    struct FirmwareInfo<A> = "struct xenpf_firmware_info" {
        /// In: `FW_*`.
        kind: u32 = "type",
        /// In: which one.
        index: u32,
        /// Out: as `kind` says.
        u: Union<A::Pick<[u64; 4], [u32; 7]>>,
    }

    /// A disk of the BIOS.
    struct FwDiskInfo<A> = "typeof(((struct xenpf_firmware_info *)0)->u.disk_info)" {
        device: u8,
        version: u8,
        interface_support: u16,
        legacy_max_cylinder: u16,
        legacy_max_head: u8,
        legacy_sectors_per_track: u8,
        /// Its enhanced parameters; the first word is the buffer's size.
        edd_params: A::Handle,
    }

    /// A disk's signature.
    struct FwDiskMbrSignature = "typeof(((struct xenpf_firmware_info *)0)->u.disk_mbr_signature)" {
        device: u8,
        _pad: [u8; 3],
        mbr_signature: u32,
    }

    /// The display.
    struct FwVbeddcInfo<A> = "typeof(((struct xenpf_firmware_info *)0)->u.vbeddc_info)" {
        capabilities: u8,
        /// Seconds.
        edid_transfer_time: u8,
        _pad: A::Pick<[u8; 6], [u8; 2]>,
        /// 128 bytes of EDID.
        edid: A::Handle,
    }

    /// EFI's configuration table.
    struct FwEfiConfigTable<A> = "typeof(((struct xenpf_firmware_info *)0)->u.efi_info.cfg)" {
        /// Its physical address.
        addr: A::U64,
        /// Entries.
        nent: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// EFI's vendor.
    struct FwEfiVendor<A> = "typeof(((struct xenpf_firmware_info *)0)->u.efi_info.vendor)" {
        revision: u32,
        /// In: bytes of room for the name.
        bufsz: u32,
        /// The name, in 16-bit characters.
        name: A::Handle,
    }

    /// The memory descriptor that holds an address.
    struct FwEfiMemInfo<A> = "typeof(((struct xenpf_firmware_info *)0)->u.efi_info.mem)" {
        /// In: the address; out: where the range starts.
        addr: A::U64,
        /// Bytes.
        size: A::U64,
        attr: A::U64,
        kind: u32 = "type",
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// A device's ROM.
    struct FwEfiPciRom<A> = "typeof(((struct xenpf_firmware_info *)0)->u.efi_info.pci_rom)" {
        segment: u16,
        bus: u8,
        devfn: u8,
        vendor: u16,
        devid: u16,
        /// Its physical address.
        address: A::U64,
        /// Bytes.
        size: A::Ulong,
    }

    /// Properties of Apple's.
    struct FwEfiAppleProperties<A> = "typeof(((struct xenpf_firmware_info *)0)->u.efi_info.apple_properties)" {
        /// Their physical address.
        address: A::U64,
        /// Bytes.
        size: A::Ulong,
    }
}
