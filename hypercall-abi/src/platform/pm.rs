//! What ACPI says about the CPUs' power states, which domain 0 passes on.

use crate::layout::{constants, flags, structs};
use crate::plain::Union;

constants! {
    /// [`SetProcessorPminfo::kind`]: a [`ProcessorPower`].
    PM_CX: u32 = 0, "XEN_PM_CX";
    /// [`SetProcessorPminfo::kind`]: a [`ProcessorPerformance`].
    PM_PX: u32 = 1, "XEN_PM_PX";
    /// [`SetProcessorPminfo::kind`]: throttling.
    PM_TX: u32 = 2, "XEN_PM_TX";
    /// [`SetProcessorPminfo::kind`]: a handle to capability words.
    PM_PDC: u32 = 3, "XEN_PM_PDC";
    /// Coordination in hardware.
    CPUPERF_SHARED_TYPE_HW: u32 = 1, "XEN_CPUPERF_SHARED_TYPE_HW";
    /// All CPUs have to be set.
    CPUPERF_SHARED_TYPE_ALL: u32 = 2, "XEN_CPUPERF_SHARED_TYPE_ALL";
    /// Any CPU may be set.
    CPUPERF_SHARED_TYPE_ANY: u32 = 3, "XEN_CPUPERF_SHARED_TYPE_ANY";
}

flags! {
    /// [`ProcessorPerformance::flags`]: which of it is valid.
    struct PxFlags: u32 {
        /// The registers.
        const PCT = 1, "XEN_PX_PCT";
        /// The states.
        const PSS = 2, "XEN_PX_PSS";
        /// The limit.
        const PPC = 4, "XEN_PX_PPC";
        /// The dependencies.
        const PSD = 8, "XEN_PX_PSD";
    }

    /// Which power management the start flags leave to domain 0.
    struct ProcessorPm: u32 {
        /// Sleep states.
        const CX = 1, "XEN_PROCESSOR_PM_CX";
        /// Performance states.
        const PX = 2, "XEN_PROCESSOR_PM_PX";
        /// Throttling.
        const TX = 4, "XEN_PROCESSOR_PM_TX";
    }
}

structs! {
    /// A register as ACPI describes it.
    struct PowerRegister<A> = "struct xen_power_register" {
        space_id: u32,
        bit_width: u32,
        bit_offset: u32,
        access_size: u32,
        address: A::U64,
    }

    /// A dependency between sleep states.
    struct ProcessorCsd = "struct xen_processor_csd" {
        domain: u32,
        coord_type: u32,
        num: u32,
    }

    /// A sleep state.
    struct ProcessorCx<A> = "struct xen_processor_cx" {
        /// How to enter it.
        reg: PowerRegister<A>,
        /// C1, C2 or C3.
        kind: u8 = "type",
        _pad: [u8; 3],
        /// Microseconds to leave it.
        latency: u32,
        /// Milliwatts.
        power: u32,
        /// Dependencies.
        dpcnt: u32,
        /// Array of [`ProcessorCsd`].
        dp: A::Handle,
    }

    /// The sleep states of a CPU.
    struct ProcessorPower<A> = "struct xen_processor_power" {
        /// How many.
        count: u32,
        /// Bits: bus master control, bus master check, `_CST` found, set-up done, bus master reload set.
        flags: u32,
        /// Array of [`ProcessorCx`].
        states: A::Handle,
    }

    /// A control or status register of performance states.
    struct PctRegister<A> = "struct xen_pct_register" {
        descriptor: u8,
        _pad: u8,
        length: u16,
        space_id: u8,
        bit_width: u8,
        bit_offset: u8,
        reserved: u8,
        address: A::U64,
    }

    /// A performance state.
    struct ProcessorPx = "struct xen_processor_px" {
        /// Megahertz.
        core_frequency: u64,
        /// Milliwatts.
        power: u64,
        /// Microseconds.
        transition_latency: u64,
        /// Microseconds.
        bus_master_latency: u64,
        /// What to write to choose it.
        control: u64,
        /// What can be read once it is reached.
        status: u64,
    }

    /// A dependency between performance states.
    struct PsdPackage<A> = "struct xen_psd_package" {
        num_entries: A::U64,
        revision: A::U64,
        domain: A::U64,
        coord_type: A::U64,
        num_processors: A::U64,
    }

    /// The performance states of a CPU.
    struct ProcessorPerformance<A> = "struct xen_processor_performance" {
        /// What is valid.
        flags: PxFlags,
        /// The best state allowed now.
        platform_limit: u32,
        control_register: PctRegister<A>,
        status_register: PctRegister<A>,
        /// How many states.
        state_count: u32,
        _pad0: A::Pick<[u8; 4], [u8; 0]>,
        /// Array of [`ProcessorPx`].
        states: A::Handle,
        domain_info: PsdPackage<A>,
        /// `CPUPERF_SHARED_TYPE_*`.
        shared_type: u32,
        _pad1: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// Power states of a CPU.
    struct SetProcessorPminfo<A> = "struct xenpf_set_processor_pminfo" {
        /// The CPU's ACPI id.
        id: u32,
        /// `PM_*`.
        kind: u32 = "type",
        /// As `kind` says.
        u: Union<A::Pick<[u64; 13], [u32; 23]>>,
    }
}
