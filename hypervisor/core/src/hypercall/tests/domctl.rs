use hypercall_abi::abi::Handle64;
use hypercall_abi::arch::CpuidLeaf;
use hypercall_abi::domctl::*;
use hypercall_abi::errno::Errno;
use hypercall_abi::hvm::{HwCpu, HwCpuFlags, HwMtrr, SaveDescriptor, SaveHeader};
use hypercall_abi::plain::{Plain, Union};
use hypercall_abi::tenon::{ExitKind, VCPU_ACCOUNT, VcpuAccount};
use hypercall_abi::xen as nr;
use hypercall_abi::xen::CtlBitmap;
use std::vec::Vec;

use super::rig::*;
use crate::guest_cpu::{Exit, Gpr, GuestCpu};
use crate::ids::{CpuId, DomId, VcpuId};

type Change<T> = (&'static str, fn(&mut T), Errno);

#[test]
fn only_the_control_domain_and_only_this_version() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let mut ctl = Domctl::new(PAUSEDOMAIN, guest.domain().id.0, [0u64; 0]);
    let at = guest.put(&ctl);
    assert_eq!(rig.call(&guest, nr::HYPERCALL_DOMCTL, &[at]), no(Errno::EPERM));
    assert_eq!(rig.call(&rig.control, nr::HYPERCALL_DOMCTL, &[1 << 30]), no(Errno::EFAULT));
    ctl.interface_version += 1;
    assert_eq!(rig.domctl(&mut ctl), no(Errno::EACCES));
    assert_eq!(rig.ctl(9999, 0, [0u64; 0]), Err(no(Errno::ENOSYS)));
    assert_eq!(rig.ctl(ASSIGN_DEVICE, 0, [0u64; 0]), Err(no(Errno::EOPNOTSUPP)));
    assert_eq!(rig.ctl(PAUSEDOMAIN, 77, [0u64; 0]), Err(no(Errno::ESRCH)));
}

#[test]
fn creation_says_what_it_refuses() {
    let changes: &[Change<CreateDomain>] = &[
        ("paravirtualized", |c| c.flags.remove(CreateFlags::HVM), Errno::EINVAL),
        ("nested paging", |c| c.flags.remove(CreateFlags::HAP), Errno::EINVAL),
        ("passthrough", |c| c.flags.insert(CreateFlags::IOMMU), Errno::EINVAL),
        ("nested virtualization", |c| c.flags.insert(CreateFlags::NESTED_VIRT), Errno::EINVAL),
        ("performance", |c| c.flags.insert(CreateFlags::VPMU), Errno::EINVAL),
        ("flags", |c| c.flags = CreateFlags::from_bits_retain(c.flags.bits() | 1 << 20), Errno::EINVAL),
        ("emulated devices", |c| c.arch.emulation_flags.insert(EmulationFlags::HPET), Errno::EINVAL),
        ("msr_relaxed", |c| c.arch.misc_flags.insert(MiscFlags::MSR_RELAXED), Errno::EOPNOTSUPP),
        ("0 vCPUs", |c| c.max_vcpus = 0, Errno::EINVAL),
        ("129 vCPUs", |c| c.max_vcpus = 129, Errno::EINVAL),
        ("max_grant_frames", |c| c.max_grant_frames = 5000, Errno::EINVAL),
        ("max_maptrack_frames", |c| c.max_maptrack_frames = i32::MAX, Errno::EINVAL),
        ("processor trace", |c| c.vmtrace_size = 4096, Errno::EINVAL),
        ("pool 3", |c| c.cpupool_id = 3, Errno::ESRCH),
        ("grant options", |c| c.grant_opts = 0x100, Errno::EINVAL),
        ("max_grant_version", |c| c.grant_opts = 3, Errno::EINVAL),
    ];
    let rig = Rig::new();
    let before = rig.holdings();
    for (name, change, errno) in changes {
        let mut config = Rig::config(1);
        change(&mut config);
        rig.machine.advance(1_000_000_000);
        assert_eq!(rig.ctl(CREATEDOMAIN, 0, config), Err(no(*errno)), "{name}");
        let log = rig.machine.take_log();
        assert!(log.iter().any(|(_, line)| line.contains(name)), "{name}: {log:?}");
    }
    assert_eq!(rig.holdings(), before);
}

