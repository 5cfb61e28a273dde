//! CPU pools, and CPUs that are switched off and on, as the tools and domain 0's kernel ask for them. Nobody runs here: the
//! machine has four CPUs, and vCPUs that wait.

use hypercall_abi::abi::Handle64;
use hypercall_abi::domctl::{
    AffinityFlags, CREATEDOMAIN, CreateDomain, DESTROYDOMAIN, Domctl, GETDOMAININFO, GetDomainInfo,
    SCHEDULER_CREDIT, SETVCPUAFFINITY, UNPAUSEDOMAIN, VcpuAffinity,
};
use hypercall_abi::errno::Errno;
use hypercall_abi::platform::{CPU_OFFLINE, CPU_ONLINE, CpuOl, GET_CPUINFO, PcpuFlags, Pcpuinfo};
use hypercall_abi::sysctl::*;
use hypercall_abi::xen::CtlBitmap;
use std::vec::Vec;

use super::rig::*;
use crate::frame::Gfn;
use crate::hypervisor::PoolError;
use crate::ids::{CpuId, DomId, PoolId, VcpuId};
use crate::machine::CpuMask;
use crate::p2m::Progress;
use crate::sched::{Cpus, State};
use crate::time::Nanos;

/// A rig whose pools are looked at.
struct Pools(Rig);

impl Pools {
    fn new() -> Self {
        Self(Rig::new())
    }

    fn op(&self, op: u32, pool: u32, cpu: u32) -> Result<CpupoolOp, i64> {
        self.ask(CpupoolOp { op, cpupool_id: pool, cpu, sched_id: SCHEDULER_CREDIT, ..CpupoolOp::default() })
            .map(|(op, _)| op)
    }

    /// What comes of an operation, and the CPUs that it tells.
    fn ask(&self, op: CpupoolOp) -> Result<(CpupoolOp, u64), i64> {
        let bits = self.0.control.put(&0u64);
        let cpumap = CtlBitmap { bitmap: Handle64::from_raw(bits), nr_bits: 64, ..CtlBitmap::default() };
        let done = self.0.sysctl(CPUPOOL_OP, CpupoolOp { cpumap, ..op })?;
        Ok((done, self.0.control.get(bits)))
    }

    fn create(&self) -> u32 {
        self.op(CPUPOOL_OP_CREATE, CPUPOOL_PAR_ANY, 0).expect("a pool").cpupool_id
    }

    /// Takes a CPU out of pool 0, if there, and adds it to another.
    fn give(&self, pool: u32, cpu: u32) {
        self.op(CPUPOOL_OP_RMCPU, 0, cpu).expect("a CPU of pool 0");
        self.op(CPUPOOL_OP_ADDCPU, pool, cpu).expect("a free CPU");
    }

    fn move_domain(&self, domid: u32, pool: u32) -> Result<(), i64> {
        let op = CPUPOOL_OP_MOVEDOMAIN;
        self.ask(CpupoolOp { op, cpupool_id: pool, domid, ..CpupoolOp::default() }).map(drop)
    }

    /// A pool's number, domains and CPUs: of the first from that number on.
    fn info(&self, from: u32) -> Result<(u32, u32, u64), i64> {
        let op = CpupoolOp { op: CPUPOOL_OP_INFO, cpupool_id: from, ..CpupoolOp::default() };
        self.ask(op).map(|(info, cpus)| (info.cpupool_id, info.n_dom, cpus))
    }

    fn free(&self) -> u64 {
        self.ask(CpupoolOp { op: CPUPOOL_OP_FREEINFO, ..CpupoolOp::default() }).expect("the free CPUs").1
    }

    fn guest_in(&self, pool: u32) -> Result<u16, i64> {
        let config = CreateDomain { cpupool_id: pool, ..Rig::config(2) };
        let mut ctl = Domctl::new(CREATEDOMAIN, 0, config);
        match self.0.domctl(&mut ctl) {
            0 => Ok(ctl.domain),
            refused => Err(refused),
        }
    }

