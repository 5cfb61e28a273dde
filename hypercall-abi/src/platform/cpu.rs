//! Physical CPUs. Their numbers are the hypervisor's.

use crate::layout::{constants, flags, structs};

constants! {
    /// Parks that many CPUs.
    CORE_PARKING_SET: u32 = 1, "XEN_CORE_PARKING_SET";
    /// Asks how many are parked.
    CORE_PARKING_GET: u32 = 2, "XEN_CORE_PARKING_GET";
    /// Reads an MSR.
    RESOURCE_OP_MSR_READ: u32 = 0, "XEN_RESOURCE_OP_MSR_READ";
    /// Writes an MSR.
    RESOURCE_OP_MSR_WRITE: u32 = 1, "XEN_RESOURCE_OP_MSR_WRITE";
}

flags! {
    /// [`Pcpuinfo::flags`].
    struct PcpuFlags: u32 {
        /// In use.
        const ONLINE = 1, "XEN_PCPU_FLAGS_ONLINE";
        /// Not there.
        const INVALID = 2, "XEN_PCPU_FLAGS_INVALID";
    }
}

structs! {
    /// Asks about a CPU.
    struct Pcpuinfo = "struct xenpf_pcpuinfo" {
        /// In: the CPU.
        xen_cpuid: u32,
        /// Out: the highest one present.
        max_present: u32,
        /// Out: its state.
        flags: PcpuFlags,
        /// Out: its APIC id.
        apic_id: u32,
        /// Out: its ACPI id.
        acpi_id: u32,
    }

    /// Asks for a CPU's model.
    struct PcpuVersion = "struct xenpf_pcpu_version" {
        /// In: the CPU.
        xen_cpuid: u32,
        /// Out: the highest one present.
        max_present: u32,
        /// Out: the vendor, as CPUID has it.
        vendor_id: [u8; 12],
        family: u32,
        model: u32,
        stepping: u32,
    }

    /// A CPU to be switched on or off.
    struct CpuOl = "struct xenpf_cpu_ol" {
        /// The CPU.
        cpuid: u32,
    }

    /// A CPU that was added to the machine.
    struct CpuHotadd = "struct xenpf_cpu_hotadd" {
        apic_id: u32,
        acpi_id: u32,
        /// The proximity domain.
        pxm: u32,
    }

    /// Sets a CPU's frequency.
    struct ChangeFreq = "struct xenpf_change_freq" {
        /// Zero.
        flags: u32,
        cpu: u32,
        /// Hertz.
        freq: u64,
    }

    /// Parks CPUs.
    struct CoreParking = "struct xenpf_core_parking" {
        /// `CORE_PARKING_*`.
        kind: u32 = "type",
        /// How many.
        idle_nums: u32,
    }

    /// How long CPUs were idle.
    struct Getidletime<A> = "struct xenpf_getidletime" {
        /// In: which CPUs; out: which of them are online.
        cpumap_bitmap: A::Handle,
        /// In: bits of the map.
        cpumap_nr_cpus: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        /// Out: array of nanoseconds (`u64`), an element for each CPU.
        idletime: A::Handle,
        /// Out: the system time, in ns.
        now: A::U64,
    }

    /// A step of a [`ResourceOp`].
    struct ResourceEntry = "struct xenpf_resource_entry" {
        /// In: `RESOURCE_OP_*`; out: 0 or a negative error.
        u: u32,
        /// Zero.
        rsvd: u32,
        /// The MSR.
        idx: u64,
        /// Its value.
        val: u64,
    }

    /// Reads and writes MSRs of a CPU.
    struct ResourceOp<A> = "struct xenpf_resource_op" {
        nr_entries: u32,
        /// The CPU.
        cpu: u32,
        /// Array of [`ResourceEntry`].
        entries: A::Handle,
    }
}