#[test]
fn numbers_are_chosen_or_given() {
    let rig = Rig::new();
    assert_eq!([rig.create(1), rig.create(1)], [1, 2]);
    let mut ctl = Domctl::new(CREATEDOMAIN, 40, Rig::config(1));
    assert_eq!((rig.domctl(&mut ctl), ctl.domain), (0, 40));
    assert_eq!(rig.domctl(&mut ctl), no(Errno::EEXIST));
    // What libxl says for "any".
    let mut ctl = Domctl::new(CREATEDOMAIN, 0xffff, Rig::config(1));
    assert_eq!((rig.domctl(&mut ctl), ctl.domain), (0, 3));
    rig.destroy(3);
    assert_eq!(rig.create(1), 4, "a number rests before it is used again");
}

#[test]
fn two_hundred_rounds_leave_nothing() {
    let rig = Rig::new();
    rig.destroy(rig.create(1));
    let before = rig.holdings();
    for round in 0..if cfg!(miri) { 4 } else { 200 } {
        let guest = rig.guest(1 + round % 4);
        let id = guest.domain().id.0;
        drop(guest);
        if round % 2 == 0 {
            assert_eq!(rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]), Ok([]));
        }
        rig.destroy(id);
        assert!(rig.hv.domain(DomId(id)).is_none());
    }
    assert_eq!(rig.holdings(), before);
}

#[test]
fn the_control_domain_cannot_end_or_stop_itself() {
    let rig = Rig::new();
    for cmd in [DESTROYDOMAIN, PAUSEDOMAIN, RESUMEDOMAIN, GETHVMCONTEXT, SETHVMCONTEXT, SET_CPU_POLICY] {
        assert_eq!(rig.ctl(cmd, 0, [0u64; 0]), Err(no(Errno::EINVAL)), "{cmd}");
    }
}

fn info(rig: &Rig, id: u16) -> GetDomainInfo {
    rig.ctl(GETDOMAININFO, id, GetDomainInfo::default()).expect("information")
}

#[test]
fn information_follows_the_life() {
    let rig = Rig::new();
    let control = info(&rig, 0);
    assert_eq!((control.domain, control.max_vcpu_id, control.nr_online_vcpus), (0, 1, 1));
    let guest = rig.guest(3);
    let id = guest.domain().id.0;
    let built = info(&rig, id);
    assert_eq!(built.handle, *b"sixteen byte uid");
    assert_eq!((built.tot_pages, built.max_pages), (512, 1024));
    assert_eq!((built.nr_online_vcpus, built.max_vcpu_id), (1, 2));
    assert_eq!(built.flags & (DomInf::PAUSED | DomInf::DYING | DomInf::SHUTDOWN), DomInf::PAUSED);
    assert!(built.flags.contains(DomInf::HVM_GUEST | DomInf::HAP));
    assert_eq!(built.arch_config.emulation_flags, EmulationFlags::LAPIC);

    rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]).unwrap();
    assert_eq!(rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]), Err(no(Errno::EINVAL)));
    assert!(!info(&rig, id).flags.intersects(DomInf::PAUSED | DomInf::BLOCKED));
    rig.hv.shutdown_domain(guest.domain(), 3);
    let ended = info(&rig, id);
    assert!(ended.flags.contains(DomInf::SHUTDOWN));
    assert_eq!(ended.shutdown_reason(), 3);
    rig.ctl(RESUMEDOMAIN, id, [0u64; 0]).unwrap();
    assert!(!info(&rig, id).flags.contains(DomInf::SHUTDOWN));

    // A page that somebody holds keeps the domain in the list.
    let page = guest.domain().memory.own_page(crate::frame::Gfn(3)).unwrap();
    rig.destroy(id);
    let dead = info(&rig, id);
    assert!(dead.flags.contains(DomInf::DYING));
    assert_eq!(dead.tot_pages, 1);
    drop(page);
    rig.hv.bury_the_dead();
    assert_eq!(rig.ctl(GETDOMAININFO, id, GetDomainInfo::default()), Err(no(Errno::ESRCH)));
    assert_eq!(rig.ctl(GETDOMAININFO, 0x7ff0, GetDomainInfo::default()), Err(no(Errno::EINVAL)));
}

