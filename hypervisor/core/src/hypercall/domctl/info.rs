//! What a domain is and has.

use hypercall_abi::abi::Word;
use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::{CreateFlags, DomInf, Domctl, GetDomainInfo};
use hypercall_abi::sysctl::GetDomainInfoList;
use hypercall_abi::tenon::{ExitKind, HOLDINGS_END, Holdings, VcpuAccount};

use super::{Call, Machine, On, Outcome, Result, ensure, refuse};
use crate::domain::{Domain, Stage};
use crate::frame::Gfn;
use crate::hypervisor::Hypervisor;
use crate::ids::DomId;
use crate::sched::{RunTimes, State};

pub(super) fn get<M: Machine>(call: &Call<'_, M>, ctl: &mut Domctl) -> Result {
    let from = DomId(ctl.domain);
    ensure!(from.is_real(), EINVAL, "{:#x} is no domain's number", from.0);
    let Some(domain) = call.hv.domain_from(from) else {
        refuse!(ESRCH, "there is no domain from number {} on", from.0)
    };
    ctl.domain = domain.id.0;
    ctl.set_payload(describe(call.hv, &domain));
    Ok(Outcome::OK)
}

/// Everything that the tools show of a domain.
pub(in crate::hypercall) fn describe<M: Machine>(hv: &Hypervisor<M>, domain: &Domain<M>) -> GetDomainInfo {
    let now = hv.machine.now();
    let mut flags = DomInf::HVM_GUEST | DomInf::HAP;
    let mut info = GetDomainInfo::default();
    let mut blocked = true;
    for vcpu in &domain.vcpus {
        info.cpu_time = info.cpu_time.saturating_add(ran(&vcpu.sched.times(now)));
        if vcpu.is_online() {
            info.nr_online_vcpus += 1;
            blocked &= vcpu.sched.is_blocked();
            if matches!(vcpu.sched.state(), State::Running(_)) {
                flags |= DomInf::RUNNING;
            }
        }
    }
    flags.set(DomInf::BLOCKED, blocked);
    flags.set(DomInf::DYING, domain.life.stage() == Stage::Dead);
    flags.set(DomInf::PAUSED, domain.life.pauses() != 0);
    flags.set(DomInf::XS_DOMAIN, domain.config.flags & CreateFlags::XS_DOMAIN.bits() != 0);
    if let Some(reason) = domain.life.shutdown() {
        let reason = (reason & abi::DOMINF_SHUTDOWN_MASK) << abi::DOMINF_SHUTDOWN_SHIFT;
        flags |= DomInf::SHUTDOWN | DomInf::from_bits_retain(reason);
    }
    info.domain = domain.id.0;
    info.flags = flags;
    info.tot_pages = domain.memory.frames().into();
    info.outstanding_pages = hv.machine.table().claimed(Some(domain.id));
    info.max_pages = domain.memory.max_frames().into();
    // The guest chooses where it maps the page, and no table leads from machine frames back to guest frames.
    info.shared_info_frame = u64::MAX;
    info.max_vcpu_id = domain.config.max_vcpus.wrapping_sub(1);
    info.cpupool = domain.pool().0;
    info.handle = *domain.handle.lock();
    info.gpaddr_bits = hv.machine.guest_features().physical_bits;
    info.arch_config = domain.arch_config();
    info
}

/// Time spent running, in ns.
fn ran(times: &RunTimes) -> u64 {
    times.spent.get(RunTimes::RUNNING).copied().unwrap_or(0)
}

pub(super) fn vcpu<M: Machine>(on: &On<'_, M>, info: &mut abi::GetVcpuInfo) -> Result<()> {
    let vcpu = on.vcpu(info.vcpu)?;
    let state = vcpu.sched.state();
    info.online = vcpu.is_online().into();
    info.blocked = vcpu.sched.is_blocked().into();
    info.running = matches!(state, State::Running(_)).into();
    info.cpu_time = ran(&vcpu.sched.times(on.call.hv.machine.now()));
    info.cpu = match state {
        State::Running(cpu) => cpu.0,
        State::Parked | State::Queued | State::Capped => vcpu.sched.home().0,
    };
    Ok(())
}

/// Tenon's own: everything that a vCPU did, for `tenon top`.
pub(super) fn account<M: Machine>(on: &On<'_, M>, account: &mut VcpuAccount) -> Result<()> {
    let vcpu = on.vcpu(account.vcpu)?;
    let now = on.call.hv.machine.now();
    account.now = now.0;
    account.spent = vcpu.sched.times(now).spent;
    on.call.write_all(account.exits.get(), account.kinds, vcpu.exits.read())?;
    account.kinds = ExitKind::COUNT as u32;
    Ok(())
}

/// The list of domains.
pub(in crate::hypercall) fn list<M: Machine>(call: &Call<'_, M>, op: &mut GetDomainInfoList) -> Result<()> {
    call.hv.bury_the_dead();
    let domains = call.hv.domains_from(DomId(op.first_domain)).map(|domain| describe(call.hv, &domain));
    op.num_domains = call.write_all(op.buffer.get(), op.max_domains, domains)?;
    Ok(())
}

/// What another domain holds of this one: first its grant mappings are looked at, then its address space, so many places
/// in one call.
pub(super) fn holdings<M: Machine>(on: &On<'_, M>, op: &mut Holdings) -> Result<()> {
    const BUDGET: u32 = 2048;
    /// Places from here on are guest frames, those before are grant handles.
    const FRAMES: u64 = 1 << 32;
    let holder = on.call.other(op.holder)?;
    if let Ok(handle) = u32::try_from(op.at) {
        let (count, next) = holder.maptrack.lock().count(on.domain.id, handle, BUDGET);
        (op.grants, op.frames, op.at) = (count, 0, next.map_or(FRAMES, u64::from));
    } else {
        let from = Gfn(op.at - FRAMES);
        let (count, next) = holder.memory.count_foreign(on.domain.id, from, BUDGET);
        (op.grants, op.frames, op.at) = (0, count, next.map_or(HOLDINGS_END, |gfn| FRAMES + gfn.0));
    }
    Ok(())
}
