//! `domctl` (`public/domctl.h`): how the tools make, watch and end domains.
//!
//! Only the control domain may call. The command is copied in once; a handler changes that copy, and what it changed is
//! copied back, also when it refuses (some refusals say more there). Commands that Tenon does not have are refused by
//! name, so that the log tells what a tool wanted.

mod affinity;
mod context;
mod create;
mod info;
mod life;
mod memory;
mod policy;
mod records;
mod registers;
mod sched;
mod time;

use alloc::sync::Arc;

use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::Domctl;

pub(super) use affinity::{online, write_bitmap};
pub(super) use info::describe;
pub(super) use policy::write_leaves;
pub(super) use sched::SCHEDULER;

use super::{Call, Outcome, Refused};
use crate::domain::{Domain, VcpuRef};
use crate::ids::{DomId, VcpuId};
use crate::machine::Machine;
use crate::refuse;

pub(super) fn domctl<M: Machine>(call: &mut Call<'_, M>) -> Result<Outcome, Refused> {
    call.must_be_privileged()?;
    let arg = call.args[0];
    let before: Domctl = call.read(arg)?;
    if before.interface_version != abi::INTERFACE_VERSION {
        refuse!(EACCES, "domctl version {:#x}, not {:#x}", before.interface_version, abi::INTERFACE_VERSION);
    }
    let mut ctl = before;
    let result = run(call, &mut ctl);
    if ctl != before {
        call.write(arg, &ctl)?;
    }
    result
}

fn run<M: Machine>(call: &mut Call<'_, M>, ctl: &mut Domctl) -> Result<Outcome, Refused> {
    match ctl.cmd {
        abi::CREATEDOMAIN => return create::create(call, ctl),
        abi::GETDOMAININFO => return info::get(call, ctl),
        _ => {}
    }
    let Some(domain) = call.hv.domain(DomId(ctl.domain)) else {
        refuse!(ESRCH, "domctl {}: there is no domain {}", ctl.cmd, ctl.domain)
    };
    let domain = &domain;
    match ctl.cmd {
        abi::DESTROYDOMAIN => life::destroy(call, domain),
        abi::PAUSEDOMAIN => life::pause(call, domain),
        abi::UNPAUSEDOMAIN => life::unpause(call, domain),
        abi::RESUMEDOMAIN => life::resume(call, domain),
        abi::SETDOMAINHANDLE => info::set_handle(domain, ctl),
        abi::MAX_VCPUS => create::max_vcpus(domain, ctl),
        abi::MAX_MEM => memory::max_mem(domain, ctl),
        abi::SHADOW_OP => memory::shadow_op(domain, ctl),
        abi::GET_PAGING_MEMPOOL_SIZE | abi::SET_PAGING_MEMPOOL_SIZE => memory::paging_pool(domain, ctl),
        abi::GETVCPUINFO => info::vcpu(call, domain, ctl),
        abi::SETVCPUAFFINITY | abi::GETVCPUAFFINITY => affinity::vcpu(call, domain, ctl),
        abi::SETNODEAFFINITY | abi::GETNODEAFFINITY => affinity::node(call, ctl),
        abi::SCHEDULER_OP => sched::scheduler_op(domain, ctl),
        abi::GETHVMCONTEXT => context::get(call, domain, ctl),
        abi::GETHVMCONTEXT_PARTIAL => context::get_one(call, domain, ctl),
        abi::SETHVMCONTEXT => context::set(call, domain, ctl),
        abi::GETVCPUCONTEXT => registers::get(call, domain, ctl),
        abi::SETVCPUCONTEXT => registers::set(call, domain, ctl),
        abi::GET_CPU_POLICY => policy::get(call, domain, ctl),
        abi::SET_CPU_POLICY => policy::set(call, domain, ctl),
        abi::GETTSCINFO => time::get_tsc(call, domain, ctl),
        abi::SETTSCINFO => time::set_tsc(call, domain, ctl),
        abi::SETTIMEOFFSET => time::set_offset(call, domain, ctl),
        abi::SENDTRIGGER => life::trigger(call, domain, ctl),
        cmd => match name(cmd) {
            Some(what) => refuse!(EOPNOTSUPP, "domctl {cmd}: {what}"),
            None => refuse!(ENOSYS, "domctl {cmd} is not known"),
        },
    }
}