#[test]
fn limits_hold() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    assert_eq!(rig.ctl(MAX_MEM, id, MaxMem { max_memkb: 1 << 60 }), Err(no(Errno::EINVAL)));
    assert_eq!(rig.ctl(MAX_VCPUS, id, MaxVcpus { max: 1 }), Ok(MaxVcpus { max: 1 }));
    assert_eq!(rig.ctl(MAX_VCPUS, id, MaxVcpus { max: 2 }), Err(no(Errno::EINVAL)));

    let shadow = |op, mb| rig.ctl(SHADOW_OP, id, ShadowOp { op, mb, ..ShadowOp::default() });
    shadow(SHADOW_OP_SET_ALLOCATION, 3).unwrap();
    assert_eq!(shadow(SHADOW_OP_GET_ALLOCATION, 0).unwrap().mb, 3);
    assert_eq!(shadow(SHADOW_OP_SET_ALLOCATION, 0).unwrap_err(), no(Errno::EBUSY));
    assert_eq!(shadow(SHADOW_OP_CLEAN, 0).unwrap_err(), no(Errno::EOPNOTSUPP));
    let pool = rig.ctl(GET_PAGING_MEMPOOL_SIZE, id, PagingMempool { size: 0 }).unwrap();
    assert_eq!(pool.size, 3 << 20);
    let pool = |size| rig.ctl(SET_PAGING_MEMPOOL_SIZE, id, PagingMempool { size });
    assert_eq!(pool(4097), Err(no(Errno::EINVAL)));
    let used = guest.domain().memory.tables() as u64;
    pool(used << 12).unwrap();
    // There is no table left to map something far away.
    let frame = guest.domain().memory.own_page(crate::frame::Gfn(0)).unwrap();
    let far = crate::frame::Gfn(1 << 24);
    let (kind, access) = (crate::p2m::PageType::Ram, crate::p2m::Access::ALL);
    assert!(guest.domain().memory.map(far, frame, kind, access, || ()).is_err());
}

/// The records of a domain, by type and instance.
fn saved(rig: &Rig, id: u16) -> Vec<(SaveDescriptor, Vec<u8>)> {
    let need = rig.ctl(GETHVMCONTEXT, id, HvmContext::default()).unwrap().size;
    let at = rig.control.room(need as usize);
    let arg = HvmContext { size: need, buffer: Handle64::from_raw(at), ..HvmContext::default() };
    let short = HvmContext { size: need - 1, ..arg };
    assert_eq!(rig.ctl(GETHVMCONTEXT, id, short), Err(no(Errno::ENOSPC)));
    assert_eq!(rig.ctl(GETHVMCONTEXT, id, arg).unwrap().size, need);
    let bytes: Vec<u8> = rig.control.get_all(at, need as usize);
    let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
    while let Some(descriptor) = SaveDescriptor::read_from(rest) {
        let (record, next) = rest[size_of::<SaveDescriptor>()..].split_at(descriptor.length as usize);
        found.push((descriptor, record.to_vec()));
        rest = next;
    }
    assert_eq!(found.last().map(|(d, _)| d.typecode), Some(hypercall_abi::hvm::SAVE_CODE_END));
    found
}