    fn pool_of(&self, domain: u16) -> u32 {
        self.0.ctl(GETDOMAININFO, domain, GetDomainInfo::default()).expect("a domain").cpupool
    }

    fn hotplug(&self, op: u32, cpu: u32) -> Result<(), i64> {
        self.0.sysctl(CPU_HOTPLUG, CpuHotplug { cpu, op }).map(drop)
    }
}

#[test]
fn pools_come_and_go() {
    let pools = Pools::new();
    assert_eq!(pools.info(0), Ok((0, 1, 0xf)));
    assert_eq!(pools.info(1), Err(no(Errno::ENOENT)));
    assert_eq!([pools.create(), pools.create()], [1, 2]);
    assert_eq!(pools.op(CPUPOOL_OP_CREATE, 7, 0).map(|op| op.cpupool_id), Ok(7));
    assert_eq!(pools.create(), 8, "the next after the last, as with Xen");
    assert_eq!(pools.op(CPUPOOL_OP_CREATE, 7, 0).map(drop), Err(no(Errno::EEXIST)));
    assert_eq!(pools.op(CPUPOOL_OP_CREATE, 64, 0).map(drop), Err(no(Errno::EINVAL)));
    let other = CpupoolOp { op: CPUPOOL_OP_CREATE, cpupool_id: 9, sched_id: 42, ..CpupoolOp::default() };
    assert_eq!(pools.ask(other).map(drop), Err(no(Errno::ENOENT)), "no such scheduler");
    assert_eq!(pools.info(3), Ok((7, 0, 0)), "the first from number 3 on");
    for pool in [1, 2, 7, 8] {
        pools.op(CPUPOOL_OP_DESTROY, pool, 0).unwrap();
        assert_eq!(pools.op(CPUPOOL_OP_DESTROY, pool, 0).map(drop), Err(no(Errno::ENOENT)));
    }
    assert_eq!(pools.op(CPUPOOL_OP_DESTROY, 0, 0).map(drop), Err(no(Errno::EBUSY)), "domain 0's");
    for _ in 1..64 {
        pools.create();
    }
    assert_eq!(pools.op(CPUPOOL_OP_CREATE, CPUPOOL_PAR_ANY, 0).map(drop), Err(no(Errno::ENOSPC)));
    assert_eq!(pools.op(99, 0, 0).map(drop), Err(no(Errno::ENOSYS)));
}

#[test]
fn cpus_change_pools() {
    let pools = Pools::new();
    let pool = pools.create();
    assert_eq!(pools.op(CPUPOOL_OP_ADDCPU, pool, 2).map(drop), Err(no(Errno::ENODEV)), "in pool 0");
    assert_eq!(pools.op(CPUPOOL_OP_ADDCPU, pool, CPUPOOL_PAR_ANY).map(drop), Err(no(Errno::ENODEV)));
    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, 0, 0).map(drop), Err(no(Errno::EINVAL)), "the boot CPU");
    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, pool, 2).map(drop), Err(no(Errno::EADDRNOTAVAIL)));
    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, 5, 2).map(drop), Err(no(Errno::ENOENT)));
    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, 0, 2).map(|op| op.cpu), Ok(2));
    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, 0, CPUPOOL_PAR_ANY).map(|op| op.cpu), Ok(3), "the last one");
    assert_eq!((pools.info(0), pools.free()), (Ok((0, 1, 0b0011)), 0b1100));
    assert_eq!(pools.op(CPUPOOL_OP_ADDCPU, 5, 2).map(drop), Err(no(Errno::ENOENT)));
    assert_eq!(pools.op(CPUPOOL_OP_ADDCPU, pool, 4).map(drop), Err(no(Errno::EINVAL)));
    pools.op(CPUPOOL_OP_ADDCPU, pool, CPUPOOL_PAR_ANY).unwrap();
    assert_eq!((pools.info(pool), pools.free()), (Ok((pool, 0, 0b0100)), 0b1000));
    assert_eq!(pools.op(CPUPOOL_OP_DESTROY, pool, 0).map(drop), Err(no(Errno::EBUSY)), "it has a CPU");
    pools.op(CPUPOOL_OP_RMCPU, pool, CPUPOOL_PAR_ANY).unwrap();
    pools.op(CPUPOOL_OP_DESTROY, pool, 0).unwrap();
    assert_eq!(pools.free(), 0b1100);
}

