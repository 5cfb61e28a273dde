//! The operations and their arguments. Ports are the caller's unless said otherwise.

use crate::layout::{constants, flags, structs};
use crate::plain::Union;

constants! {
    /// [`BindInterdomain`].
    OP_BIND_INTERDOMAIN: u32 = 0, "EVTCHNOP_bind_interdomain";
    /// [`BindVirq`].
    OP_BIND_VIRQ: u32 = 1, "EVTCHNOP_bind_virq";
    /// [`BindPirq`].
    OP_BIND_PIRQ: u32 = 2, "EVTCHNOP_bind_pirq";
    /// [`Close`].
    OP_CLOSE: u32 = 3, "EVTCHNOP_close";
    /// [`Send`].
    OP_SEND: u32 = 4, "EVTCHNOP_send";
    /// [`Status`].
    OP_STATUS: u32 = 5, "EVTCHNOP_status";
    /// [`AllocUnbound`].
    OP_ALLOC_UNBOUND: u32 = 6, "EVTCHNOP_alloc_unbound";
    /// [`BindIpi`].
    OP_BIND_IPI: u32 = 7, "EVTCHNOP_bind_ipi";
    /// [`BindVcpu`].
    OP_BIND_VCPU: u32 = 8, "EVTCHNOP_bind_vcpu";
    /// [`Unmask`].
    OP_UNMASK: u32 = 9, "EVTCHNOP_unmask";
    /// [`Reset`].
    OP_RESET: u32 = 10, "EVTCHNOP_reset";
    /// [`InitControl`].
    OP_INIT_CONTROL: u32 = 11, "EVTCHNOP_init_control";
    /// [`ExpandArray`].
    OP_EXPAND_ARRAY: u32 = 12, "EVTCHNOP_expand_array";
    /// [`SetPriority`].
    OP_SET_PRIORITY: u32 = 13, "EVTCHNOP_set_priority";

    /// The port is free.
    STATUS_CLOSED: u32 = 0, "EVTCHNSTAT_closed";
    /// The port waits for a domain to connect.
    STATUS_UNBOUND: u32 = 1, "EVTCHNSTAT_unbound";
    /// The port is connected.
    STATUS_INTERDOMAIN: u32 = 2, "EVTCHNSTAT_interdomain";
    /// The port stands for a physical interrupt.
    STATUS_PIRQ: u32 = 3, "EVTCHNSTAT_pirq";
    /// The port stands for a virtual interrupt.
    STATUS_VIRQ: u32 = 4, "EVTCHNSTAT_virq";
    /// The port stands for an interrupt between vCPUs.
    STATUS_IPI: u32 = 5, "EVTCHNSTAT_ipi";
}

flags! {
    /// [`BindPirq::flags`].
    struct BindPirqFlags: u32 {
        /// Others may share the interrupt line.
        const WILL_SHARE = 1, "BIND_PIRQ__WILL_SHARE";
    }
}

structs! {
    /// Allocates a port in `dom` that `remote_dom` may connect to.
    struct AllocUnbound = "struct evtchn_alloc_unbound" {
        /// In: the domain that gets the port.
        dom: u16,
        /// In: the domain that may connect.
        remote_dom: u16,
        /// Out: the port.
        port: u32,
    }

    /// Connects a new port of the caller with another domain's unbound port.
    struct BindInterdomain = "struct evtchn_bind_interdomain" {
        /// In: the other domain.
        remote_dom: u16,
        _pad: [u8; 2],
        /// In: its port.
        remote_port: u32,
        /// Out: the caller's port.
        local_port: u32,
    }

    /// Binds a new port to a virtual interrupt.
    struct BindVirq = "struct evtchn_bind_virq" {
        /// In: `VIRQ_*`.
        virq: u32,
        /// In: the vCPU; 0 for global ones.
        vcpu: u32,
        /// Out: the port.
        port: u32,
    }

    /// Binds a new port to a physical interrupt.
    struct BindPirq = "struct evtchn_bind_pirq" {
        /// In: the interrupt.
        pirq: u32,
        /// In: options.
        flags: BindPirqFlags,
        /// Out: the port.
        port: u32,
    }

    /// Binds a new port to an interrupt between vCPUs of the caller.
    struct BindIpi = "struct evtchn_bind_ipi" {
        /// In: the vCPU that gets the events.
        vcpu: u32,
        /// Out: the port.
        port: u32,
    }

    /// Closes a port.
    struct Close = "struct evtchn_close" {
        /// In: the port.
        port: u32,
    }

    /// Sends an event to whoever is at a port's other end.
    struct Send = "struct evtchn_send" {
        /// In: the port.
        port: u32,
    }

    /// Asks what a port is.
    struct Status = "struct evtchn_status" {
        /// In: whose port.
        dom: u16,
        _pad: [u8; 2],
        /// In: the port.
        port: u32,
        /// Out: `STATUS_*`.
        status: u32,
        /// Out: the vCPU that gets its events.
        vcpu: u32,
        /// Out: as `status` says, a domain id (unbound), a [`StatusInterdomain`], or a number (physical and
        /// virtual interrupts).
        u: Union<[u32; 2]>,
    }

    /// The other end of a connected port.
    struct StatusInterdomain = "typeof(((struct evtchn_status *)0)->u.interdomain)" {
        /// The domain.
        dom: u16,
        _pad: [u8; 2],
        /// Its port.
        port: u32,
    }

    /// Moves a port's events to another vCPU.
    struct BindVcpu = "struct evtchn_bind_vcpu" {
        /// In: the port.
        port: u32,
        /// In: the vCPU.
        vcpu: u32,
    }

    /// Unmasks a port, and delivers what waited.
    struct Unmask = "struct evtchn_unmask" {
        /// In: the port.
        port: u32,
    }

    /// Closes all ports of a domain and goes back to 2-level event channels.
    struct Reset = "struct evtchn_reset" {
        /// In: the domain.
        dom: u16,
    }

    /// Gives a vCPU's control block and switches the domain to FIFO event channels.
    struct InitControl = "struct evtchn_init_control" {
        /// In: the guest frame with the [`FifoControlBlock`](super::FifoControlBlock).
        control_gfn: u64,
        /// In: its offset in that frame, in bytes.
        offset: u32,
        /// In: the vCPU.
        vcpu: u32,
        /// Out: how many bits of a link are used.
        link_bits: u8,
        /// Zero.
        pad: [u8; 7] = "_pad",
    }

    /// Adds a page of event words.
    struct ExpandArray = "struct evtchn_expand_array" {
        /// In: the guest frame.
        array_gfn: u64,
    }

    /// Chooses a port's queue.
    struct SetPriority = "struct evtchn_set_priority" {
        /// In: the port.
        port: u32,
        /// In: 0 (first) to 15 (last).
        priority: u32,
    }
}
