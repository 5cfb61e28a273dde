//! `physdev_op` (`public/physdev.h`): what the domain that owns the devices tells about them.
//!
//! It needs little of it: it programs its (virtual) I/O APICs and the devices' MSI registers itself, and what Tenon has to
//! know it learns from those. The calls by which paravirtualized kernels map interrupts to event channels do not exist
//! for it, nor for guests; as with Xen they are answered with ENOSYS.

use hypercall_abi::physdev as abi;

use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::hv_log;
use crate::vpci::Bdf;

/// The alignment of a segment's configuration space: a bus is 1 MiB.
const BUS_BYTES: u64 = 1 << 20;

pub(super) fn physdev_op<M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, arg, ..] = call.args;
    let domain = call.domain().clone();
    let Some(hardware) = &domain.hardware else {
        refuse!(ENOSYS, "physdev_op {op}: {} owns no devices", domain.id)
    };
    match op as u32 {
        abi::OP_SETUP_GSI => {
            let abi::SetupGsi { gsi, triggering, polarity, .. } = call.read(arg)?;
            let exists = u32::try_from(gsi).is_ok_and(|gsi| hardware.has_gsi(gsi));
            ensure!(exists, EINVAL, "there is no interrupt {gsi}");
            ensure!(triggering <= 1 && polarity <= 1, EINVAL, "trigger {triggering}, polarity {polarity}");
            // The pin gets both from the redirection entry that the domain writes.
        }
        abi::OP_PCI_DEVICE_ADD => {
            let add: abi::PciDeviceAdd = call.read(arg)?;
            let known = abi::PciDeviceFlags::EXTFN | abi::PciDeviceFlags::VIRTFN | abi::PciDeviceFlags::PXM;
            ensure!(known.contains(add.flags), EINVAL, "flags {:#x} of a PCI device", add.flags.bits());
            let bdf = Bdf { segment: add.seg, bus: add.bus, devfn: add.devfn };
            hv_log!(call.hv, Debug, "PCI device {bdf}");
        }
        abi::OP_PCI_DEVICE_REMOVE => {
            let abi::PciDevice { seg: segment, bus, devfn } = call.read(arg)?;
            hv_log!(call.hv, Debug, "PCI device {} is gone", Bdf { segment, bus, devfn });
        }
        abi::OP_PCI_MMCFG_RESERVED => {
            let abi::PciMmcfgReserved { address, start_bus, end_bus, .. } = call.read(arg)?;
            if !address.is_multiple_of(BUS_BYTES) || start_bus > end_bus {
                refuse!(
                    EINVAL,
                    "configuration space at {address:#x} for buses {start_bus:#x} to {end_bus:#x}"
                );
            }
            // Where it is comes from the MCFG table, which Tenon has read.
        }
        abi::OP_DBGP_OP => {
            let debug_port: abi::DbgpOp = call.read(arg)?;
            if !matches!(debug_port.op, abi::DBGP_RESET_PREPARE | abi::DBGP_RESET_DONE) {
                refuse!(EINVAL, "USB debug port operation {}", debug_port.op);
            }
            // No console of Tenon's is on a USB debug port.
        }
        op => return paravirtual(op),
    }
    Ok(Outcome::OK)
}

/// What only paravirtualized kernels need, and why it is not there.
fn paravirtual(op: u32) -> Result {
    let what = match op {
        abi::OP_MAP_PIRQ
        | abi::OP_UNMAP_PIRQ
        | abi::OP_EOI
        | abi::OP_IRQ_STATUS_QUERY
        | abi::OP_GET_FREE_PIRQ
        | abi::OP_PIRQ_EOI_GMFN_V1
        | abi::OP_PIRQ_EOI_GMFN_V2
        | abi::OP_ALLOC_IRQ_VECTOR
        | abi::OP_FREE_IRQ_VECTOR => "interrupts come through the local APIC, not through event channels",
        abi::OP_APIC_READ | abi::OP_APIC_WRITE => "the I/O APICs are reached by their registers",
        abi::OP_SET_IOPL | abi::OP_SET_IOBITMAP => "I/O privileges are the CPU's own",
        abi::OP_MANAGE_PCI_ADD | abi::OP_MANAGE_PCI_ADD_EXT | abi::OP_MANAGE_PCI_REMOVE => {
            "replaced by pci_device_add and pci_device_remove"
        }
        abi::OP_RESTORE_MSI | abi::OP_RESTORE_MSI_EXT | abi::OP_PREPARE_MSIX | abi::OP_RELEASE_MSIX => {
            "message-signalled interrupts are followed in configuration space"
        }
        _ => refuse!(ENOSYS, "physdev_op {op} is not known"),
    };
    refuse!(ENOSYS, "physdev_op {op}: {what}")
}