#[test]
fn libxc_starts_a_vcpu() {
    let rig = Rig::new();
    let id = rig.create(2);
    let found = saved(&rig, id);
    let header = SaveHeader::read_from(&found[0].1).unwrap();
    assert_eq!(header.magic, hypercall_abi::hvm::SAVE_MAGIC);
    let mut mtrr = found
        .iter()
        .find_map(|(d, r)| (d.typecode == 14 && d.instance == 1).then(|| HwMtrr::read_from(r).unwrap()))
        .unwrap();
    assert!(!found.iter().any(|(d, _)| d.typecode == 2), "no vCPU is on");

    // As libxc: the MTRRs of every vCPU, then the first one's registers.
    mtrr.msr_mtrr_def_type = 0x806;
    let mut stream = Vec::new();
    put_record(&mut stream, 0, &header);
    put_record(&mut stream, 1, &mtrr);
    end_records(&mut stream);
    rig.load(id, &stream).unwrap();
    rig.load(id, &records(&pvh_cpu())).unwrap();
    let domain = rig.hv.domain(DomId(id)).unwrap();
    let first = domain.vcpu(VcpuId(0)).unwrap();
    assert!(first.is_online() && !domain.vcpu(VcpuId(1)).unwrap().is_online());
    let context = first.context.lock();
    assert_eq!((context.guest.gprs().rip, context.guest.gprs().get(Gpr::Rbx)), (0x10_0000, 0x5000));
    assert_eq!(context.guest.system().cr0, 0x11);
    drop(context);

    let found = saved(&rig, id);
    let cpu =
        found.iter().find_map(|(d, r)| (d.typecode == 2).then(|| HwCpu::read_from(r).unwrap())).unwrap();
    assert_eq!((cpu.rip, cpu.rbx, cpu.cr0, cpu.cs_arbytes), (0x10_0000, 0x5000, 0x11, 0xc9b));
    let one = HvmContextPartial {
        kind: 14,
        instance: 1,
        bufsz: 8,
        buffer: Handle64::from_raw(rig.control.room(512)),
    };
    assert_eq!(rig.ctl(GETHVMCONTEXT_PARTIAL, id, one), Err(no(Errno::ENOSPC)));
    let one = HvmContextPartial { bufsz: 512, ..one };
    assert_eq!(rig.ctl(GETHVMCONTEXT_PARTIAL, id, one).unwrap().bufsz, size_of::<HwMtrr>() as u64);
    assert_eq!(rig.control.get::<HwMtrr>(one.buffer.raw()).msr_mtrr_def_type, 0x806);
}

#[test]
fn bad_registers_are_refused() {
    let changes: &[Change<HwCpu>] = &[
        ("paging without protection", |c| c.cr0 = 0x8000_0010, Errno::EINVAL),
        ("unknown CR0 bits", |c| c.cr0 |= 1 << 40, Errno::EINVAL),
        ("VMXE", |c| c.cr4 |= 1 << 13, Errno::EINVAL),
        ("five levels", |c| c.cr4 |= 1 << 12, Errno::EINVAL),
        ("SVME", |c| c.msr_efer = 1 << 12, Errno::EINVAL),
        ("long mode without paging", |c| c.msr_efer = 1 << 10 | 1 << 8, Errno::EINVAL),
        ("CR3", |c| c.cr3 = u64::MAX, Errno::EINVAL),
        ("DR7", |c| c.dr7 = u64::MAX, Errno::EINVAL),
        ("FPU", |c| c.flags = HwCpuFlags::FPU_INITIALISED, Errno::EOPNOTSUPP),
        ("pending event", |c| c.pending_event = 1 << 31, Errno::EOPNOTSUPP),
        ("padding", |c| c.pad0 = 1, Errno::EINVAL),
    ];
    let rig = Rig::new();
    let id = rig.create(1);
    for (name, change, errno) in changes {
        let mut cpu = pvh_cpu();
        change(&mut cpu);
        assert_eq!(rig.load(id, &records(&cpu)), Err(no(*errno)), "{name}");
        assert_eq!(info(&rig, id).nr_online_vcpus, 0);
    }
    let pat = HwMtrr { msr_pat_cr: 2, msr_mtrr_def_type: 6, ..HwMtrr::default() };
    assert_eq!(rig.load(id, &records(&pat)), Err(no(Errno::EINVAL)));
    let mtrr = HwMtrr { msr_mtrr_def_type: 3, ..HwMtrr::default() };
    assert_eq!(rig.load(id, &records(&mtrr)), Err(no(Errno::EINVAL)));
}

