//! On which CPUs a domain's vCPUs run: the hard affinity is a rule, the soft one a wish.

use hypercall_abi::domctl::{AffinityFlags, NodeAffinity, VcpuAffinity};

use super::{Machine, On, Result, ensure, refuse};
use crate::domain::VcpuRef;
use crate::hypercall::command::{read_bitmap, write_bitmap};
use crate::machine::CpuMask;

/// Reports the affinities as they were set.
pub(super) fn get<M: Machine>(on: &On<'_, M>, op: &VcpuAffinity) -> Result<()> {
    let vcpu = vcpu(on, op)?;
    let all = CpuMask::first(on.call.hv.machine.cpus()).0;
    report(on, op, vcpu.sched.affinity().0 & all, vcpu.sched.soft_affinity().0 & all)
}

/// Changes affinities once all that are given have been read and found right, and reports what they come to on the CPUs
/// of the domain's pool. A map that cannot be written to is an error after the change.
pub(super) fn set<M: Machine>(on: &On<'_, M>, op: &VcpuAffinity) -> Result<()> {
    let vcpu = vcpu(on, op)?;
    let wanted = |kind, map| op.flags.contains(kind).then(|| read_bitmap(on.call, map)).transpose();
    let hard = wanted(AffinityFlags::HARD, &op.cpumap_hard)?;
    let soft = wanted(AffinityFlags::SOFT, &op.cpumap_soft)?;
    if let Some(hard) = hard {
        on.call.hv.confine(&vcpu, CpuMask(hard))?;
    }
    if let Some(soft) = soft {
        on.call.hv.sched.set_soft_affinity(&vcpu, CpuMask(soft));
    }
    let hard = vcpu.sched.affinity().0 & on.call.hv.sched.pool_cpus(on.domain.pool()).0;
    report(on, op, hard, vcpu.sched.soft_affinity().0 & hard)
}

/// The vCPU that is meant.
fn vcpu<M: Machine>(on: &On<'_, M>, op: &VcpuAffinity) -> Result<VcpuRef<M>> {
    let known = AffinityFlags::HARD | AffinityFlags::SOFT | AffinityFlags::FORCE;
    if op.flags.difference(known) != AffinityFlags::empty() || op.flags.is_empty() {
        refuse!(EINVAL, "affinity flags {:#x} are not known", op.flags.bits());
    }
    on.vcpu(op.vcpu)
}

/// Writes back the maps that are asked for.
fn report<M: Machine>(on: &On<'_, M>, op: &VcpuAffinity, hard: u64, soft: u64) -> Result<()> {
    let hard = (AffinityFlags::HARD, &op.cpumap_hard, hard);
    for (kind, map, cpus) in [hard, (AffinityFlags::SOFT, &op.cpumap_soft, soft)] {
        if op.flags.contains(kind) {
            write_bitmap(on.call, map, cpus)?;
        }
    }
    Ok(())
}

/// There is one node.
pub(super) fn node<M: Machine>(on: &On<'_, M>, op: NodeAffinity) -> Result<()> {
    write_bitmap(on.call, &op.nodemap, 1)
}

pub(super) fn set_node<M: Machine>(on: &On<'_, M>, op: NodeAffinity) -> Result<()> {
    ensure!(read_bitmap(on.call, &op.nodemap)? & 1 != 0, EINVAL, "node 0 is the only one");
    Ok(())
}
