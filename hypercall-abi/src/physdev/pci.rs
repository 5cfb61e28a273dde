//! PCI devices that domain 0 found, and the debug port.

use crate::layout::{constants, flags, structs};
use crate::plain::Union;

constants! {
    /// [`ManagePci`].
    OP_MANAGE_PCI_ADD: u32 = 15, "PHYSDEVOP_manage_pci_add";
    /// [`ManagePci`].
    OP_MANAGE_PCI_REMOVE: u32 = 16, "PHYSDEVOP_manage_pci_remove";
    /// [`ManagePci`].
    OP_RESTORE_MSI: u32 = 19, "PHYSDEVOP_restore_msi";
    /// [`ManagePciExt`].
    OP_MANAGE_PCI_ADD_EXT: u32 = 20, "PHYSDEVOP_manage_pci_add_ext";
    /// [`PciMmcfgReserved`].
    OP_PCI_MMCFG_RESERVED: u32 = 24, "PHYSDEVOP_pci_mmcfg_reserved";
    /// [`PciDeviceAdd`].
    OP_PCI_DEVICE_ADD: u32 = 25, "PHYSDEVOP_pci_device_add";
    /// [`PciDevice`].
    OP_PCI_DEVICE_REMOVE: u32 = 26, "PHYSDEVOP_pci_device_remove";
    /// [`PciDevice`].
    OP_RESTORE_MSI_EXT: u32 = 27, "PHYSDEVOP_restore_msi_ext";
    /// [`DbgpOp`].
    OP_DBGP_OP: u32 = 29, "PHYSDEVOP_dbgp_op";
    /// [`PciDevice`].
    OP_PREPARE_MSIX: u32 = 30, "PHYSDEVOP_prepare_msix";
    /// [`PciDevice`].
    OP_RELEASE_MSIX: u32 = 31, "PHYSDEVOP_release_msix";

    /// The USB debug port's controller is about to be reset.
    DBGP_RESET_PREPARE: u8 = 1, "PHYSDEVOP_DBGP_RESET_PREPARE";
    /// It was reset.
    DBGP_RESET_DONE: u8 = 2, "PHYSDEVOP_DBGP_RESET_DONE";
    /// The controller's bus is not known.
    DBGP_BUS_UNKNOWN: u8 = 0, "PHYSDEVOP_DBGP_BUS_UNKNOWN";
    /// The controller is a PCI device.
    DBGP_BUS_PCI: u8 = 1, "PHYSDEVOP_DBGP_BUS_PCI";
}

flags! {
    /// [`PciMmcfgReserved::flags`].
    struct MmcfgFlags: u32 {
        /// The range is reserved in the machine's memory map.
        const RESERVED = 1, "XEN_PCI_MMCFG_RESERVED";
    }

    /// [`PciDeviceAdd::flags`].
    struct PciDeviceFlags: u32 {
        /// An extended function.
        const EXTFN = 1, "XEN_PCI_DEV_EXTFN";
        /// A virtual function.
        const VIRTFN = 2, "XEN_PCI_DEV_VIRTFN";
        /// A word with the device's proximity domain follows.
        const PXM = 4, "XEN_PCI_DEV_PXM";
    }
}

structs! {
    /// A device on segment 0.
    struct ManagePci = "struct physdev_manage_pci" {
        bus: u8,
        /// Device in bits 7:3, function in bits 2:0.
        devfn: u8,
    }

    /// A device on segment 0, with its kind.
    struct ManagePciExt = "struct physdev_manage_pci_ext" {
        bus: u8,
        devfn: u8,
        _pad0: [u8; 2],
        /// Not 0: an extended function.
        is_extfn: u32,
        /// Not 0: a virtual function.
        is_virtfn: u32,
        /// A virtual function's physical one.
        physfn: ManagePci,
        _pad1: [u8; 2],
    }

    /// Says where a segment's configuration space is.
    struct PciMmcfgReserved = "struct physdev_pci_mmcfg_reserved" {
        /// The physical address of bus 0.
        address: u64,
        segment: u16,
        /// The first bus.
        start_bus: u8,
        /// The last bus.
        end_bus: u8,
        /// Whether the memory map has it.
        flags: MmcfgFlags,
    }

    /// Announces a device. If `flags` says so, more words follow.
    struct PciDeviceAdd = "struct physdev_pci_device_add" {
        /// The segment.
        seg: u16,
        bus: u8,
        devfn: u8,
        /// What it is.
        flags: PciDeviceFlags,
        /// A virtual function's physical one.
        physfn: ManagePci,
        _pad: [u8; 2],
    }

    /// A device.
    struct PciDevice = "struct physdev_pci_device" {
        /// The segment.
        seg: u16,
        bus: u8,
        /// Device in bits 7:3, function in bits 2:0.
        devfn: u8,
    }

    /// Says what happens to the USB debug port.
    struct DbgpOp = "struct physdev_dbgp_op" {
        /// `DBGP_RESET_*`.
        op: u8,
        /// `DBGP_BUS_*`.
        bus: u8,
        /// A [`PciDevice`].
        u: Union<[u16; 2]>,
    }
}