#[test]
fn bad_streams_are_refused() {
    let rig = Rig::new();
    let id = rig.create(1);
    let good = records(&pvh_cpu());
    for len in 0..good.len() {
        assert!(rig.load(id, &good[..len]).is_err(), "{len} bytes");
    }
    let mut flooded = Vec::new();
    put_record(&mut flooded, 0, &SaveHeader::read_from(&good[8..]).unwrap());
    for _ in 0..9 {
        put_record(&mut flooded, 0, &pvh_cpu());
    }
    end_records(&mut flooded);
    assert_eq!(rig.load(id, &flooded), Err(no(Errno::EINVAL)));
    let mut elsewhere = good.clone();
    elsewhere[size_of::<SaveDescriptor>() + size_of::<SaveHeader>() + 2] = 9;
    assert_eq!(rig.load(id, &elsewhere), Err(no(Errno::EINVAL)), "vCPU 9");
    rig.load(id, &good).unwrap();
}

#[test]
fn registers_go_both_ways() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    let at = rig.control.room(size_of::<VcpuGuestContext<hypercall_abi::abi::X64>>());
    let arg = VcpuContext { vcpu: 0, ctxt: Handle64::from_raw(at), ..VcpuContext::default() };
    guest.vcpu.context.lock().guest.gprs_mut().set(Gpr::R9, 0x99);
    rig.ctl(GETVCPUCONTEXT, id, arg).unwrap();
    let mut regs = rig.control.get::<VcpuGuestContext<hypercall_abi::abi::X64>>(at);
    assert_eq!((regs.user_regs.r9, regs.ctrlreg[0]), (0x99, 0x11));
    assert_ne!(regs.flags & u64::from(ContextFlags::ONLINE.bits()), 0);
    regs.user_regs.r9 = 0x77;
    rig.control.write(at, regs.as_bytes());
    rig.ctl(SETVCPUCONTEXT, id, arg).unwrap();
    assert_eq!(guest.vcpu.context.lock().guest.gprs().get(Gpr::R9), 0x77);
    assert_eq!(rig.ctl(GETVCPUCONTEXT, id, VcpuContext { vcpu: 5, ..arg }), Err(no(Errno::EINVAL)));
}

#[test]
fn policies_are_read_and_cut_until_the_first_run() {
    let rig = Rig::new();
    let guest = rig.guest(1);
    let id = guest.domain().id.0;
    let count = rig.ctl(GET_CPU_POLICY, id, CpuPolicy::default()).unwrap().nr_leaves;
    let at = rig.control.room(count as usize * size_of::<CpuidLeaf>());
    let arg = CpuPolicy { nr_leaves: count, leaves: Handle64::from_raw(at), ..CpuPolicy::default() };
    assert_eq!(
        rig.ctl(GET_CPU_POLICY, id, CpuPolicy { nr_leaves: count - 1, ..arg }),
        Err(no(Errno::ENOBUFS))
    );
    assert_eq!(rig.ctl(GET_CPU_POLICY, id, arg).unwrap().nr_leaves, count);
    let mut leaves: Vec<CpuidLeaf> = rig.control.get_all(at, count as usize);
    let one = leaves.iter_mut().find(|leaf| leaf.leaf == 1).unwrap();
    assert_ne!(one.c & 1 << 25, 0, "AES");
    one.c &= !(1 << 25);
    let set = |leaves: &[CpuidLeaf]| {
        let at = rig.control.put_all(leaves);
        let mut ctl = Domctl::new(
            SET_CPU_POLICY,
            id,
            CpuPolicy { leaves: Handle64::from_raw(at), nr_leaves: leaves.len() as u32, ..arg },
        );
        (rig.domctl(&mut ctl), ctl.payload::<CpuPolicy>())
    };
    assert_eq!(set(&leaves).0, 0);
    rig.ctl(GET_CPU_POLICY, id, arg).unwrap();
    let after: Vec<CpuidLeaf> = rig.control.get_all(at, count as usize);
    assert_eq!(after.iter().find(|leaf| leaf.leaf == 1).unwrap().c & 1 << 25, 0);

    let beyond = CpuidLeaf { leaf: 0, subleaf: u32::MAX, a: 0x50, ..CpuidLeaf::default() };
    let (result, refused) = set(&[beyond]);
    assert_eq!((result, refused.err_leaf, refused.err_subleaf), (no(Errno::EINVAL), 0, u32::MAX));
    rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]).unwrap();
    assert_eq!(set(&leaves).0, no(Errno::EEXIST));
}

