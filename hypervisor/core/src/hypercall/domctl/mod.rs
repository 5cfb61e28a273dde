//! `domctl` (`public/domctl.h`): how the tools make, watch and end domains.
//!
//! Only the control domain may call. Commands that Tenon does not have are refused by name, so that the log tells what a
//! tool wanted.

/// The general registers by their names in the interface's structures.
macro_rules! gprs {
    ($with:ident) => {
        $with! {
            rax: Rax, rbx: Rbx, rcx: Rcx, rdx: Rdx, rbp: Rbp, rsi: Rsi, rdi: Rdi, rsp: Rsp,
            r8: R8, r9: R9, r10: R10, r11: R11, r12: R12, r13: R13, r14: R14, r15: R15,
        }
    };
}

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
use hypercall_abi::tenon;

pub(super) use info::{describe, list as list_domains};
pub(super) use policy::write_leaves;
pub(super) use sched::scheduler;

use super::command::{Command, command};
use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::domain::{Domain, VcpuRef};
use crate::ids::{DomId, VcpuId};

pub(super) fn domctl<M: Machine>(call: &mut Call<'_, M>) -> Result {
    command(call, run)
}

fn run<M: Machine>(call: &mut Call<'_, M>, ctl: &mut Domctl) -> Result {
    match ctl.cmd {
        abi::CREATEDOMAIN => return create::create(call, ctl),
        abi::GETDOMAININFO => return info::get(call, ctl),
        _ => {}
    }
    let Some(domain) = call.hv.domain(DomId(ctl.domain)) else {
        refuse!(ESRCH, "domctl {}: there is no domain {}", ctl.cmd, ctl.domain)
    };
    let on = &On { call, domain };
    match ctl.cmd {
        abi::DESTROYDOMAIN => return life::destroy(on),
        abi::PAUSEDOMAIN => life::pause(on)?,
        abi::UNPAUSEDOMAIN => life::unpause(on)?,
        abi::RESUMEDOMAIN => life::resume(on)?,
        abi::SETDOMAINHANDLE => {
            let abi::SetDomainHandle { handle } = ctl.payload();
            *on.domain.handle.lock() = handle;
        }
        abi::MAX_VCPUS => create::max_vcpus(on, ctl.payload())?,
        abi::MAX_MEM => memory::max_mem(on, ctl.payload())?,
        abi::SHADOW_OP => ctl.with(|op| memory::shadow_op(on, op))?,
        abi::GET_PAGING_MEMPOOL_SIZE => ctl.set_payload(memory::paging_pool(on)),
        abi::SET_PAGING_MEMPOOL_SIZE => memory::set_paging_pool(on, ctl.payload())?,
        abi::GETVCPUINFO => ctl.with(|op| info::vcpu(on, op))?,
        abi::GETVCPUAFFINITY => affinity::get(on, &ctl.payload())?,
        abi::SETVCPUAFFINITY => affinity::set(on, &ctl.payload())?,
        abi::GETNODEAFFINITY => affinity::node(on, ctl.payload())?,
        abi::SETNODEAFFINITY => affinity::set_node(on, ctl.payload())?,
        abi::SCHEDULER_OP => ctl.with(|op| sched::scheduler_op(on, op))?,
        abi::GETHVMCONTEXT => ctl.with(|op| context::get(on, op))?,
        abi::GETHVMCONTEXT_PARTIAL => ctl.with(|op| context::get_one(on, op))?,
        abi::SETHVMCONTEXT => context::set(on, ctl.payload())?,
        abi::GETVCPUCONTEXT => registers::get(on, ctl.payload())?,
        abi::SETVCPUCONTEXT => registers::set(on, ctl.payload())?,
        abi::GET_CPU_POLICY => ctl.with(|op| policy::get(on, op))?,
        abi::SET_CPU_POLICY => policy::set(on, ctl)?,
        abi::GETTSCINFO => ctl.set_payload(time::tsc(on)),
        abi::SETTSCINFO => time::set_tsc(on, ctl.payload())?,
        abi::SETTIMEOFFSET => time::set_offset(on, ctl.payload()),
        tenon::HOLDINGS => ctl.with(|op| info::holdings(on, op))?,
        tenon::VCPU_ACCOUNT => ctl.with(|op| info::account(on, op))?,
        abi::SENDTRIGGER => life::trigger(on, ctl.payload())?,
        cmd => return unsupported(cmd),
    }
    Ok(Outcome::OK)
}

/// What Tenon does not do, and why.
fn unsupported(cmd: u32) -> Result {
    let what = match cmd {
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
        _ => refuse!(ENOSYS, "domctl {cmd} is not known"),
    };
    refuse!(EOPNOTSUPP, "domctl {cmd}: {what}")
}

/// The domain that a command is about, and who calls.
struct On<'a, M: Machine> {
    call: &'a Call<'a, M>,
    domain: Arc<Domain<M>>,
}

impl<M: Machine> On<'_, M> {
    /// A vCPU that an argument names.
    fn vcpu(&self, id: u32) -> Result<VcpuRef<M>> {
        match self.domain.vcpu(VcpuId(id)) {
            Some(vcpu) => Ok(vcpu),
            None => refuse!(EINVAL, "{} has no vCPU {id}", self.domain.id),
        }
    }

    /// Refuses what a domain cannot have done to itself.
    fn not_oneself(&self) -> Result<()> {
        let caller = self.call.domain();
        ensure!(!Arc::ptr_eq(caller, &self.domain), EINVAL, "{} cannot do that to itself", caller.id);
        Ok(())
    }
}
