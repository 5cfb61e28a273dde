use hypercall_abi::abi::Handle64;
use hypercall_abi::arch::CpuidLeaf;
use hypercall_abi::domctl::{GetDomainInfo, SCHEDULER_CREDIT};
use hypercall_abi::errno::Errno;
use hypercall_abi::physdev::PciDevice;
use hypercall_abi::plain::Union;
use hypercall_abi::sysctl::*;
use hypercall_abi::xen as nr;
use std::string::String;
use std::vec::Vec;

use super::rig::*;
use crate::hv_log;
use crate::ids::CpuId;
use crate::machine::{Machine, MachineEnd};
use crate::sched::SLICE_MS;

#[test]
fn only_the_control_domain_and_only_this_version() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let mut ctl = Sysctl::new(PHYSINFO, PhysInfo::default());
    assert_eq!(rig.call(&guest, nr::HYPERCALL_SYSCTL, &[guest.put(&ctl)]), no(Errno::EPERM));
    ctl.interface_version = 0x14;
    let at = rig.control.put(&ctl);
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_SYSCTL, &[at]), no(Errno::EACCES));
    assert_eq!(rig.sysctl(4711, [0u64; 0]), Err(no(Errno::ENOSYS)));
    assert_eq!(rig.sysctl(PM_OP, [0u64; 0]), Err(no(Errno::EOPNOTSUPP)));
}

#[test]
fn physinfo_tells_the_machine() {
    let rig = Rig::new();
    let info = rig.sysctl(PHYSINFO, PhysInfo::default()).unwrap();
    assert_eq!((info.threads_per_core, info.cores_per_socket), (2, 2));
    assert_eq!((info.nr_cpus, info.max_cpu_id, info.nr_nodes), (4, 3, 1));
    assert_eq!((info.cpu_khz, info.total_pages), (1_000_000, RAM as u64));
    assert_eq!(info.free_pages, rig.holdings().0);
    assert_eq!(info.hw_cap[0], rig.machine.cpuid(1, 0)[3]);
    assert_eq!(info.hw_cap[5], rig.machine.cpuid(7, 0)[1]);
    assert!(info.capabilities.contains(PhysCap::HVM | PhysCap::HAP));
    assert!(!info.capabilities.contains(PhysCap::PV));
    let heap = AvailHeap { node: -1, ..AvailHeap::default() };
    assert_eq!(rig.sysctl(AVAILHEAP, heap).unwrap().avail_bytes, info.free_pages << 12);
    assert_eq!(rig.sysctl(AVAILHEAP, AvailHeap { node: 1, ..heap }).unwrap().avail_bytes, 0);
    assert!(rig.sysctl(AVAILHEAP, AvailHeap { max_bitwidth: 32, ..heap }).is_err());
}

fn list(rig: &Rig, first: u16, room: u32) -> Vec<u16> {
    let at = rig.control.room(room as usize * size_of::<GetDomainInfo>());
    let arg = GetDomainInfoList {
        first_domain: first,
        max_domains: room,
        buffer: Handle64::from_raw(at),
        ..GetDomainInfoList::default()
    };
    let count = rig.sysctl(GETDOMAININFOLIST, arg).unwrap().num_domains;
    rig.control.get_all::<GetDomainInfo>(at, count as usize).iter().map(|info| info.domain).collect()
}

#[test]
fn the_list_has_every_domain_once() {
    let rig = Rig::new();
    (0..5).for_each(|_| assert_ne!(rig.create(1), 0));
    assert_eq!(list(&rig, 0, 16), [0, 1, 2, 3, 4, 5]);
    assert_eq!(list(&rig, 3, 2), [3, 4]);
    assert_eq!(list(&rig, 6, 16), []);
    assert_eq!(list(&rig, u16::MAX, 16), []);
    assert_eq!(list(&rig, 0, 0), []);
    rig.destroy(2);
    assert_eq!(list(&rig, 0, 16), [0, 1, 3, 4, 5]);
    let wild = GetDomainInfoList {
        max_domains: u32::MAX,
        buffer: Handle64::from_raw(1 << 31),
        ..Default::default()
    };
    assert_eq!(rig.sysctl(GETDOMAININFOLIST, wild), Err(no(Errno::EFAULT)));
}