#[test]
fn tsc_and_wall_clock() {
    let rig = Rig::new();
    let id = rig.create(1);
    let info = rig.ctl(GETTSCINFO, id, TscInfo::default()).unwrap();
    assert_eq!((info.tsc_mode, info.gtsc_khz), (0, 1_000_000));
    let set = |info: TscInfo| rig.ctl(SETTSCINFO, id, info).map(drop);
    assert_eq!(set(TscInfo { tsc_mode: 2, ..TscInfo::default() }), Ok(()));
    assert_eq!(set(TscInfo { tsc_mode: 1, ..TscInfo::default() }), Err(no(Errno::EOPNOTSUPP)));
    assert_eq!(set(TscInfo { tsc_mode: 7, ..TscInfo::default() }), Err(no(Errno::EINVAL)));
    assert_eq!(set(TscInfo { gtsc_khz: 5, ..TscInfo::default() }), Err(no(Errno::EOPNOTSUPP)));
    rig.ctl(SETTIMEOFFSET, id, SetTimeOffset { time_offset_seconds: -3600 }).unwrap();
    rig.ctl(SETTIMEOFFSET, id, SetTimeOffset { time_offset_seconds: i64::MIN }).unwrap();
}

#[test]
fn scheduling() {
    let rig = Rig::new();
    let id = rig.create(2);
    let op = |cmd, weight, cap| {
        let u = Union::new(SchedCredit { weight, cap });
        rig.ctl(SCHEDULER_OP, id, SchedulerOp { sched_id: SCHEDULER_CREDIT, cmd, u })
    };
    assert_eq!(op(SCHEDOP_GETINFO, 0, 0).unwrap().u.get::<SchedCredit>().weight, 256);
    op(SCHEDOP_PUTINFO, 512, 30).unwrap();
    op(SCHEDOP_PUTINFO, 0, u16::MAX).unwrap();
    let now = op(SCHEDOP_GETINFO, 0, 0).unwrap().u.get::<SchedCredit>();
    assert_eq!((now.weight, now.cap), (512, 30));
    op(SCHEDOP_PUTINFO, 0, 0).unwrap();
    assert_eq!(op(SCHEDOP_GETINFO, 0, 0).unwrap().u.get::<SchedCredit>().cap, 0);
    op(SCHEDOP_PUTINFO, u16::MAX, 200).unwrap();
    assert_eq!(op(SCHEDOP_PUTINFO, 5, 201), Err(no(Errno::EINVAL)), "two vCPUs can use 200 %");
    let now = op(SCHEDOP_GETINFO, 0, 0).unwrap().u.get::<SchedCredit>();
    assert_eq!((now.weight, now.cap), (u16::MAX, 200), "a refusal changes nothing");
    for cmd in [SCHEDOP_GETVCPUINFO, SCHEDOP_PUTVCPUINFO] {
        assert_eq!(op(cmd, 0, 0), Err(no(Errno::EOPNOTSUPP)));
    }
    assert_eq!(op(9, 0, 0), Err(no(Errno::EINVAL)));
    let other = SchedulerOp { sched_id: SCHEDULER_RTDS, cmd: SCHEDOP_GETINFO, ..SchedulerOp::default() };
    assert_eq!(rig.ctl(SCHEDULER_OP, id, other), Err(no(Errno::EINVAL)));
    let vcpu = rig.ctl(GETVCPUINFO, id, GetVcpuInfo { vcpu: 1, ..GetVcpuInfo::default() }).unwrap();
    assert_eq!((vcpu.online, vcpu.running), (0, 0));
}

