//! What CPUs have and what guests get of it.

use hypercall_abi::abi::Word;
use hypercall_abi::arch::CpuidLeaf;
use hypercall_abi::sysctl as abi;
use hypercall_abi::sysctl::{CpuFeatureset, CpuPolicy, Sysctl};
use hypercall_abi::xen::DOMID_INVALID;

use super::host::{WORDS, feature_words};
use super::{Call, Machine, Result, ensure, refuse};
use crate::cpuid::{self, Policy, Vcpu};
use crate::hypercall::domctl::write_leaves;
use crate::ids::{DomId, VcpuId};

/// Room for any list of leaves.
const MAX_LEAVES: u32 = 256;
/// Room for any list of MSRs.
const MAX_MSRS: u32 = 2;

/// What a domain of one vCPU gets.
fn default_policy<M: Machine>(call: &Call<'_, M>) -> Policy {
    Policy::for_domain(call.hv.machine, call.hv.stable_tsc, DomId(DOMID_INVALID), 1)
}

pub(super) fn featureset<M: Machine>(call: &Call<'_, M>, ctl: &mut Sysctl) -> Result<()> {
    let mut op: CpuFeatureset = ctl.payload();
    if op.features.is_null() {
        op.nr_features = WORDS as u32;
        ctl.set_payload(op);
        return Ok(());
    }
    let words = match op.index {
        abi::CPU_FEATURESET_RAW | abi::CPU_FEATURESET_HOST => {
            feature_words(|leaf, subleaf| call.hv.machine.cpuid(leaf, subleaf))
        }
        abi::CPU_FEATURESET_HVM | abi::CPU_FEATURESET_HVM_MAX => {
            let policy = default_policy(call);
            let vcpu = Vcpu { id: VcpuId(0), apic_id: 0, cr4: 0, xcr0: 1 };
            feature_words(|leaf, subleaf| policy.query(leaf, subleaf, &vcpu))
        }
        abi::CPU_FEATURESET_PV | abi::CPU_FEATURESET_PV_MAX => {
            refuse!(EOPNOTSUPP, "there are no paravirtualized guests")
        }
        index => refuse!(EINVAL, "feature set {index} is not known"),
    };
    op.nr_features = call.write_all(op.features.get(), op.nr_features, words.into_iter())?;
    ctl.set_payload(op);
    let shown = op.nr_features as usize;
    ensure!(shown == WORDS, ENOBUFS, "room for {shown} feature words of {WORDS}");
    Ok(())
}

pub(super) fn policy<M: Machine>(call: &Call<'_, M>, op: &mut CpuPolicy) -> Result<()> {
    let of_host = match op.index {
        _ if op.reserved != 0 => refuse!(EINVAL, "a reserved field is {:#x}", op.reserved),
        abi::CPU_POLICY_RAW | abi::CPU_POLICY_HOST => true,
        abi::CPU_POLICY_HVM_MAX | abi::CPU_POLICY_HVM_DEFAULT => false,
        abi::CPU_POLICY_PV_MAX | abi::CPU_POLICY_PV_DEFAULT => {
            refuse!(EOPNOTSUPP, "there are no paravirtualized guests")
        }
        index => refuse!(EINVAL, "CPU policy {index} is not known"),
    };
    op.nr_leaves = if op.leaves.is_null() {
        MAX_LEAVES
    } else if of_host {
        write_leaves(call, host_leaves(call.hv.machine), op.leaves.get(), op.nr_leaves)?
    } else {
        write_leaves(call, default_policy(call).entries(), op.leaves.get(), op.nr_leaves)?
    };
    op.nr_msrs = if op.msrs.is_null() { MAX_MSRS } else { 0 };
    Ok(())
}

/// The leaves of the machine's own CPUID that a policy has.
fn host_leaves(machine: impl Machine) -> impl Iterator<Item = CpuidLeaf> {
    let [max, ..] = machine.cpuid(0, 0);
    let [max_extended, ..] = machine.cpuid(0x8000_0000, 0);
    let basic = (0..=max.min(0xd)).flat_map(|leaf| {
        let subleaves = match leaf {
            4 => 0..6,
            7 | 0xb => 0..2,
            0xd => 0..20,
            _ => 0..0,
        };
        let single = subleaves.is_empty().then_some((leaf, None));
        single.into_iter().chain(subleaves.map(move |subleaf| (leaf, Some(subleaf))))
    });
    let extended = (0x8000_0000..=max_extended.min(0x8000_0021)).map(|leaf| (leaf, None));
    let answer = move |leaf, subleaf| machine.cpuid(leaf, subleaf);
    basic.chain(extended).map(move |(leaf, subleaf)| cpuid::entry(leaf, subleaf, answer))
}