#[test]
fn the_log_is_read_in_pieces_and_cleared() {
    let rig = Rig::new();
    let read = |arg: ReadConsole| {
        let at = rig.control.room(arg.count as usize);
        let answer = rig.sysctl(READCONSOLE, ReadConsole { buffer: Handle64::from_raw(at), ..arg }).unwrap();
        let text = rig.control.get_all(at, answer.count as usize);
        (String::from_utf8(text).unwrap(), answer.index)
    };
    let whole = ReadConsole { count: 8192, clear: 1, ..ReadConsole::default() };
    read(whole);
    assert_eq!(read(whole).0, "");
    hv_log!(rig.hv, Info, "one");
    hv_log!(rig.hv, Info, "two");
    let keep = ReadConsole { clear: 0, ..whole };
    assert_eq!(read(keep).0, "one\ntwo\n");
    assert_eq!(read(keep).0, "one\ntwo\n", "it was not cleared");
    let (first, index) = read(ReadConsole { count: 5, ..keep });
    assert_eq!(first, "one\nt");
    let (rest, index) = read(ReadConsole { incremental: 1, index, ..keep });
    assert_eq!(rest, "wo\n");
    assert_eq!(read(ReadConsole { incremental: 1, index, ..keep }).0, "");
    assert_eq!(read(whole).0, "one\ntwo\n");
    assert_eq!(read(keep).0, "");
    // An index from before the clearing starts where the log starts now.
    hv_log!(rig.hv, Info, "three");
    assert_eq!(read(ReadConsole { incremental: 1, index: 0, ..keep }).0, "three\n");
}

#[test]
fn keys() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let arg = |text: &[u8]| DebugKeys {
        keys: Handle64::from_raw(rig.control.put_all(text)),
        nr_keys: text.len() as u32,
        ..Default::default()
    };
    let keys = |text: &[u8]| rig.sysctl(DEBUG_KEYS, arg(text)).map(drop);
    let _ = rig.machine.take_log();
    assert_eq!(keys(b"hqv"), Ok(()));
    let log = rig.machine.take_log();
    for start in ["d1: ", "d0v0: Queued"] {
        assert!(log.iter().any(|(_, line)| line.starts_with(start)), "no {start}: {log:?}");
    }
    assert_eq!(keys(b"R"), Err(no(Errno::EINVAL)));
    assert_eq!(keys(&[b'h'; 17]), Err(no(Errno::E2BIG)));
    let last = rig.control.put(&Sysctl::new(DEBUG_KEYS, arg(b"C")));
    assert_eq!(rig.try_call(&guest, nr::HYPERCALL_SYSCTL, &[last]), Ok(no(Errno::EPERM)));
    assert_eq!(rig.try_call(&rig.control, nr::HYPERCALL_SYSCTL, &[last]), Err(MachineEnd::Panic));
}

#[test]
fn cpus_and_nodes() {
    let rig = Rig::new();
    assert_eq!(rig.sysctl(CPUTOPOINFO, CpuTopoInfo::default()).unwrap().num_cpus, 4);
    let at = rig.control.room(64);
    let arg = CpuTopoInfo { num_cpus: 5, cputopo: Handle64::from_raw(at), ..CpuTopoInfo::default() };
    assert_eq!(rig.sysctl(CPUTOPOINFO, arg).unwrap().num_cpus, 4);
    let cpus: Vec<CpuTopo> = rig.control.get_all(at, 4);
    assert_eq!(
        cpus.iter().map(|cpu| (cpu.socket, cpu.core)).collect::<Vec<_>>(),
        [(0, 0), (0, 0), (0, 1), (0, 1)]
    );

    let (memory, distance) = (rig.control.room(16), rig.control.room(4));
    let arg = NumaInfo {
        num_nodes: 4,
        meminfo: Handle64::from_raw(memory),
        distance: Handle64::from_raw(distance),
        ..Default::default()
    };
    assert_eq!(rig.sysctl(NUMAINFO, arg).unwrap().num_nodes, 1);
    assert_eq!(rig.control.get::<MemInfo>(memory).memsize, (RAM as u64) << 12);
    assert_eq!(rig.control.get::<u32>(distance), 10);

    let (devices, nodes) = (rig.control.put_all(&[PciDevice::default(); 2]), rig.control.put_all(&[7u32; 2]));
    let arg = PciTopoInfo {
        num_devs: 2,
        devs: Handle64::from_raw(devices),
        nodes: Handle64::from_raw(nodes),
        ..Default::default()
    };
    assert_eq!(rig.sysctl(PCITOPOINFO, arg).unwrap().num_devs, 2);
    assert_eq!(rig.control.get_all::<u32>(nodes, 2), [0, 0]);
    assert_eq!(rig.sysctl(PCITOPOINFO, PciTopoInfo::default()), Err(no(Errno::EINVAL)));

    let at = rig.control.room(64);
    let arg = GetCpuInfo { max_cpus: 8, info: Handle64::from_raw(at), ..Default::default() };
    assert_eq!(rig.sysctl(GETCPUINFO, arg).unwrap().nr_cpus, 4);
    assert_eq!(rig.control.get::<CpuInfo>(at).idletime, rig.hv.sched.idle_time(CpuId(0)));
}