#[test]
fn affinities() {
    let rig = Rig::new();
    let id = rig.create(2);
    let map = |bits: u64| CtlBitmap {
        bitmap: Handle64::from_raw(rig.control.put(&bits)),
        nr_bits: 64,
        ..CtlBitmap::default()
    };
    let (hard, soft) = (AffinityFlags::HARD, AffinityFlags::SOFT);
    // Calls with these maps; gives back what is written to them.
    let call = |cmd, flags, hard: u64, soft: u64| {
        let arg = VcpuAffinity { vcpu: 1, flags, cpumap_hard: map(hard), cpumap_soft: map(soft) };
        rig.ctl(cmd, id, arg)?;
        let [hard, soft] =
            [arg.cpumap_hard, arg.cpumap_soft].map(|map| rig.control.get::<u64>(map.bitmap.raw()));
        Ok((hard, soft))
    };
    let get = || call(GETVCPUAFFINITY, hard | soft, 0, 0).unwrap();
    let set = |flags, hard, soft| call(SETVCPUAFFINITY, flags, hard, soft);
    assert_eq!(get(), (0b1111, 0b1111), "all of the machine's four CPUs");
    assert_eq!(set(hard, 0b1010, 7), Ok((0b1010, 7)), "the other map is left alone");
    assert_eq!(get(), (0b1010, 0b1111));
    // What comes of it is written back; what was set is what is read.
    assert_eq!(set(soft, 7, 0b0011), Ok((7, 0b0010)));
    assert_eq!(get(), (0b1010, 0b0011));
    assert_eq!(set(hard | soft, 1 << 50 | 1, 1 << 50 | 2), Ok((1, 0)));
    assert_eq!(get(), (1, 2));
    assert_eq!(set(soft, 0, 0), Ok((0, 0)), "no wish");
    assert_eq!(set(AffinityFlags::FORCE | hard, 0b100, 0), Ok((0b100, 0)));
    for nowhere in [0, 1 << 50] {
        assert_eq!(set(hard | soft, nowhere, 1), Err(no(Errno::EINVAL)));
    }
    assert_eq!(get(), (0b100, 0), "a refusal changes nothing");
    let flags = [AffinityFlags::empty(), AffinityFlags::from_bits_retain(8)];
    assert!(flags.map(|flags| set(flags, 1, 1)) == [Err(no(Errno::EINVAL)); 2]);
    let unreadable = CtlBitmap { bitmap: Handle64::from_raw(1 << 30), ..map(0) };
    let arg = VcpuAffinity { vcpu: 1, flags: hard | soft, cpumap_hard: map(1), cpumap_soft: unreadable };
    assert_eq!(rig.ctl(SETVCPUAFFINITY, id, arg), Err(no(Errno::EFAULT)));
    assert_eq!(get(), (0b100, 0), "all or nothing");
    assert_eq!(rig.ctl(GETVCPUAFFINITY, id, VcpuAffinity { vcpu: 2, ..arg }), Err(no(Errno::EINVAL)));
    // Domain 0 is a domain like any other.
    let arg = VcpuAffinity { vcpu: 0, flags: hard, ..arg };
    rig.ctl(SETVCPUAFFINITY, 0, arg).unwrap();
    assert_eq!(rig.control.vcpu.sched.affinity().0, 1);

    let node = NodeAffinity { nodemap: map(0) };
    assert_eq!(rig.ctl(SETNODEAFFINITY, id, node), Err(no(Errno::EINVAL)));
    rig.ctl(GETNODEAFFINITY, id, node).unwrap();
    assert_eq!(rig.control.get::<u64>(node.nodemap.bitmap.raw()), 1);
}

