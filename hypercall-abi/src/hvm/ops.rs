//! Operations (`public/hvm/hvm_op.h`).

use crate::layout::{constants, structs};

constants! {
    /// [`Param`].
    OP_SET_PARAM: u32 = 0, "HVMOP_set_param";
    /// [`Param`].
    OP_GET_PARAM: u32 = 1, "HVMOP_get_param";
    /// Flushes the TLBs of the caller's vCPUs; no argument.
    OP_FLUSH_TLBS: u32 = 5, "HVMOP_flush_tlbs";
    /// [`PagetableDying`].
    OP_PAGETABLE_DYING: u32 = 9, "HVMOP_pagetable_dying";
    /// [`GetTime`].
    OP_GET_TIME: u32 = 10, "HVMOP_get_time";
    /// Writes a trace record.
    OP_XENTRACE: u32 = 11, "HVMOP_xentrace";
    /// Obsolete.
    OP_SET_MEM_ACCESS: u32 = 12, "HVMOP_set_mem_access";
    /// Obsolete.
    OP_GET_MEM_ACCESS: u32 = 13, "HVMOP_get_mem_access";
    /// [`GetMemType`].
    OP_GET_MEM_TYPE: u32 = 15, "HVMOP_get_mem_type";
    /// [`EvtchnUpcallVector`].
    OP_SET_EVTCHN_UPCALL_VECTOR: u32 = 23, "HVMOP_set_evtchn_upcall_vector";
    /// Sends an event to a monitoring domain; no argument.
    OP_GUEST_REQUEST_VM_EVENT: u32 = 24, "HVMOP_guest_request_vm_event";
    /// Alternative guest-physical maps.
    OP_ALTP2M: u32 = 25, "HVMOP_altp2m";

    /// [`GetMemType::mem_type`]: RAM.
    MEM_RAM_RW: u16 = 0, "HVMMEM_ram_rw";
    /// Read-only RAM; writes vanish.
    MEM_RAM_RO: u16 = 1, "HVMMEM_ram_ro";
    /// Handled by a device model.
    MEM_MMIO_DM: u16 = 2, "HVMMEM_mmio_dm";
    /// RAM whose writes a device model handles.
    MEM_IOREQ_SERVER: u16 = 4, "HVMMEM_ioreq_server";
}

structs! {
    /// Reads or writes a parameter.
    struct Param = "struct xen_hvm_param" {
        /// In: the domain.
        domid: u16,
        /// Zero.
        pad: u16,
        /// In: `PARAM_*`.
        index: u32,
        /// In or out: the value.
        value: u64,
    }

    /// Tells that a page table is about to go away.
    struct PagetableDying = "struct xen_hvm_pagetable_dying" {
        /// The domain.
        domid: u16,
        /// Zero.
        pad: [u16; 3],
        /// The top level's guest-physical address.
        gpa: u64,
    }

    /// Asks for the system time.
    struct GetTime = "struct xen_hvm_get_time" {
        /// Out: nanoseconds since the hypervisor started.
        now: u64,
    }

    /// Asks what is at a guest frame.
    struct GetMemType = "struct xen_hvm_get_mem_type" {
        /// In: the domain.
        domid: u16,
        /// Out: `MEM_*`.
        mem_type: u16,
        /// Zero.
        pad: [u16; 2],
        /// In: the frame.
        pfn: u64,
    }

    /// Chooses the vector by which a vCPU gets its event upcalls, through its local APIC.
    struct EvtchnUpcallVector = "struct xen_hvm_evtchn_upcall_vector" {
        /// The vCPU.
        vcpu: u32,
        /// The vector, from 0x10; 0 goes back to the domain's callback.
        vector: u8,
        _pad: [u8; 3],
    }
}
