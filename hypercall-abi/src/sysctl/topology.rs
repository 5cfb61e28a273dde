//! CPUs, nodes, devices, and how CPUs are grouped.

use crate::abi::Handle64;
use crate::layout::{constants, structs};
use crate::plain::Union;
use crate::xen::CtlBitmap;

constants! {
    /// [`CpuTopo::core`] of a CPU that is not there.
    INVALID_CORE_ID: u32 = !0, "XEN_INVALID_CORE_ID";
    /// [`CpuTopo::socket`] of a CPU that is not there.
    INVALID_SOCKET_ID: u32 = !0, "XEN_INVALID_SOCKET_ID";
    /// The node of what has none.
    INVALID_NODE_ID: u32 = !0, "XEN_INVALID_NODE_ID";
    /// The size of a node that is not there.
    INVALID_MEM_SZ: u32 = !0, "XEN_INVALID_MEM_SZ";
    /// The distance to a node that is not there.
    INVALID_NODE_DIST: u32 = !0, "XEN_INVALID_NODE_DIST";
    /// The node of a device that is not there.
    INVALID_DEV: u32 = !1, "XEN_INVALID_DEV";

    /// [`CpupoolOp::op`]: a new pool.
    CPUPOOL_OP_CREATE: u32 = 1, "XEN_SYSCTL_CPUPOOL_OP_CREATE";
    /// [`CpupoolOp::op`]: removes a pool.
    CPUPOOL_OP_DESTROY: u32 = 2, "XEN_SYSCTL_CPUPOOL_OP_DESTROY";
    /// [`CpupoolOp::op`]: asks about the first pool with this id or a higher one.
    CPUPOOL_OP_INFO: u32 = 3, "XEN_SYSCTL_CPUPOOL_OP_INFO";
    /// [`CpupoolOp::op`]: adds a CPU.
    CPUPOOL_OP_ADDCPU: u32 = 4, "XEN_SYSCTL_CPUPOOL_OP_ADDCPU";
    /// [`CpupoolOp::op`]: removes a CPU.
    CPUPOOL_OP_RMCPU: u32 = 5, "XEN_SYSCTL_CPUPOOL_OP_RMCPU";
    /// [`CpupoolOp::op`]: moves a domain into the pool.
    CPUPOOL_OP_MOVEDOMAIN: u32 = 6, "XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN";
    /// [`CpupoolOp::op`]: asks which CPUs are in no pool.
    CPUPOOL_OP_FREEINFO: u32 = 7, "XEN_SYSCTL_CPUPOOL_OP_FREEINFO";
    /// Any pool, any CPU.
    CPUPOOL_PAR_ANY: u32 = !0, "XEN_SYSCTL_CPUPOOL_PAR_ANY";

    /// [`SchedulerOp::cmd`]: sets parameters.
    SCHEDOP_PUTINFO: u32 = 0, "XEN_SYSCTL_SCHEDOP_putinfo";
    /// [`SchedulerOp::cmd`]: reads parameters.
    SCHEDOP_GETINFO: u32 = 1, "XEN_SYSCTL_SCHEDOP_getinfo";

    /// [`CpuHotplug::op`]: switches a CPU on.
    CPU_HOTPLUG_ONLINE: u32 = 0, "XEN_SYSCTL_CPU_HOTPLUG_ONLINE";
    /// [`CpuHotplug::op`]: switches a CPU off.
    CPU_HOTPLUG_OFFLINE: u32 = 1, "XEN_SYSCTL_CPU_HOTPLUG_OFFLINE";
    /// [`CpuHotplug::op`]: switches second threads on.
    CPU_HOTPLUG_SMT_ENABLE: u32 = 2, "XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE";
    /// [`CpuHotplug::op`]: switches second threads off.
    CPU_HOTPLUG_SMT_DISABLE: u32 = 3, "XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE";
}

structs! {
    /// Where a CPU sits.
    struct CpuTopo = "struct xen_sysctl_cputopo" {
        core: u32,
        socket: u32,
        node: u32,
    }

    /// Where all CPUs sit.
    struct CpuTopoInfo = "struct xen_sysctl_cputopoinfo" {
        /// In: room; out: CPUs, also if there is no buffer.
        num_cpus: u32,
        _pad: [u8; 4],
        /// Out: array of [`CpuTopo`].
        cputopo: Handle64,
    }

    /// A node's memory.
    struct MemInfo = "struct xen_sysctl_meminfo" {
        /// Bytes.
        memsize: u64,
        /// Bytes.
        memfree: u64,
    }

    /// All nodes.
    struct NumaInfo = "struct xen_sysctl_numainfo" {
        /// In: room; out: nodes, also if there are no buffers.
        num_nodes: u32,
        _pad: [u8; 4],
        /// Out: array of [`MemInfo`].
        meminfo: Handle64,
        /// Out: array of distances (`u32`), nodes × nodes; 10 is near.
        distance: Handle64,
    }

    /// The nodes of devices.
    struct PciTopoInfo = "struct xen_sysctl_pcitopoinfo" {
        /// In: how many; out: how many were done.
        num_devs: u32,
        _pad: [u8; 4],
        /// In: array of [`PciDevice`](crate::physdev::PciDevice).
        devs: Handle64,
        /// Out: array of nodes (`u32`).
        nodes: Handle64,
    }

    /// How long a CPU was idle.
    struct CpuInfo = "struct xen_sysctl_cpuinfo" {
        /// Nanoseconds.
        idletime: u64,
    }

    /// How long all CPUs were idle.
    struct GetCpuInfo = "struct xen_sysctl_getcpuinfo" {
        /// In: room.
        max_cpus: u32,
        _pad0: [u8; 4],
        /// Out: array of [`CpuInfo`].
        info: Handle64,
        /// Out: CPUs filled.
        nr_cpus: u32,
        _pad1: [u8; 4],
    }

    /// Switches CPUs on and off.
    struct CpuHotplug = "struct xen_sysctl_cpu_hotplug" {
        /// The CPU.
        cpu: u32,
        /// `CPU_HOTPLUG_*`.
        op: u32,
    }

    /// Groups of CPUs with a scheduler each.
    struct CpupoolOp = "struct xen_sysctl_cpupool_op" {
        /// In: `CPUPOOL_OP_*`.
        op: u32,
        /// In and out.
        cpupool_id: u32,
        /// In or out.
        sched_id: u32,
        /// In: the domain to move.
        domid: u32,
        /// In: the CPU to add or remove.
        cpu: u32,
        /// Out: how many domains.
        n_dom: u32,
        /// Out: which CPUs.
        cpumap: CtlBitmap,
    }

    /// Parameters of the credit scheduler.
    struct CreditSchedule = "struct xen_sysctl_credit_schedule" {
        /// Time slice in ms.
        tslice_ms: u32,
        /// Shortest run in µs.
        ratelimit_us: u32,
        /// Microseconds before a vCPU moves.
        vcpu_migr_delay_us: u32,
    }

    /// Parameters of the credit2 scheduler.
    struct Credit2Schedule = "struct xen_sysctl_credit2_schedule" {
        /// Shortest run in µs.
        ratelimit_us: u32,
    }

    /// Reads or sets a scheduler's parameters.
    struct SchedulerOp = "struct xen_sysctl_scheduler_op" {
        /// In: the pool.
        cpupool_id: u32,
        /// In: `domctl::SCHEDULER_*`.
        sched_id: u32,
        /// In: `SCHEDOP_*`.
        cmd: u32,
        _pad: [u8; 4],
        /// A [`CreditSchedule`] or [`Credit2Schedule`].
        u: Union<[u64; 2]>,
    }
}
