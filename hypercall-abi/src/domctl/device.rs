//! What hardware a domain may use.

use crate::abi::Handle64;
use crate::layout::{constants, flags, structs};
use crate::plain::Union;

constants! {
    /// [`AssignDevice::dev`]: a PCI device.
    DEV_PCI: u32 = 0, "XEN_DOMCTL_DEV_PCI";
    /// [`AssignDevice::dev`]: a device tree node.
    DEV_DT: u32 = 1, "XEN_DOMCTL_DEV_DT";
    /// Adds a mapping.
    ADD_MAPPING: u32 = 1, "DPCI_ADD_MAPPING";
    /// Removes a mapping.
    REMOVE_MAPPING: u32 = 0, "DPCI_REMOVE_MAPPING";
    /// [`BindPtIrq::irq_type`]: a PCI line.
    PT_IRQ_TYPE_PCI: u32 = 0, "PT_IRQ_TYPE_PCI";
    /// [`BindPtIrq::irq_type`]: an ISA line.
    PT_IRQ_TYPE_ISA: u32 = 1, "PT_IRQ_TYPE_ISA";
    /// [`BindPtIrq::irq_type`]: a message.
    PT_IRQ_TYPE_MSI: u32 = 2, "PT_IRQ_TYPE_MSI";
    /// [`BindPtIrq::irq_type`]: a message that the guest sees as a line.
    PT_IRQ_TYPE_MSI_TRANSLATE: u32 = 3, "PT_IRQ_TYPE_MSI_TRANSLATE";
    /// Uncached.
    MEM_CACHEATTR_UC: u32 = 0, "XEN_DOMCTL_MEM_CACHEATTR_UC";
    /// Write-combining.
    MEM_CACHEATTR_WC: u32 = 1, "XEN_DOMCTL_MEM_CACHEATTR_WC";
    /// Write-through.
    MEM_CACHEATTR_WT: u32 = 4, "XEN_DOMCTL_MEM_CACHEATTR_WT";
    /// Write-protected.
    MEM_CACHEATTR_WP: u32 = 5, "XEN_DOMCTL_MEM_CACHEATTR_WP";
    /// Write-back.
    MEM_CACHEATTR_WB: u32 = 6, "XEN_DOMCTL_MEM_CACHEATTR_WB";
    /// Uncached unless an MTRR says otherwise.
    MEM_CACHEATTR_UCM: u32 = 7, "XEN_DOMCTL_MEM_CACHEATTR_UCM";
}

flags! {
    /// [`AssignDevice::flags`].
    struct AssignFlags: u32 {
        /// Reserved memory that cannot be mapped is no error.
        const RDM_RELAXED = 1, "XEN_DOMCTL_DEV_RDM_RELAXED";
    }

    /// [`PtIrqMsi::gflags`]. The low byte is the destination.
    struct PtMsiFlags: u32 {
        /// The destination.
        const DEST_ID = 0xff, "XEN_DOMCTL_VMSI_X86_DEST_ID_MASK";
        /// Redirection hint.
        const RH = 0x100, "XEN_DOMCTL_VMSI_X86_RH_MASK";
        /// Logical destination.
        const DM = 0x200, "XEN_DOMCTL_VMSI_X86_DM_MASK";
        /// Delivery mode.
        const DELIV = 0x7000, "XEN_DOMCTL_VMSI_X86_DELIV_MASK";
        /// Level-triggered.
        const TRIG = 0x8000, "XEN_DOMCTL_VMSI_X86_TRIG_MASK";
        /// Not masked.
        const UNMASKED = 0x1_0000, "XEN_DOMCTL_VMSI_X86_UNMASKED";
    }
}

structs! {
    /// Whether the domain may use an interrupt.
    struct IrqPermission = "struct xen_domctl_irq_permission" {
        pirq: u32,
        allow_access: u8,
        /// Zero.
        pad: [u8; 3],
    }

    /// Whether the domain may map machine memory.
    struct IomemPermission = "struct xen_domctl_iomem_permission" {
        first_mfn: u64,
        nr_mfns: u64,
        allow_access: u8,
        _pad: [u8; 7],
    }

    /// Whether the domain may use ports.
    struct IoportPermission = "struct xen_domctl_ioport_permission" {
        first_port: u32,
        nr_ports: u32,
        allow_access: u8,
        _pad: [u8; 3],
    }

    /// Gives the domain a device, or asks whether it could have it.
    struct AssignDevice = "struct xen_domctl_assign_device" {
        /// `DEV_*`.
        dev: u32,
        flags: AssignFlags,
        /// A PCI device: segment, bus, device and function (`u32`).
        u: Union<[u64; 2]>,
    }

    /// Lists devices that can only be assigned together.
    struct GetDeviceGroup = "struct xen_domctl_get_device_group" {
        /// In: one of them.
        machine_sbdf: u32,
        /// In: room.
        max_sdevs: u32,
        /// Out: how many.
        num_sdevs: u32,
        _pad: [u8; 4],
        /// Out: array of devices (`u32`).
        sdev_array: Handle64,
    }

    /// Passes a physical interrupt to the domain.
    struct BindPtIrq = "struct xen_domctl_bind_pt_irq" {
        /// The domain's number for the physical interrupt.
        machine_irq: u32,
        /// `PT_IRQ_TYPE_*`.
        irq_type: u32,
        /// An ISA interrupt (`u8`), a [`PtIrqPci`] or a [`PtIrqMsi`].
        u: Union<[u64; 2]>,
    }

    /// A PCI line of the guest.
    struct PtIrqPci = "typeof(((struct xen_domctl_bind_pt_irq *)0)->u.pci)" {
        bus: u8,
        device: u8,
        intx: u8,
    }

    /// A message to the guest.
    struct PtIrqMsi = "typeof(((struct xen_domctl_bind_pt_irq *)0)->u.msi)" {
        /// The vector.
        gvec: u8,
        _pad: [u8; 3],
        gflags: PtMsiFlags,
        /// The MSI-X table's guest-physical address.
        gtable: u64,
    }

    /// Maps machine memory at guest frames.
    struct MemoryMapping = "struct xen_domctl_memory_mapping" {
        first_gfn: u64,
        first_mfn: u64,
        nr_mfns: u64,
        /// [`ADD_MAPPING`] or [`REMOVE_MAPPING`].
        add_mapping: u32,
        /// Zero.
        padding: u32,
    }

    /// Maps ports of the machine to ports of the guest.
    struct IoportMapping = "struct xen_domctl_ioport_mapping" {
        first_gport: u32,
        first_mport: u32,
        nr_ports: u32,
        /// [`ADD_MAPPING`] or [`REMOVE_MAPPING`].
        add_mapping: u32,
    }
}
