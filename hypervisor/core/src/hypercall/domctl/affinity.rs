//! On which CPUs a domain's vCPUs run.

use hypercall_abi::abi::Word;
use hypercall_abi::domctl::{AffinityFlags, NodeAffinity, VcpuAffinity};
use hypercall_abi::xen::CtlBitmap;

use super::{Machine, On, ensure, refuse};
use crate::hypercall::{Call, Result};
use crate::machine::CpuMask;

/// Reads the first 64 bits of a bitmap of the caller's; further ones cannot name anything.
fn read_bitmap<M: Machine>(call: &Call<'_, M>, map: &CtlBitmap) -> Result<u64> {
    let mut bytes = [0; 8];
    let len = map.nr_bits.div_ceil(8).min(8) as usize;
    ensure!(!map.bitmap.is_null() || len == 0, EFAULT, "a bitmap of {} bits without a buffer", map.nr_bits);
    call.read_bytes(map.bitmap.get(), bytes.get_mut(..len).unwrap_or(&mut []))?;
    let used = map.nr_bits.min(64);
    Ok(u64::from_le_bytes(bytes) & u64::MAX.checked_shr(64 - used).unwrap_or(0))
}

/// Writes a bitmap to the caller, as far as there is room; what is beyond 64 bits of room is cleared.
pub(in crate::hypercall) fn write_bitmap<M: Machine>(
    call: &Call<'_, M>,
    map: &CtlBitmap,
    bits: u64,
) -> Result<()> {
    /// More bits than any tool has room for.
    const MAX_BITS: u32 = 4096;
    ensure!(map.nr_bits <= MAX_BITS, E2BIG, "a bitmap of {} bits; {MAX_BITS} are the most", map.nr_bits);
    let len = map.nr_bits.div_ceil(8) as usize;
    let mut bytes = [0; (MAX_BITS / 8) as usize];
    let bits = bits & u64::MAX.checked_shr(64 - map.nr_bits.min(64)).unwrap_or(0);
    for (to, from) in bytes.iter_mut().zip(bits.to_le_bytes()) {
        *to = from;
    }
    call.write_bytes(map.bitmap.get(), bytes.get(..len).unwrap_or(&[]))
}

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
