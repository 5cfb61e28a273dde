//! `platform_op` and `physdev_op`.

use hypercall_abi::abi::X64;
use hypercall_abi::errno::Errno;
use hypercall_abi::physdev as dev;
use hypercall_abi::platform::*;
use hypercall_abi::xen as nr;

use super::rig::*;
use crate::machine::{Machine, MachineEnd};

#[test]
fn the_platform_is_the_control_domains() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let mut op = PlatformOp::new(GET_CPUINFO, Pcpuinfo::default());
    assert_eq!(rig.call(&guest, nr::HYPERCALL_PLATFORM_OP, &[guest.put(&op)]), no(Errno::EPERM));
    op.interface_version += 1;
    let at = rig.control.put(&op);
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_PLATFORM_OP, &[at]), no(Errno::EACCES));
    for (cmd, errno) in [
        (EFI_RUNTIME_CALL, Errno::EOPNOTSUPP),
        (SET_PROCESSOR_PMINFO, Errno::ENOSYS),
        (CPU_OFFLINE, Errno::EOPNOTSUPP),
        (MEM_HOTADD, Errno::EOPNOTSUPP),
        (RESOURCE_OP, Errno::EOPNOTSUPP),
        (MICROCODE_UPDATE, Errno::ENOSYS),
        (4242, Errno::ENOSYS),
    ] {
        assert_eq!(rig.platform(cmd, [0u64; 0]), Err(no(errno)), "{cmd}");
    }
}

#[test]
fn the_clock_is_set() {
    let rig = Rig::new();
    let set = |secs, nsecs, mbz, system_time| {
        rig.platform(SETTIME64, Settime64 { secs, nsecs, mbz, system_time }).map(drop)
    };
    assert_eq!(set(1_800_000_000, 5, 0, 5), Ok(()));
    assert_eq!(rig.machine.wall_clock_base(), 1_800_000_000_000_000_000);
    for bad in [(1, 1_000_000_000, 0, 0), (1, 0, 1, 0), (u64::MAX, 0, 0, 0), (1, 0, 0, 2_000_000_000)] {
        assert_eq!(set(bad.0, bad.1, bad.2, bad.3), Err(no(Errno::EINVAL)), "{bad:?}");
    }
    rig.platform(SETTIME32, Settime32 { secs: 5, nsecs: 0, system_time: 0 }).unwrap();
    assert_eq!(rig.machine.wall_clock_base(), 5_000_000_000);
}

#[test]
fn cpus_are_described() {
    let rig = Rig::new();
    let info = rig.platform(GET_CPUINFO, Pcpuinfo { xen_cpuid: 2, ..Pcpuinfo::default() }).unwrap();
    assert_eq!((info.max_present, info.apic_id, info.acpi_id, info.flags), (3, 2, 3, PcpuFlags::ONLINE));
    let info = rig.platform(GET_CPUINFO, Pcpuinfo { xen_cpuid: 4, ..Pcpuinfo::default() }).unwrap();
    assert_eq!(info.flags, PcpuFlags::INVALID);
    let version = rig.platform(GET_CPU_VERSION, PcpuVersion::default()).unwrap();
    assert_eq!(&version.vendor_id, b"AuthenticAMD");
    assert_eq!((version.family, version.model, version.stepping), (0x17, 1, 2));
    let nobody =
        rig.platform(GET_CPU_VERSION, PcpuVersion { xen_cpuid: 9, ..PcpuVersion::default() }).unwrap();
    assert_eq!(nobody.vendor_id, [0; 12]);
    let firmware = |kind| {
        rig.platform(FIRMWARE_INFO, FirmwareInfo::<X64> { kind, ..FirmwareInfo::default() }).unwrap_err()
    };
    assert_eq!([firmware(FW_DISK_INFO), firmware(77)], [no(Errno::ESRCH), no(Errno::EINVAL)]);
}

#[test]
fn the_machine_is_switched_off_and_never_sleeps() {
    let rig = Rig::new();
    let sleep = |sleep_state| {
        let at = rig
            .control
            .put(&PlatformOp::new(ENTER_ACPI_SLEEP, EnterAcpiSleep { sleep_state, ..Default::default() }));
        rig.try_call(&rig.control, nr::HYPERCALL_PLATFORM_OP, &[at])
    };
    assert_eq!(sleep(3), Ok(no(Errno::EOPNOTSUPP)));
    assert_eq!(sleep(5), Err(MachineEnd::PowerOff));
}

#[test]
fn devices() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let gsi = |gsi, triggering, polarity| {
        let mut setup = dev::SetupGsi { gsi, triggering, polarity, ..dev::SetupGsi::default() };
        rig.op(&rig.control, nr::HYPERCALL_PHYSDEV_OP, dev::OP_SETUP_GSI, &mut setup)
    };
    assert_eq!([gsi(9, 1, 1), gsi(24, 1, 1), gsi(-1, 0, 0), gsi(9, 2, 0)], [0, -22, -22, -22]);
    let mut add = dev::PciDeviceAdd { bus: 1, devfn: 0x10, ..dev::PciDeviceAdd::default() };
    assert_eq!(rig.op(&rig.control, nr::HYPERCALL_PHYSDEV_OP, dev::OP_PCI_DEVICE_ADD, &mut add), 0);
    assert_eq!(rig.op(&guest, nr::HYPERCALL_PHYSDEV_OP, dev::OP_PCI_DEVICE_ADD, &mut add), no(Errno::ENOSYS));
    add.flags = dev::PciDeviceFlags::from_bits_retain(0x100);
    assert_eq!(
        rig.op(&rig.control, nr::HYPERCALL_PHYSDEV_OP, dev::OP_PCI_DEVICE_ADD, &mut add),
        no(Errno::EINVAL)
    );
    let mut space = dev::PciMmcfgReserved { address: 0xb000_0000, end_bus: 255, ..Default::default() };
    assert_eq!(rig.op(&rig.control, nr::HYPERCALL_PHYSDEV_OP, dev::OP_PCI_MMCFG_RESERVED, &mut space), 0);
    space.address += 4096;
    assert_eq!(
        rig.op(&rig.control, nr::HYPERCALL_PHYSDEV_OP, dev::OP_PCI_MMCFG_RESERVED, &mut space),
        no(Errno::EINVAL)
    );
    for op in [dev::OP_MAP_PIRQ, dev::OP_EOI, dev::OP_MANAGE_PCI_ADD, dev::OP_APIC_READ, 999] {
        assert_eq!(
            rig.op(&rig.control, nr::HYPERCALL_PHYSDEV_OP, op, &mut [0u64; 8]),
            no(Errno::ENOSYS),
            "{op}"
        );
    }
}
