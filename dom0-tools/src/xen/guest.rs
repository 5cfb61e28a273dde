//! What a domain is told and how it is reached: HVM parameters, event channels, remote shutdown.

use hypercall_abi::event_channel::{AllocUnbound, OP_ALLOC_UNBOUND};
use hypercall_abi::hvm::{OP_GET_PARAM, OP_SET_PARAM, Param};
use hypercall_abi::sched::{OP_REMOTE_SHUTDOWN, RemoteShutdown};

use super::error::XenError;
use super::hypercall::Xen;

impl Xen {
    /// Sets an HVM parameter (`hvm::PARAM_*`) of `domain`.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn set_param(&self, domain: u16, index: u32, value: u64) -> Result<(), XenError> {
        let mut param = Param { domid: domain, index, value, ..Param::default() };
        self.hvm_op("hvm_op set_param", OP_SET_PARAM, &mut param).map(drop)
    }

    /// An HVM parameter (`hvm::PARAM_*`) of `domain`.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn param(&self, domain: u16, index: u32) -> Result<u64, XenError> {
        let mut param = Param { domid: domain, index, ..Param::default() };
        self.hvm_op("hvm_op get_param", OP_GET_PARAM, &mut param)?;
        Ok(param.value)
    }

    /// Makes an event channel port of `domain` that `remote` may bind to.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn alloc_unbound(&self, domain: u16, remote: u16) -> Result<u32, XenError> {
        let mut argument = AllocUnbound { dom: domain, remote_dom: remote, port: 0 };
        self.event_channel_op("event_channel_op alloc_unbound", OP_ALLOC_UNBOUND, &mut argument)?;
        Ok(argument.port)
    }

    /// Ends `domain` as if it had ended itself for `reason` (`sched::SHUTDOWN_*`).
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn remote_shutdown(&self, domain: u16, reason: u32) -> Result<(), XenError> {
        let mut argument = RemoteShutdown { domain_id: domain, reason, ..RemoteShutdown::default() };
        self.sched_op("sched_op remote_shutdown", OP_REMOTE_SHUTDOWN, &mut argument).map(drop)
    }
}