#[test]
fn domains_change_pools() {
    let pools = Pools::new();
    let pool = pools.create();
    assert_eq!(pools.guest_in(pool), Err(no(Errno::ENODEV)), "no CPU to run on");
    assert_eq!(pools.guest_in(9), Err(no(Errno::ESRCH)));
    let id = pools.guest_in(0).unwrap();
    assert_eq!(pools.move_domain(id.into(), pool), Err(no(Errno::ENOENT)));
    pools.give(pool, 3);
    assert_eq!(pools.move_domain(id.into(), 9), Err(no(Errno::ENOENT)));
    assert_eq!(pools.move_domain(77, pool), Err(no(Errno::ESRCH)));
    assert_eq!(pools.move_domain(1 << 16, pool), Err(no(Errno::ESRCH)));
    assert_eq!(pools.move_domain(0, pool), Err(no(Errno::EPERM)), "the caller");

    let vcpu = pools.0.hv.domain(DomId(id)).unwrap().vcpu(VcpuId(0)).unwrap();
    pools.0.hv.sched.set_affinity(&vcpu, CpuMask(0b0010));
    pools.move_domain(id.into(), pool).unwrap();
    assert_eq!((pools.pool_of(id), vcpu.sched.home()), (pool, CpuId(3)));
    assert_eq!(vcpu.sched.affinity(), CpuMask(u64::MAX), "it stayed behind");
    assert_eq!((pools.info(0), pools.info(pool)), (Ok((0, 1, 0b0111)), Ok((pool, 1, 0b1000))));
    // It is confined to what its pool has.
    let cpus = |cpus: u64| {
        let map = pools.0.control.put(&cpus);
        let cpumap_hard = CtlBitmap { bitmap: Handle64::from_raw(map), nr_bits: 64, ..CtlBitmap::default() };
        let op = VcpuAffinity { flags: AffinityFlags::HARD, cpumap_hard, ..VcpuAffinity::default() };
        pools.0.ctl(SETVCPUAFFINITY, id, op).map(|_| pools.0.control.get::<u64>(map))
    };
    assert_eq!((cpus(0b0011), cpus(0b1010)), (Err(no(Errno::EINVAL)), Ok(0b1000)));

    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, pool, 3).map(drop), Err(no(Errno::EBUSY)), "its last CPU");
    assert_eq!(pools.op(CPUPOOL_OP_DESTROY, pool, 0).map(drop), Err(no(Errno::EBUSY)));
    let second = pools.guest_in(pool).unwrap();
    assert_eq!(pools.info(pool), Ok((pool, 2, 0b1000)));
    pools.0.destroy(second);
    pools.move_domain(id.into(), 0).unwrap();
    assert_eq!(pools.pool_of(id), 0);
    pools.op(CPUPOOL_OP_RMCPU, pool, 3).unwrap();
    pools.op(CPUPOOL_OP_DESTROY, pool, 0).unwrap();
}

