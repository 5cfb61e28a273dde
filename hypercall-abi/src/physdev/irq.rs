//! Interrupts and ports.

use crate::layout::{constants, flags, structs};

constants! {
    /// [`IrqStatusQuery`].
    OP_IRQ_STATUS_QUERY: u32 = 5, "PHYSDEVOP_irq_status_query";
    /// [`SetIopl`].
    OP_SET_IOPL: u32 = 6, "PHYSDEVOP_set_iopl";
    /// [`SetIobitmap`].
    OP_SET_IOBITMAP: u32 = 7, "PHYSDEVOP_set_iobitmap";
    /// [`Apic`].
    OP_APIC_READ: u32 = 8, "PHYSDEVOP_apic_read";
    /// [`Apic`].
    OP_APIC_WRITE: u32 = 9, "PHYSDEVOP_apic_write";
    /// [`Irq`].
    OP_ALLOC_IRQ_VECTOR: u32 = 10, "PHYSDEVOP_alloc_irq_vector";
    /// [`Irq`].
    OP_FREE_IRQ_VECTOR: u32 = 11, "PHYSDEVOP_free_irq_vector";
    /// [`Eoi`].
    OP_EOI: u32 = 12, "PHYSDEVOP_eoi";
    /// [`MapPirq`].
    OP_MAP_PIRQ: u32 = 13, "PHYSDEVOP_map_pirq";
    /// [`UnmapPirq`].
    OP_UNMAP_PIRQ: u32 = 14, "PHYSDEVOP_unmap_pirq";
    /// [`PirqEoiGmfn`]; unmasks event channels as well.
    OP_PIRQ_EOI_GMFN_V1: u32 = 17, "PHYSDEVOP_pirq_eoi_gmfn_v1";
    /// [`SetupGsi`].
    OP_SETUP_GSI: u32 = 21, "PHYSDEVOP_setup_gsi";
    /// [`GetFreePirq`].
    OP_GET_FREE_PIRQ: u32 = 23, "PHYSDEVOP_get_free_pirq";
    /// [`PirqEoiGmfn`].
    OP_PIRQ_EOI_GMFN_V2: u32 = 28, "PHYSDEVOP_pirq_eoi_gmfn_v2";

    /// Message-signalled, on segment 0.
    MAP_PIRQ_TYPE_MSI: i32 = 0, "MAP_PIRQ_TYPE_MSI";
    /// A global system interrupt.
    MAP_PIRQ_TYPE_GSI: i32 = 1, "MAP_PIRQ_TYPE_GSI";
    /// Unknown.
    MAP_PIRQ_TYPE_UNKNOWN: i32 = 2, "MAP_PIRQ_TYPE_UNKNOWN";
    /// Message-signalled, the segment in the high half of `bus`.
    MAP_PIRQ_TYPE_MSI_SEG: i32 = 3, "MAP_PIRQ_TYPE_MSI_SEG";
    /// Several messages; `entry_nr` says how many.
    MAP_PIRQ_TYPE_MULTI_MSI: i32 = 4, "MAP_PIRQ_TYPE_MULTI_MSI";
}

flags! {
    /// [`IrqStatusQuery::flags`].
    struct IrqStatus: u32 {
        /// The caller has to say when it is done.
        const NEEDS_EOI = 1 << 0, "XENIRQSTAT_needs_eoi";
        /// Other domains share the line.
        const SHARED = 1 << 1, "XENIRQSTAT_shared";
    }
}

structs! {
    /// Says that an interrupt was handled.
    struct Eoi = "struct physdev_eoi" {
        /// In: the interrupt.
        irq: u32,
    }

    /// Names a page with a bit for each interrupt that needs an [`Eoi`].
    struct PirqEoiGmfn<A> = "struct physdev_pirq_eoi_gmfn" {
        /// In: the guest frame.
        gmfn: A::Ulong,
    }

    /// Asks about an interrupt.
    struct IrqStatusQuery = "struct physdev_irq_status_query" {
        /// In: the interrupt.
        irq: u32,
        /// Out: its properties.
        flags: IrqStatus,
    }

    /// PV: the I/O privilege level.
    struct SetIopl = "struct physdev_set_iopl" {
        /// In: the level.
        iopl: u32,
    }

    /// PV: ports that user mode may use.
    struct SetIobitmap<A> = "struct physdev_set_iobitmap" {
        /// In: a bit for each port, set for forbidden ones.
        bitmap: A::Handle,
        /// In: how many.
        nr_ports: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// PV: a register of an I/O APIC.
    struct Apic<A> = "struct physdev_apic" {
        /// In: the APIC's address.
        apic_physbase: A::Ulong,
        /// In: the register.
        reg: u32,
        /// In or out: its value.
        value: u32,
    }

    /// PV: an interrupt's vector.
    struct Irq = "struct physdev_irq" {
        /// In: the interrupt.
        irq: u32,
        /// In or out: its vector.
        vector: u32,
    }

    /// Gives a domain a number for a physical interrupt.
    struct MapPirq<A> = "struct physdev_map_pirq" {
        /// In: the domain.
        domid: u16,
        _pad0: [u8; 2],
        /// In: `MAP_PIRQ_TYPE_*`.
        kind: i32 = "type",
        /// In: the global system interrupt.
        index: i32,
        /// In: the wanted number, negative for any; out: the number.
        pirq: i32,
        /// In: the device's bus.
        bus: i32,
        /// In: the device's function.
        devfn: i32,
        /// In: the entry of an MSI-X table, or how many messages.
        entry_nr: i32,
        _pad1: A::Pick<[u8; 4], [u8; 0]>,
        /// In: the MSI-X table's address; 0 for MSI.
        table_base: A::U64,
    }

    /// Takes it away.
    struct UnmapPirq = "struct physdev_unmap_pirq" {
        /// In: the domain.
        domid: u16,
        _pad: [u8; 2],
        /// In: the number.
        pirq: i32,
    }

    /// Sets how a global system interrupt signals.
    struct SetupGsi = "struct physdev_setup_gsi" {
        /// In: the interrupt.
        gsi: i32,
        /// In: 0 edge, 1 level.
        triggering: u8,
        /// In: 0 active high, 1 active low.
        polarity: u8,
        _pad: [u8; 2],
    }

    /// Asks for a free number.
    struct GetFreePirq = "struct physdev_get_free_pirq" {
        /// In: `MAP_PIRQ_TYPE_*`.
        kind: i32 = "type",
        /// Out: the number.
        pirq: u32,
    }
}
