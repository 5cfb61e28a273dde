//! The call itself, its commands, and the arguments that are about the whole machine.

use crate::layout::{constants, flags, structs};
use crate::plain::{Plain, Union};

constants! {
    /// [`PlatformOp::interface_version`].
    INTERFACE_VERSION: u32 = 0x0300_0001, "XENPF_INTERFACE_VERSION";

    /// [`Settime32`].
    SETTIME32: u32 = 17, "XENPF_settime32";
    /// [`AddMemtype`].
    ADD_MEMTYPE: u32 = 31, "XENPF_add_memtype";
    /// [`DelMemtype`].
    DEL_MEMTYPE: u32 = 32, "XENPF_del_memtype";
    /// [`ReadMemtype`].
    READ_MEMTYPE: u32 = 33, "XENPF_read_memtype";
    /// [`MicrocodeUpdate`].
    MICROCODE_UPDATE: u32 = 35, "XENPF_microcode_update";
    /// [`PlatformQuirk`].
    PLATFORM_QUIRK: u32 = 39, "XENPF_platform_quirk";
    /// [`PcpuVersion`](super::PcpuVersion).
    GET_CPU_VERSION: u32 = 48, "XENPF_get_cpu_version";
    /// [`EfiRuntimeCall`](super::EfiRuntimeCall).
    EFI_RUNTIME_CALL: u32 = 49, "XENPF_efi_runtime_call";
    /// [`FirmwareInfo`](super::FirmwareInfo).
    FIRMWARE_INFO: u32 = 50, "XENPF_firmware_info";
    /// [`EnterAcpiSleep`].
    ENTER_ACPI_SLEEP: u32 = 51, "XENPF_enter_acpi_sleep";
    /// [`ChangeFreq`](super::ChangeFreq).
    CHANGE_FREQ: u32 = 52, "XENPF_change_freq";
    /// [`Getidletime`](super::Getidletime).
    GETIDLETIME: u32 = 53, "XENPF_getidletime";
    /// [`SetProcessorPminfo`](super::SetProcessorPminfo).
    SET_PROCESSOR_PMINFO: u32 = 54, "XENPF_set_processor_pminfo";
    /// [`Pcpuinfo`](super::Pcpuinfo).
    GET_CPUINFO: u32 = 55, "XENPF_get_cpuinfo";
    /// [`CpuOl`](super::CpuOl).
    CPU_ONLINE: u32 = 56, "XENPF_cpu_online";
    /// [`CpuOl`](super::CpuOl).
    CPU_OFFLINE: u32 = 57, "XENPF_cpu_offline";
    /// [`CpuHotadd`](super::CpuHotadd).
    CPU_HOTADD: u32 = 58, "XENPF_cpu_hotadd";
    /// [`MemHotadd`].
    MEM_HOTADD: u32 = 59, "XENPF_mem_hotadd";
    /// [`CoreParking`](super::CoreParking).
    CORE_PARKING: u32 = 60, "XENPF_core_parking";
    /// [`ResourceOp`](super::ResourceOp).
    RESOURCE_OP: u32 = 61, "XENPF_resource_op";
    /// [`Settime64`].
    SETTIME64: u32 = 62, "XENPF_settime64";
    /// [`Symdata`].
    GET_SYMBOL: u32 = 63, "XENPF_get_symbol";

    /// Leave interrupts where they are.
    QUIRK_NOIRQBALANCING: u32 = 1, "QUIRK_NOIRQBALANCING";
    /// The I/O APIC forgets its register selection.
    QUIRK_IOAPIC_BAD_REGSEL: u32 = 2, "QUIRK_IOAPIC_BAD_REGSEL";
    /// The I/O APIC keeps its register selection.
    QUIRK_IOAPIC_GOOD_REGSEL: u32 = 3, "QUIRK_IOAPIC_GOOD_REGSEL";
}

flags! {
    /// [`EnterAcpiSleep::flags`].
    struct SleepFlags: u32 {
        /// Through the sleep control registers of reduced hardware.
        const EXTENDED = 1, "XENPF_ACPI_SLEEP_EXTENDED";
    }
}

