//! What CPUID answers in a domain, as a list of leaves.

use hypercall_abi::abi::Word;
use hypercall_abi::arch::{CpuidLeaf, MsrEntry};
use hypercall_abi::domctl::{CpuPolicy, Domctl};

use super::{Call, Machine, On, Result, ensure, refuse};

/// The most leaves that the tools pass: more than any policy has.
const MAX_LEAVES: u32 = 256;
/// MSRs of a policy in Xen: features of the platform, and of the CPU's speculation.
const POLICY_MSRS: [u32; 2] = [0xce, 0x10a];
/// What `err_leaf` and its siblings say if it was not them.
const NO_ERROR: u32 = u32::MAX;

/// Writes leaves to an array of the caller's that has room for `room`; returns how many there are. There are no MSRs to
/// report: a guest that reads them finds what the CPUID leaves imply.
pub(in crate::hypercall) fn write_leaves<M: Machine>(
    call: &Call<'_, M>,
    mut leaves: impl Iterator<Item = CpuidLeaf>,
    array: u64,
    room: u32,
) -> Result<u32> {
    let count = call.write_all(array, room, leaves.by_ref())?;
    ensure!(leaves.next().is_none(), ENOBUFS, "room for {room} CPUID leaves, and there are more");
    Ok(count)
}

pub(super) fn get<M: Machine>(on: &On<'_, M>, op: &mut CpuPolicy) -> Result<()> {
    let policy = on.domain.cpuid.read();
    if op.leaves.is_null() {
        op.nr_leaves = policy.entries().count() as u32;
    } else {
        op.nr_leaves = write_leaves(on.call, policy.entries(), op.leaves.get(), op.nr_leaves)?;
    }
    op.nr_msrs = 0;
    Ok(())
}

/// Takes features away. The policy that results is put in place as a whole or not at all.
pub(super) fn set<M: Machine>(on: &On<'_, M>, ctl: &mut Domctl) -> Result<()> {
    on.not_oneself()?;
    let op: CpuPolicy = ctl.payload();
    if op.nr_leaves > MAX_LEAVES || op.nr_msrs > POLICY_MSRS.len() as u32 {
        refuse!(E2BIG, "{} leaves and {} MSRs are more than a policy has", op.nr_leaves, op.nr_msrs);
    }
    ensure!(!on.domain.life.is_started(), EEXIST, "{} has run: its CPUs stay as they are", on.domain.id);
    let mut errors = CpuPolicy { err_leaf: NO_ERROR, err_subleaf: NO_ERROR, err_msr: NO_ERROR, ..op };
    let mut policy = on.domain.cpuid.read().clone();
    for i in 0..op.nr_leaves.into() {
        let leaf: CpuidLeaf = on.call.read_element(op.leaves.get(), i)?;
        if let Err(refused) = policy.restrict(&leaf) {
            (errors.err_leaf, errors.err_subleaf) = (leaf.leaf, leaf.subleaf);
            ctl.set_payload(errors);
            return Err(refused.into());
        }
    }
    for i in 0..op.nr_msrs.into() {
        let msr: MsrEntry = on.call.read_element(op.msrs.get(), i)?;
        if !POLICY_MSRS.contains(&msr.idx) || msr.flags != 0 || msr.val != 0 {
            errors.err_msr = msr.idx;
            ctl.set_payload(errors);
            refuse!(EINVAL, "MSR {:#x} = {:#x} is more than this host shows", msr.idx, msr.val);
        }
    }
    *on.domain.cpuid.write() = policy;
    Ok(())
}
