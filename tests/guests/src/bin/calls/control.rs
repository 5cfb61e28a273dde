//! What only the control domain may ask for. A guest is refused, whatever it says.

use test_guests::abi::errno::Errno;
use test_guests::abi::platform::{self, PcpuFlags, Pcpuinfo, PlatformOp, Settime64};
use test_guests::abi::xen::*;
use test_guests::abi::{Plain, domctl, physdev, sysctl};
use test_guests::call::{self, refused};
use test_guests::suite::{self, Outcome};
use test_guests::{boot_info, check, check_eq};

/// A version that is not spoken is refused before anything else is looked at.
pub fn versions_first() -> Outcome {
    let wanted = |answer: call::Answer| {
        answer == refused(Errno::EPERM) || boot_info::is_dom0() && answer == refused(Errno::EACCES)
    };
    for version in [0, 0x14, 0x16, u32::MAX] {
        let mut op = domctl::Domctl::new(domctl::GETDOMAININFO, 0, [0_u64; 4]);
        op.interface_version = version;
        let answer = call::any(HYPERCALL_DOMCTL, &[call::address(&mut op)]);
        check!(wanted(answer), "domctl version {version:#x}: {answer:?}");
        let mut op = sysctl::Sysctl::new(sysctl::PHYSINFO, [0_u64; 4]);
        op.interface_version = version;
        let answer = call::any(HYPERCALL_SYSCTL, &[call::address(&mut op)]);
        check!(wanted(answer), "sysctl version {version:#x}: {answer:?}");
        let mut op = PlatformOp::new(platform::GET_CPUINFO, [0_u64; 4]);
        op.interface_version = version;
        let answer = call::any(HYPERCALL_PLATFORM_OP, &[call::address(&mut op)]);
        check!(wanted(answer), "platform_op version {version:#x}: {answer:?}");
    }
    Ok(())
}

pub fn platform() -> Outcome {
    let make = |op: &mut PlatformOp| call::any(HYPERCALL_PLATFORM_OP, &[call::address(op)]);
    let mut op = PlatformOp::new(platform::GET_CPUINFO, Pcpuinfo::zeroed());
    if !boot_info::is_dom0() {
        check_eq!(make(&mut op), refused(Errno::EPERM));
        return Ok(());
    }
    check_eq!(make(&mut op), Ok(0));
    let first: Pcpuinfo = op.payload();
    check!(first.flags.contains(PcpuFlags::ONLINE));
    let beyond = first.max_present + 1;
    for xen_cpuid in [beyond, u32::MAX] {
        let mut op = PlatformOp::new(platform::GET_CPUINFO, Pcpuinfo { xen_cpuid, ..Pcpuinfo::zeroed() });
        let answer = make(&mut op);
        let flags = op.payload::<Pcpuinfo>().flags;
        check!(
            answer.is_err() || flags.contains(PcpuFlags::INVALID),
            "CPU {xen_cpuid}: {answer:?}, {flags:?}"
        );
    }
    let time = Settime64 { secs: 1, nsecs: 0, mbz: 1, system_time: 0 };
    check_eq!(make(&mut PlatformOp::new(platform::SETTIME64, time)), refused(Errno::EINVAL));
    for cmd in [0, 200, u32::MAX] {
        check_eq!(make(&mut PlatformOp::new(cmd, [0_u64; 8])), refused(Errno::ENOSYS), "command {cmd}");
    }
    Ok(())
}

pub fn physdev() -> Outcome {
    // Interrupts as event channels are for paravirtualized guests.
    for op in [physdev::OP_EOI, physdev::OP_SET_IOPL, physdev::OP_GET_FREE_PIRQ, 63, u32::MAX] {
        check_eq!(call::physdev(op, &mut [0_u64; 8]), refused(Errno::ENOSYS), "op {op}");
    }
    if !boot_info::is_dom0() {
        let add = call::physdev(physdev::OP_PCI_DEVICE_ADD, &mut [0_u64; 8]);
        check!(add.is_err(), "a guest without devices: {add:?}");
        return Ok(());
    }
    for gsi in [-1, 10_000, i32::MAX, i32::MIN] {
        let mut op = physdev::SetupGsi { gsi, triggering: 0, polarity: 0, _pad: [0; 2] };
        check_eq!(call::physdev(physdev::OP_SETUP_GSI, &mut op), refused(Errno::EINVAL), "GSI {gsi}");
    }
    let mut space = physdev::PciMmcfgReserved::zeroed();
    (space.address, space.start_bus, space.end_bus) = (0x1234, 9, 3);
    check!(call::physdev(physdev::OP_PCI_MMCFG_RESERVED, &mut space).is_err());
    Ok(())
}

/// Domains that are not there, and commands that nobody knows.
pub fn domains() -> Outcome {
    let domctl = |cmd: u32, domain: u16| {
        let mut op = domctl::Domctl::new(cmd, domain, [0_u64; 16]);
        call::any(HYPERCALL_DOMCTL, &[call::address(&mut op)])
    };
    let sysctl = |cmd: u32| {
        let mut op = sysctl::Sysctl::new(cmd, [0_u64; 16]);
        call::any(HYPERCALL_SYSCTL, &[call::address(&mut op)])
    };
    if !boot_info::is_dom0() {
        for cmd in 0..100 {
            let answer = domctl(cmd, DOMID_SELF);
            check!(answer.is_err(), "domctl {cmd}: {answer:?}");
            let answer = sysctl(cmd);
            check!(answer.is_err(), "sysctl {cmd}: {answer:?}");
        }
        return suite::skip("the rest is for the control domain");
    }
    // Destroying comes first; 1 creates a domain and 5 finds the next one.
    for cmd in (2..90).filter(|&cmd| cmd != domctl::GETDOMAININFO) {
        for domain in [0x1234, 0x7fe0, 0xffff] {
            let answer = domctl(cmd, domain);
            check!(answer.is_err(), "domctl {cmd} on domain {domain:#x}: {answer:?}");
        }
    }
    check_eq!(domctl(domctl::GETDOMAININFO, 0x1234), refused(Errno::ESRCH));
    for cmd in [1000, u32::MAX] {
        check_eq!(sysctl(cmd), refused(Errno::ENOSYS), "sysctl {cmd}");
    }
    // A domain does not destroy itself.
    check!(domctl(domctl::DESTROYDOMAIN, 0).is_err());
    Ok(())
}
