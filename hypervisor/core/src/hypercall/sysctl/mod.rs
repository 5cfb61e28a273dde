//! `sysctl` (`public/sysctl.h`): the hypervisor and the machine as a whole, for the tools.
//!
//! As with `domctl`: for the control domain only, copied in once, copied back if a handler changed it, and what Tenon
//! does not have is refused by name.

mod console;
mod domains;
mod features;
mod host;
mod pool;
mod topology;

use hypercall_abi::sysctl as abi;
use hypercall_abi::sysctl::Sysctl;

use topology::Topology;

use super::{Call, Outcome, Refused};
use crate::machine::Machine;
use crate::refuse;

pub(super) fn sysctl<M: Machine>(call: &mut Call<'_, M>) -> Result<Outcome, Refused> {
    call.must_be_privileged()?;
    let arg = call.args[0];
    let before: Sysctl = call.read(arg)?;
    if before.interface_version != abi::INTERFACE_VERSION {
        refuse!(EACCES, "sysctl version {:#x}, not {:#x}", before.interface_version, abi::INTERFACE_VERSION);
    }
    let mut ctl = before;
    let result = run(call, &mut ctl);
    if ctl != before {
        call.write(arg, &ctl)?;
    }
    result
}

fn run<M: Machine>(call: &mut Call<'_, M>, ctl: &mut Sysctl) -> Result<Outcome, Refused> {
    match ctl.cmd {
        abi::READCONSOLE => console::read(call, ctl)?,
        abi::DEBUG_KEYS => console::debug_keys(call, ctl)?,
        abi::GETDOMAININFOLIST => domains::list(call, ctl)?,
        abi::PHYSINFO => host::physinfo(call, ctl),
        abi::AVAILHEAP => host::availheap(call, ctl)?,
        abi::GET_CPU_LEVELLING_CAPS => {
            ctl.set_payload(abi::CpuLevellingCaps { caps: abi::LevelCaps::empty() });
        }
        abi::GET_CPU_FEATURESET => features::featureset(call, ctl)?,
        abi::GET_CPU_POLICY => features::policy(call, ctl)?,
        abi::CPUTOPOINFO => topology::cpus(call, ctl)?,
        abi::NUMAINFO => topology::nodes(call, ctl)?,
        abi::PCITOPOINFO => topology::devices(call, ctl)?,
        abi::GETCPUINFO => topology::idle(call, ctl)?,
        abi::SCHED_ID => ctl.set_payload(abi::SchedId { sched_id: super::domctl::SCHEDULER }),
        abi::SCHEDULER_OP => pool::scheduler_op(ctl)?,
        abi::CPUPOOL_OP => pool::cpupool_op(call, ctl)?,
        cmd => match name(cmd) {
            Some(what) => refuse!(EOPNOTSUPP, "sysctl {cmd}: {what}"),
            None => refuse!(ENOSYS, "sysctl {cmd} is not known"),
        },
    }
    Ok(Outcome::OK)
}

/// What Tenon does not do, and why.
fn name(cmd: u32) -> Option<&'static str> {
    Some(match cmd {
        abi::TBUF_OP => "there is no trace buffer",
        abi::CPU_HOTPLUG => "CPUs are not switched on and off",
        abi::PAGE_OFFLINE_OP => "pages are not taken out of use",
        abi::GET_PMSTAT | abi::PM_OP => "frequencies and sleep states are left to the firmware",
        abi::PSR_CMT_OP | abi::PSR_ALLOC => "cache monitoring and allocation are not supported",
        abi::LIVEPATCH_OP => "live patches are not supported",
        _ => return None,
    })
}