#[test]
fn one_scheduler() {
    let rig = Rig::new();
    assert_eq!(rig.sysctl(SCHED_ID, SchedId::default()).unwrap().sched_id, SCHEDULER_CREDIT);
    let op =
        |sched_id, cmd| rig.sysctl(SCHEDULER_OP, SchedulerOp { sched_id, cmd, ..SchedulerOp::default() });
    let credit: Union<_> = op(SCHEDULER_CREDIT, SCHEDOP_GETINFO).unwrap().u;
    assert_eq!(credit.get::<CreditSchedule>().tslice_ms, SLICE_MS);
    assert_eq!(op(SCHEDULER_CREDIT, SCHEDOP_PUTINFO), Err(no(Errno::EOPNOTSUPP)));
    assert_eq!(op(9, SCHEDOP_GETINFO), Err(no(Errno::EINVAL)));
    let nowhere = SchedulerOp { cpupool_id: 5, sched_id: SCHEDULER_CREDIT, ..SchedulerOp::default() };
    assert_eq!(rig.sysctl(SCHEDULER_OP, nowhere), Err(no(Errno::ESRCH)));
}

#[test]
fn features() {
    let rig = Rig::new();
    assert!(rig.sysctl(GET_CPU_LEVELLING_CAPS, CpuLevellingCaps::default()).unwrap().caps.is_empty());
    let count = rig.sysctl(GET_CPU_FEATURESET, CpuFeatureset::default()).unwrap().nr_features;
    let at = rig.control.room(count as usize * 4);
    let words = |index, nr_features| {
        let arg = CpuFeatureset { index, nr_features, features: Handle64::from_raw(at) };
        rig.sysctl(GET_CPU_FEATURESET, arg).map(|_| rig.control.get_all::<u32>(at, count as usize))
    };
    let host = words(CPU_FEATURESET_HOST, 64).unwrap();
    let guests = words(CPU_FEATURESET_HVM, count).unwrap();
    assert_eq!(host[0], rig.machine.cpuid(1, 0)[3]);
    assert_eq!(guests[1] >> 31, 1, "the hypervisor bit");
    assert_eq!(words(CPU_FEATURESET_HOST, count - 1), Err(no(Errno::ENOBUFS)));
    assert_eq!(words(CPU_FEATURESET_PV, count), Err(no(Errno::EOPNOTSUPP)));
    assert_eq!(words(17, count), Err(no(Errno::EINVAL)));

    let room = rig.sysctl(GET_CPU_POLICY, CpuPolicy::default()).unwrap();
    let at = rig.control.room(room.nr_leaves as usize * size_of::<CpuidLeaf>());
    for index in [CPU_POLICY_RAW, CPU_POLICY_HOST, CPU_POLICY_HVM_MAX, CPU_POLICY_HVM_DEFAULT] {
        let arg = CpuPolicy { index, leaves: Handle64::from_raw(at), ..room };
        let got = rig.sysctl(GET_CPU_POLICY, arg).unwrap().nr_leaves;
        assert!(got > 20 && got <= room.nr_leaves);
        assert_eq!(
            rig.sysctl(GET_CPU_POLICY, CpuPolicy { nr_leaves: got - 1, ..arg }),
            Err(no(Errno::ENOBUFS))
        );
    }
    assert_eq!(
        rig.sysctl(GET_CPU_POLICY, CpuPolicy { index: CPU_POLICY_PV_MAX, ..room }),
        Err(no(Errno::EOPNOTSUPP))
    );
    assert_eq!(rig.sysctl(GET_CPU_POLICY, CpuPolicy { reserved: 1, ..room }), Err(no(Errno::EINVAL)));
}