/// What Tenon does not do, and why.
fn name(cmd: u32) -> Option<&'static str> {
    Some(match cmd {
        abi::SET_ADDRESS_SIZE | abi::GET_ADDRESS_SIZE => "address sizes are for paravirtualized guests",
        abi::HYPERCALL_INIT => "guests install their hypercall page themselves",
        abi::IRQ_PERMISSION | abi::IOMEM_PERMISSION | abi::IOPORT_PERMISSION => {
            "the machine's devices belong to domain 0"
        }
        abi::MEMORY_MAPPING | abi::IOPORT_MAPPING | abi::BIND_PT_IRQ | abi::UNBIND_PT_IRQ => {
            "devices cannot be assigned to guests"
        }
        abi::ASSIGN_DEVICE | abi::TEST_ASSIGN_DEVICE | abi::DEASSIGN_DEVICE | abi::GET_DEVICE_GROUP => {
            "devices cannot be assigned to guests"
        }
        abi::GETPAGEFRAMEINFO3 => "only paravirtualized guests have page types",
        abi::SETDEBUGGING
        | abi::DEBUG_OP
        | abi::GDBSX_GUESTMEMIO
        | abi::GDBSX_PAUSEVCPU
        | abi::GDBSX_UNPAUSEVCPU
        | abi::GDBSX_DOMSTATUS => "debuggers are not supported",
        abi::SET_EXT_VCPUCONTEXT | abi::GET_EXT_VCPUCONTEXT => "virtual machine checks are not supported",
        abi::SETVCPUEXTSTATE | abi::GETVCPUEXTSTATE | abi::GET_VCPU_MSRS | abi::SET_VCPU_MSRS => {
            "this state is for moving paravirtualized guests"
        }
        abi::SET_TARGET => "device models are not supported",
        abi::SUBSCRIBE | abi::VM_EVENT_OP | abi::MONITOR_OP | abi::SET_ACCESS_REQUIRED => {
            "memory events are not supported"
        }
        abi::MEM_SHARING_OP | abi::AUDIT_P2M | abi::SET_BROKEN_PAGE_P2M => "pages are never shared",
        abi::SET_VIRQ_HANDLER => "global virtual interrupts go to domain 0",
        abi::CACHEFLUSH | abi::REAL_MODE_AREA | abi::VUART_OP => "not on x86",
        abi::SETVNUMAINFO => "virtual NUMA is not supported",
        abi::PSR_CMT_OP | abi::PSR_ALLOC => "cache allocation is not supported",
        abi::SOFT_RESET => "soft reset is not supported: destroy the domain and create it again",
        abi::VMTRACE_OP => "processor trace is not supported",
        _ => return None,
    })
}

/// A vCPU that an argument names.
fn vcpu_of<M: Machine>(domain: &Arc<Domain<M>>, vcpu: u32) -> Result<VcpuRef<M>, Refused> {
    match domain.vcpu(VcpuId(vcpu)) {
        Some(vcpu) => Ok(vcpu),
        None => refuse!(EINVAL, "{} has no vCPU {vcpu}", domain.id),
    }
}

/// Refuses what a domain cannot have done to itself.
fn not_oneself<M: Machine>(call: &Call<'_, M>, domain: &Arc<Domain<M>>) -> Result<(), Refused> {
    if Arc::ptr_eq(call.domain(), domain) {
        refuse!(EINVAL, "{} cannot do that to itself", domain.id);
    }
    Ok(())
}