/// A domain that is dead but for a page that another one holds does not keep a pool.
#[test]
fn the_dead_wait_in_pool_0() {
    let pools = Pools::new();
    let pool = pools.create();
    pools.give(pool, 3);
    let guest = pools.0.guest(1);
    let id = guest.domain().id.0;
    pools.move_domain(id.into(), pool).unwrap();
    let held = guest.domain().memory.own_page(Gfn(0)).unwrap();
    pools.0.ctl(DESTROYDOMAIN, id, [0u64; 0]).unwrap();
    assert_eq!(pools.pool_of(id), pool);
    pools.op(CPUPOOL_OP_RMCPU, pool, 3).unwrap();
    pools.op(CPUPOOL_OP_DESTROY, pool, 0).unwrap();
    assert_eq!(pools.pool_of(id), 0);
    drop(held);
}

/// Who is queued, sleeps, or is confined to a CPU that leaves is elsewhere afterwards.
#[test]
fn a_cpu_that_leaves_is_empty() {
    let pools = Pools::new();
    let rig = &pools.0;
    let id = pools.guest_in(0).unwrap();
    let vcpus: Vec<_> = rig.hv.domain(DomId(id)).unwrap().vcpu_refs().collect();
    let [queued, asleep] = &vcpus[..] else { panic!("two vCPUs") };
    for vcpu in [queued, asleep] {
        rig.hv.sched.set_affinity(vcpu, CpuMask(0b0100));
        rig.hv.bring_up(vcpu);
    }
    rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]).unwrap();
    // The second one runs, and waits for a time.
    rig.machine.become_cpu(CpuId(2));
    let first = rig.hv.sched.pick().unwrap();
    let later = rig.machine.now() + 1_000_000_000;
    first.sched.block();
    rig.hv.sched.put(first.clone(), later);
    rig.machine.become_cpu(CpuId(0));
    assert_eq!(vcpus.iter().map(|vcpu| vcpu.sched.home()).collect::<Vec<_>>(), [CpuId(2); 2]);

    pools.op(CPUPOOL_OP_RMCPU, 0, 2).unwrap();
    assert!(rig.hv.sched.is_deserted(CpuId(2)));
    for vcpu in &vcpus {
        assert!(vcpu.sched.home() != CpuId(2));
        assert_eq!(vcpu.sched.state(), State::Queued, "who sleeps looks at its clock elsewhere");
        assert_eq!(vcpu.sched.affinity(), CpuMask(u64::MAX), "to be confined to nothing is to be free");
    }
    assert!(first.has_work());
}

/// The call goes on until who runs on the CPU has left it.
#[test]
fn a_cpu_that_runs_a_vcpu_is_waited_for() {
    let pools = Pools::new();
    let rig = &pools.0;
    let hv = &rig.hv;
    let id = pools.guest_in(0).unwrap();
    let vcpu = hv.domain(DomId(id)).unwrap().vcpu(VcpuId(0)).unwrap();
    hv.sched.set_affinity(&vcpu, CpuMask(0b0110));
    hv.bring_up(&vcpu);
    rig.ctl(UNPAUSEDOMAIN, id, [0u64; 0]).unwrap();
    let cpu = vcpu.sched.home();
    rig.machine.become_cpu(cpu);
    let runs = hv.sched.pick().unwrap();
    rig.machine.become_cpu(CpuId(0));
    rig.machine.take_kicks();
    assert_eq!(hv.switch_cpu_off(cpu), Ok(Progress::More));
    assert_eq!(rig.machine.take_kicks(), 1 << cpu.0);
    assert_eq!(hv.switch_cpu_off(CpuId(3)), Err(PoolError::Leaving(cpu)), "one after the other");
    assert_eq!(hv.add_cpu(PoolId::ZERO, Some(cpu)), Err(PoolError::Leaving(cpu)));
    assert!(!hv.free_cpus().contains(cpu) && rig.machine.off() == 0);
    rig.machine.become_cpu(cpu);
    assert!(hv.sched.should_reschedule());
    hv.sched.put(runs, Nanos::NEVER);
    assert!(hv.sched.pick().is_none());
    rig.machine.become_cpu(CpuId(0));
    assert_eq!(hv.switch_cpu_off(cpu), Ok(Progress::Done));
    assert_eq!(rig.machine.off(), 1 << cpu.0);
    assert_eq!(vcpu.sched.state(), State::Queued);
    assert!(vcpu.sched.home() != cpu);
}

