//! On which CPUs a domain's vCPUs run.

use hypercall_abi::domctl::{AffinityFlags, NodeAffinity, VcpuAffinity};

use super::{Machine, On, Result, ensure, refuse};
use crate::hypercall::command::{read_bitmap, write_bitmap};
use crate::machine::CpuMask;

/// Changes (`set`) and reports affinity. The scheduler knows the hard one only. A soft one is a wish, granted as far as
/// the hard one: what is reported is what came of it.
pub(super) fn vcpu<M: Machine>(on: &On<'_, M>, op: &VcpuAffinity, set: bool) -> Result<()> {
    let vcpu = on.vcpu(op.vcpu)?;
    let known = AffinityFlags::HARD | AffinityFlags::SOFT | AffinityFlags::FORCE;
    if op.flags.difference(known) != AffinityFlags::empty() || op.flags.is_empty() {
        refuse!(EINVAL, "affinity flags {:#x} are not known", op.flags.bits());
    }
    let online = on.call.hv.sched.pool().0;
    if set && op.flags.contains(AffinityFlags::HARD) {
        let wanted = CpuMask(read_bitmap(on.call, &op.cpumap_hard)?);
        ensure!(wanted.0 & online != 0, EINVAL, "none of the CPUs {:#x} runs guests", wanted.0);
        on.call.hv.sched.set_affinity(&vcpu, wanted);
    }
    let effective = vcpu.sched.affinity().0 & online;
    for (kind, map) in [(AffinityFlags::HARD, &op.cpumap_hard), (AffinityFlags::SOFT, &op.cpumap_soft)] {
        if op.flags.contains(kind) {
            write_bitmap(on.call, map, effective)?;
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
