//! `physdev_op` (`public/physdev.h`): what the domain that owns the devices tells about them.
//!
//! It needs little of it: it programs its (virtual) I/O APICs and the devices' MSI registers itself, and what Tenon has to
//! know it learns from those. The calls by which paravirtualized kernels map interrupts to event channels do not exist
//! for it, nor for guests; as with Xen they are answered with ENOSYS.

use hypercall_abi::physdev as abi;

use super::{Call, Outcome, Result};
use crate::machine::Machine;
use crate::{hv_log, refuse};

/// The alignment of a segment's configuration space: a bus is 1 MiB.
const BUS_BYTES: u64 = 1 << 20;

pub(super) fn physdev_op<M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, arg, ..] = call.args;
    let op = op as u32;
    if let Some(what) = paravirtual(op) {
        refuse!(ENOSYS, "physdev_op {op}: {what}");
    }
    let domain = call.domain().clone();
    let Some(hardware) = &domain.hardware else {
        refuse!(ENOSYS, "physdev_op {op}: {} owns no devices", domain.id)
    };
    match op {
        abi::OP_SETUP_GSI => {
            let setup: abi::SetupGsi = call.read(arg)?;
            if !u32::try_from(setup.gsi).is_ok_and(|gsi| hardware.has_gsi(gsi)) {
                refuse!(EINVAL, "there is no interrupt {}", setup.gsi);
            }
            if setup.triggering > 1 || setup.polarity > 1 {
                refuse!(EINVAL, "trigger {}, polarity {}", setup.triggering, setup.polarity);
            }
            // The pin gets both from the redirection entry that the domain writes.
        }
        abi::OP_PCI_DEVICE_ADD => {
            let add: abi::PciDeviceAdd = call.read(arg)?;
            let known = abi::PciDeviceFlags::EXTFN | abi::PciDeviceFlags::VIRTFN | abi::PciDeviceFlags::PXM;
            if !known.contains(add.flags) {
                refuse!(EINVAL, "flags {:#x} of a PCI device", add.flags.bits());
            }
            let (slot, function) = (add.devfn >> 3, add.devfn & 7);
            hv_log!(call.hv, Debug, "PCI device {:04x}:{:02x}:{slot:02x}.{function}", add.seg, add.bus);
        }
        abi::OP_PCI_DEVICE_REMOVE => {
            let device: abi::PciDevice = call.read(arg)?;
            let (slot, function) = (device.devfn >> 3, device.devfn & 7);
            hv_log!(
                call.hv,
                Debug,
                "PCI device {:04x}:{:02x}:{slot:02x}.{function} is gone",
                device.seg,
                device.bus
            );
        }
        abi::OP_PCI_MMCFG_RESERVED => {
            let space: abi::PciMmcfgReserved = call.read(arg)?;
            if !space.address.is_multiple_of(BUS_BYTES) || space.start_bus > space.end_bus {
                refuse!(
                    EINVAL,
                    "configuration space at {:#x} for buses {:#x} to {:#x}",
                    space.address,
                    space.start_bus,
                    space.end_bus
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
        op => refuse!(ENOSYS, "physdev_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// What only paravirtualized kernels need, and why it is not there.
fn paravirtual(op: u32) -> Option<&'static str> {
    Some(match op {
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
        _ => return None,
    })
}