#[test]
fn cpus_go_off_and_on() {
    let pools = Pools::new();
    let rig = &pools.0;
    let (on, off) = (CPU_HOTPLUG_ONLINE, CPU_HOTPLUG_OFFLINE);
    assert_eq!(pools.hotplug(off, 0), Err(no(Errno::EINVAL)), "the boot CPU");
    assert_eq!([pools.hotplug(off, 4), pools.hotplug(on, 4)], [Err(no(Errno::EINVAL)); 2]);
    assert_eq!(pools.hotplug(on, 1), Err(no(Errno::EINVAL)), "it is on");
    assert_eq!(pools.hotplug(CPU_HOTPLUG_SMT_DISABLE, 0), Err(no(Errno::EOPNOTSUPP)));
    pools.hotplug(off, 1).unwrap();
    assert_eq!(pools.hotplug(off, 1), Err(no(Errno::EINVAL)), "it is off");
    assert_eq!((pools.info(0), pools.free(), rig.machine.off()), (Ok((0, 1, 0b1101)), 0, 0b10));
    assert_eq!(rig.sysctl(PHYSINFO, PhysInfo::default()).unwrap().nr_cpus, 3);
    assert_eq!(pools.op(CPUPOOL_OP_ADDCPU, 0, 1).map(drop), Err(no(Errno::ENODEV)), "it is off");
    assert_eq!(pools.op(CPUPOOL_OP_RMCPU, 0, 1).map(drop), Err(no(Errno::ENODEV)));
    let at = rig.control.room(64);
    let arg = CpuTopoInfo { num_cpus: 4, cputopo: Handle64::from_raw(at), ..Default::default() };
    rig.sysctl(CPUTOPOINFO, arg).unwrap();
    assert_eq!(rig.control.get_all::<CpuTopo>(at, 2)[1].core, INVALID_CORE_ID);

    // Domain 0's kernel has its own way, and none of its CPUs may be off already.
    let platform = |cmd, cpuid| rig.platform(cmd, CpuOl { cpuid }).map(drop);
    let flags =
        |xen_cpuid| rig.platform(GET_CPUINFO, Pcpuinfo { xen_cpuid, ..Pcpuinfo::default() }).unwrap().flags;
    assert_eq!((flags(1), flags(2)), (PcpuFlags::empty(), PcpuFlags::ONLINE));
    assert_eq!([platform(CPU_OFFLINE, 1), platform(CPU_OFFLINE, 2)], [Ok(()); 2]);
    assert_eq!(platform(CPU_OFFLINE, 0), Err(no(Errno::EOPNOTSUPP)));
    assert_eq!(platform(CPU_OFFLINE, 4), Err(no(Errno::EINVAL)));
    assert_eq!([1, 1, 2].map(|cpu| platform(CPU_ONLINE, cpu)), [Ok(()); 3]);
    assert_eq!((pools.info(0), rig.machine.off()), (Ok((0, 1, 0xf)), 0));

    // Free CPUs may go; those of other pools may not.
    let pool = pools.create();
    pools.give(pool, 3);
    assert_eq!(pools.hotplug(off, 3), Err(no(Errno::ENODEV)));
    pools.op(CPUPOOL_OP_RMCPU, pool, 3).unwrap();
    pools.hotplug(off, 3).unwrap();
    assert_eq!(pools.free(), 0);
    pools.hotplug(on, 3).unwrap();
    assert_eq!((pools.info(0), pools.free()), (Ok((0, 1, 0xf)), 0), "it joins pool 0, as with Xen");
    (1..4).for_each(|cpu| pools.hotplug(off, cpu).unwrap());
    assert_eq!(pools.info(0), Ok((0, 1, 1)));
}
