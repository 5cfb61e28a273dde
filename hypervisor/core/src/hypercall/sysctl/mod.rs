//! `sysctl` (`public/sysctl.h`): the hypervisor and the machine as a whole, for the tools.
//!
//! As with `domctl`: for the control domain only, and what Tenon does not have is refused by name.

mod console;
mod features;
mod host;
mod keys;
pub(super) mod pool;
mod topology;
mod trace;

use hypercall_abi::sysctl as abi;
use hypercall_abi::sysctl::Sysctl;

use super::command::{Command, command};
use super::domctl::{list_domains, scheduler};
use super::{Call, Machine, Outcome, Result, ensure, refuse};

pub(super) fn sysctl<M: Machine>(call: &mut Call<'_, M>) -> Result {
    command(call, run)
}

fn run<M: Machine>(call: &mut Call<'_, M>, ctl: &mut Sysctl) -> Result {
    match ctl.cmd {
        abi::READCONSOLE => ctl.with(|op| console::read(call, op))?,
        abi::DEBUG_KEYS => keys::debug_keys(call, ctl.payload())?,
        abi::GETDOMAININFOLIST => ctl.with(|op| list_domains(call, op))?,
        abi::TBUF_OP => ctl.with(|op| trace::tbuf_op(call, op))?,
        abi::PHYSINFO => ctl.set_payload(host::physinfo(call)),
        abi::AVAILHEAP => ctl.with(|op| host::availheap(call, op))?,
        abi::GET_CPU_LEVELLING_CAPS => {
            ctl.set_payload(abi::CpuLevellingCaps { caps: abi::LevelCaps::empty() });
        }
        abi::GET_CPU_FEATURESET => features::featureset(call, ctl)?,
        abi::GET_CPU_POLICY => ctl.with(|op| features::policy(call, op))?,
        abi::CPUTOPOINFO => ctl.with(|op| topology::cpus(call, op))?,
        abi::NUMAINFO => ctl.with(|op| topology::nodes(call, op))?,
        abi::PCITOPOINFO => ctl.with(|op| topology::devices(call, op))?,
        abi::GETCPUINFO => ctl.with(|op| topology::idle(call, op))?,
        abi::SCHED_ID => ctl.set_payload(abi::SchedId { sched_id: scheduler(call.hv) }),
        abi::SCHEDULER_OP => ctl.with(|op| pool::scheduler_op(call, op))?,
        abi::CPUPOOL_OP => return pool::cpupool_op(call, ctl),
        abi::CPU_HOTPLUG => return pool::cpu_hotplug(call, ctl.payload()),
        cmd => return unsupported(cmd),
    }
    Ok(Outcome::OK)
}

/// What Tenon does not do, and why.
fn unsupported(cmd: u32) -> Result {
    let what = match cmd {
        abi::PAGE_OFFLINE_OP => "pages are not taken out of use",
        abi::GET_PMSTAT | abi::PM_OP => "frequencies and sleep states are left to the firmware",
        abi::PSR_CMT_OP | abi::PSR_ALLOC => "cache monitoring and allocation are not supported",
        abi::LIVEPATCH_OP => "live patches are not supported",
        _ => refuse!(ENOSYS, "sysctl {cmd} is not known"),
    };
    refuse!(EOPNOTSUPP, "sysctl {cmd}: {what}")
}
