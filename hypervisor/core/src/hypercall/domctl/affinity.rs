//! On which CPUs a domain's vCPUs run.

use alloc::sync::Arc;

use hypercall_abi::abi::Word;
use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::{AffinityFlags, Domctl};
use hypercall_abi::xen::CtlBitmap;

use super::vcpu_of;
use crate::domain::Domain;
use crate::hypercall::{Call, Outcome, Refused};
use crate::hypervisor::Hypervisor;
use crate::machine::{CpuMask, Machine};
use crate::refuse;

/// The CPUs that run guests: the one pool.
pub(in crate::hypercall) fn online<M: Machine>(hv: &Hypervisor<M>) -> CpuMask {
    hv.sched.pool()
}

/// Reads the first 64 bits of a bitmap of the caller's; further ones cannot name anything.
fn read_bitmap<M: Machine>(call: &Call<'_, M>, map: &CtlBitmap) -> Result<u64, Refused> {
    let mut bytes = [0; 8];
    let len = map.nr_bits.div_ceil(8).min(8) as usize;
    if map.bitmap.is_null() && len != 0 {
        refuse!(EFAULT, "a bitmap of {} bits without a buffer", map.nr_bits);
    }
    call.read_bytes(map.bitmap.get(), bytes.get_mut(..len).unwrap_or(&mut []))?;
    let used = map.nr_bits.min(64);
    Ok(u64::from_le_bytes(bytes) & u64::MAX.checked_shr(64 - used).unwrap_or(0))
}

/// Writes a bitmap to the caller, as far as there is room; what is beyond 64 bits of room is cleared.
pub(in crate::hypercall) fn write_bitmap<M: Machine>(
    call: &Call<'_, M>,
    map: &CtlBitmap,
    bits: u64,
) -> Result<(), Refused> {
    /// More bits than any tool has room for.
    const MAX_BITS: u32 = 4096;
    if map.nr_bits > MAX_BITS {
        refuse!(E2BIG, "a bitmap of {} bits; {MAX_BITS} are the most", map.nr_bits);
    }
    let len = map.nr_bits.div_ceil(8) as usize;
    let mut bytes = [0; (MAX_BITS / 8) as usize];
    let bits = bits & u64::MAX.checked_shr(64 - map.nr_bits.min(64)).unwrap_or(0);
    for (to, from) in bytes.iter_mut().zip(bits.to_le_bytes()) {
        *to = from;
    }
    call.write_bytes(map.bitmap.get(), bytes.get(..len).unwrap_or(&[]))
}

/// The scheduler knows hard affinity only. A soft one is a wish, granted as far as the hard one: what is reported is
/// what came of it.
pub(super) fn vcpu<M: Machine>(
    call: &Call<'_, M>,
    domain: &Arc<Domain<M>>,
    ctl: &mut Domctl,
) -> Result<Outcome, Refused> {
    let op: abi::VcpuAffinity = ctl.payload();
    let vcpu = vcpu_of(domain, op.vcpu)?;
    let known = AffinityFlags::HARD | AffinityFlags::SOFT | AffinityFlags::FORCE;
    if op.flags.difference(known) != AffinityFlags::empty() || op.flags.is_empty() {
        refuse!(EINVAL, "affinity flags {:#x} are not known", op.flags.bits());
    }
    if ctl.cmd == abi::SETVCPUAFFINITY && op.flags.contains(AffinityFlags::HARD) {
        let wanted = CpuMask(read_bitmap(call, &op.cpumap_hard)?);
        if wanted.0 & online(call.hv).0 == 0 {
            refuse!(EINVAL, "none of the CPUs {:#x} runs guests", wanted.0);
        }
        call.hv.sched.set_affinity(&vcpu, wanted);
    }
    let effective = vcpu.sched.affinity().0 & online(call.hv).0;
    if op.flags.contains(AffinityFlags::HARD) {
        write_bitmap(call, &op.cpumap_hard, effective)?;
    }
    if op.flags.contains(AffinityFlags::SOFT) {
        write_bitmap(call, &op.cpumap_soft, effective)?;
    }
    Ok(Outcome::OK)
}

/// There is one node.
pub(super) fn node<M: Machine>(call: &Call<'_, M>, ctl: &Domctl) -> Result<Outcome, Refused> {
    let abi::NodeAffinity { nodemap } = ctl.payload();
    if ctl.cmd == abi::GETNODEAFFINITY {
        write_bitmap(call, &nodemap, 1)?;
    } else if read_bitmap(call, &nodemap)? & 1 == 0 {
        refuse!(EINVAL, "node 0 is the only one");
    }
    Ok(Outcome::OK)
}