structs! {
    /// A command and its argument.
    struct PlatformOp = "struct xen_platform_op" {
        /// One of the commands.
        cmd: u32,
        /// [`INTERFACE_VERSION`].
        interface_version: u32,
        /// The argument, in and out.
        u: Union<[u64; 16]>,
    }

    /// Sets the wall clock, seconds in 32 bits.
    struct Settime32 = "struct xenpf_settime32" {
        /// Seconds since 1970.
        secs: u32,
        /// Nanoseconds.
        nsecs: u32,
        /// The system time at which it was so, in ns.
        system_time: u64,
    }

    /// Sets the wall clock.
    struct Settime64 = "struct xenpf_settime64" {
        /// Seconds since 1970.
        secs: u64,
        /// Nanoseconds.
        nsecs: u32,
        /// Zero.
        mbz: u32,
        /// The system time at which it was so, in ns.
        system_time: u64,
    }

    /// Adds a memory type range.
    struct AddMemtype<A> = "struct xenpf_add_memtype" {
        /// In: the first frame.
        mfn: A::Ulong,
        /// In: how many.
        nr_mfns: A::U64,
        /// In: the type, as MTRRs have it.
        kind: u32 = "type",
        /// Out: what removing needs.
        handle: u32,
        /// Out: the register.
        reg: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// Removes a memory type range.
    struct DelMemtype = "struct xenpf_del_memtype" {
        handle: u32,
        reg: u32,
    }

    /// Reads a memory type range.
    struct ReadMemtype<A> = "struct xenpf_read_memtype" {
        /// In: the register.
        reg: u32,
        _pad0: A::Pick<[u8; 4], [u8; 0]>,
        /// Out: the first frame.
        mfn: A::Ulong,
        /// Out: how many.
        nr_mfns: A::U64,
        /// Out: the type.
        kind: u32 = "type",
        _pad1: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// Updates the CPUs' microcode.
    struct MicrocodeUpdate<A> = "struct xenpf_microcode_update" {
        data: A::Handle,
        /// Bytes.
        length: u32,
        _pad: A::Pick<[u8; 4], [u8; 0]>,
    }

    /// Names a flaw of the machine.
    struct PlatformQuirk = "struct xenpf_platform_quirk" {
        /// `QUIRK_*`.
        quirk_id: u32,
    }

    /// Puts the machine to sleep, or off.
    struct EnterAcpiSleep = "struct xenpf_enter_acpi_sleep" {
        /// The value for the PM1a control register, or the sleep control register.
        val_a: u16,
        /// The value for the PM1b control register, or the sleep type.
        val_b: u16,
        /// The state, 1 to 5.
        sleep_state: u32,
        flags: SleepFlags,
    }

    /// Adds memory to the machine.
    struct MemHotadd = "struct xenpf_mem_hotadd" {
        /// The first frame.
        spfn: u64,
        /// The frame after the last.
        epfn: u64,
        /// The proximity domain.
        pxm: u32,
        flags: u32,
    }

    /// A symbol of the hypervisor.
    struct Symdata<A> = "struct xenpf_symdata" {
        /// In: room for the name; out: its length.
        namelen: u32,
        /// In: which one; out: the next one.
        symnum: u32,
        /// Out: the name.
        name: A::Handle,
        /// Out: its address.
        address: A::U64,
        /// Out: its kind, a letter as `nm` has it.
        kind: u8 = "type",
        _pad: A::Pick<[u8; 7], [u8; 3]>,
    }
}

impl PlatformOp {
    /// A call of this command.
    #[must_use]
    pub fn new<T: Plain>(cmd: u32, argument: T) -> Self {
        Self { cmd, interface_version: INTERFACE_VERSION, u: Union::new(argument) }
    }

    /// The argument.
    #[must_use]
    pub fn payload<T: Plain>(&self) -> T {
        self.u.get()
    }

    /// Replaces the argument.
    pub fn set_payload<T: Plain>(&mut self, argument: T) {
        self.u.set(argument);
    }
}
