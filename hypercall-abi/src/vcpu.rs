//! A domain's own vCPUs (`public/vcpu.h`): `vcpu_op(op, vcpu, argument)`.

use crate::layout::{constants, flags, structs};

constants! {
    /// Gives a vCPU its registers: a [`VcpuHvmContext`](crate::hvm::VcpuHvmContext) for PVH and HVM guests.
    OP_INITIALISE: u32 = 0, "VCPUOP_initialise";
    /// Lets a vCPU run; no argument.
    OP_UP: u32 = 1, "VCPUOP_up";
    /// Stops a vCPU; no argument.
    OP_DOWN: u32 = 2, "VCPUOP_down";
    /// Returns 1 if the vCPU is up; no argument.
    OP_IS_UP: u32 = 3, "VCPUOP_is_up";
    /// Fills a [`RunstateInfo`].
    OP_GET_RUNSTATE_INFO: u32 = 4, "VCPUOP_get_runstate_info";
    /// [`RegisterRunstateMemoryArea`].
    OP_REGISTER_RUNSTATE_MEMORY_AREA: u32 = 5, "VCPUOP_register_runstate_memory_area";
    /// [`SetPeriodicTimer`].
    OP_SET_PERIODIC_TIMER: u32 = 6, "VCPUOP_set_periodic_timer";
    /// No argument.
    OP_STOP_PERIODIC_TIMER: u32 = 7, "VCPUOP_stop_periodic_timer";
    /// [`SetSingleshotTimer`].
    OP_SET_SINGLESHOT_TIMER: u32 = 8, "VCPUOP_set_singleshot_timer";
    /// No argument.
    OP_STOP_SINGLESHOT_TIMER: u32 = 9, "VCPUOP_stop_singleshot_timer";
    /// [`RegisterVcpuInfo`].
    OP_REGISTER_VCPU_INFO: u32 = 10, "VCPUOP_register_vcpu_info";
    /// Sends an NMI; no argument.
    OP_SEND_NMI: u32 = 11, "VCPUOP_send_nmi";
    /// Fills a [`GetPhysid`].
    OP_GET_PHYSID: u32 = 12, "VCPUOP_get_physid";
    /// [`RegisterTimeMemoryArea`].
    OP_REGISTER_VCPU_TIME_MEMORY_AREA: u32 = 13, "VCPUOP_register_vcpu_time_memory_area";

    /// Running on a CPU.
    RUNSTATE_RUNNING: u32 = 0, "RUNSTATE_running";
    /// Waiting for a CPU.
    RUNSTATE_RUNNABLE: u32 = 1, "RUNSTATE_runnable";
    /// Waiting for an event.
    RUNSTATE_BLOCKED: u32 = 2, "RUNSTATE_blocked";
    /// Neither runnable nor blocked: down or paused.
    RUNSTATE_OFFLINE: u32 = 3, "RUNSTATE_offline";
    /// Set in `state_entry_time` while a registered area is updated, if the guest asked for it.
    RUNSTATE_UPDATE: u64 = 1 << 63, "XEN_RUNSTATE_UPDATE";
}

flags! {
    /// [`SetSingleshotTimer::flags`].
    struct SingleshotFlags: u32 {
        /// A time that has passed is refused with `ETIME`.
        const FUTURE = 1 << 0, "VCPU_SSHOTTMR_future";
    }
}

structs! {
    /// How a vCPU spent its time.
    struct RunstateInfo<A> = "struct vcpu_runstate_info" {
        /// `RUNSTATE_*` now.
        state: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
        /// Since when, system time in ns.
        state_entry_time: A::U64,
        /// Nanoseconds spent in each state.
        time: [A::U64; 4],
    }

    /// Names the memory that always shows a vCPU's [`RunstateInfo`].
    struct RegisterRunstateMemoryArea = "struct vcpu_register_runstate_memory_area" {
        /// Its linear address. A 32-bit caller's handle is the low half.
        addr: u64,
    }

    /// A timer that fires again and again.
    struct SetPeriodicTimer = "struct vcpu_set_periodic_timer" {
        /// Nanoseconds.
        period_ns: u64,
    }

    /// A timer that fires once.
    struct SetSingleshotTimer<A> = "struct vcpu_set_singleshot_timer" {
        /// Absolute system time in ns.
        timeout_abs_ns: A::U64,
        /// Options.
        flags: SingleshotFlags,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// Moves a vCPU's [`VcpuInfo`](crate::xen::VcpuInfo) out of the shared info page.
    struct RegisterVcpuInfo = "struct vcpu_register_vcpu_info" {
        /// The guest frame.
        mfn: u64,
        /// Offset in it, in bytes.
        offset: u32,
        /// Zero.
        rsvd: u32,
    }

    /// A vCPU's place in the machine.
    struct GetPhysid = "struct vcpu_get_physid" {
        /// APIC id in the low half, ACPI id in the high half.
        phys_id: u64,
    }

    /// Names the memory that always shows a vCPU's [`VcpuTimeInfo`](crate::xen::VcpuTimeInfo).
    struct RegisterTimeMemoryArea = "struct vcpu_register_time_memory_area" {
        /// Its linear address. A 32-bit caller's handle is the low half.
        addr: u64,
    }
}