#[test]
fn triggers() {
    let rig = Rig::new();
    let id = rig.create(1);
    let send = |trigger, vcpu| rig.ctl(SENDTRIGGER, id, SendTrigger { trigger, vcpu }).map(drop);
    assert_eq!(send(SENDTRIGGER_NMI, 0), Ok(()));
    assert_eq!(send(SENDTRIGGER_NMI, 1), Err(no(Errno::EINVAL)));
    assert_eq!(send(SENDTRIGGER_POWER, 0), Err(no(Errno::EOPNOTSUPP)));
    assert_eq!(send(77, 0), Err(no(Errno::ENOSYS)));
}

#[test]
fn an_account_of_a_vcpu() {
    let rig = Rig::new();
    let guest = rig.guest(2);
    let id = guest.domain().id.0;
    let room = rig.control.put(&[u64::MAX; ExitKind::COUNT + 1]);
    let arg = VcpuAccount {
        kinds: ExitKind::COUNT as u32 + 1,
        exits: Handle64::from_raw(room),
        ..VcpuAccount::default()
    };
    let read = |arg: VcpuAccount| rig.ctl(VCPU_ACCOUNT, id, arg);
    let count = |kind: ExitKind| rig.control.get_all::<u64>(room, ExitKind::COUNT)[kind as usize];
    let before = read(arg).unwrap();
    assert_eq!(before.kinds as usize, ExitKind::COUNT);
    assert_eq!(rig.control.get_all::<u64>(room, ExitKind::COUNT + 1)[ExitKind::COUNT], u64::MAX);
    assert!(ExitKind::ALL.iter().all(|kind| count(*kind) == 0));

    // It runs until it halts.
    rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]).unwrap();
    let mut context = guest.vcpu.context.lock();
    context.guest.gprs_mut().rflags |= 1 << 9;
    context.guest.script.extend([Exit::Cpuid, Exit::Xsetbv, Exit::Cpuid, Exit::Halt]);
    drop(context);
    rig.machine.become_cpu(guest.vcpu.sched.home());
    let picked = core::iter::from_fn(|| rig.hv.sched.pick()).find(|picked| *picked == guest.vcpu);
    let picked = picked.expect("it may run");
    let deadline = crate::run::run(&rig.hv, &picked);
    rig.hv.sched.put(picked, deadline);
    rig.machine.become_cpu(CpuId(0));
    rig.machine.advance(1000);
    let after = read(arg).unwrap();
    assert_eq!((count(ExitKind::Cpuid), count(ExitKind::ControlRegister)), (2, 1));
    assert_eq!((count(ExitKind::Halt), count(ExitKind::Hypercall)), (1, 0));
    let spent = |account: &VcpuAccount| account.spent.iter().sum::<u64>();
    assert_eq!(spent(&after) - spent(&before), after.now - before.now);

    // An older tool has less room.
    rig.control.write(room, [0xff; 16].as_slice());
    let less = read(VcpuAccount { kinds: 1, ..arg }).unwrap();
    assert_eq!((less.kinds as usize, count(ExitKind::InterruptWindow)), (ExitKind::COUNT, u64::MAX));
    assert_ne!(count(ExitKind::Interrupt), u64::MAX);
    assert_eq!(
        read(VcpuAccount { kinds: 0, exits: Handle64::from_raw(u64::MAX), ..arg }),
        Ok(VcpuAccount { exits: Handle64::from_raw(u64::MAX), ..less })
    );

    for vcpu in [2, 128, u32::MAX] {
        assert_eq!(read(VcpuAccount { vcpu, ..arg }), Err(no(Errno::EINVAL)), "vCPU {vcpu}");
    }
    for exits in [u64::MAX, u64::MAX - 7, 1 << 30] {
        let exits = Handle64::from_raw(exits);
        assert_eq!(read(VcpuAccount { exits, ..arg }), Err(no(Errno::EFAULT)), "{exits:?}");
    }
    assert_eq!(rig.ctl(VCPU_ACCOUNT, 77, arg), Err(no(Errno::ESRCH)));
    let at = guest.put(&Domctl::new(VCPU_ACCOUNT, id, arg));
    assert_eq!(rig.call(&guest, nr::HYPERCALL_DOMCTL, &[at]), no(Errno::EPERM));
}
