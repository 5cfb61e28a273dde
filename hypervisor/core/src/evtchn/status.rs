//! What a port is, for the guest or tool that asks, and its vCPU.

use hypercall_abi::event_channel as abi;
use hypercall_abi::{Plain, Union};

use super::channel::State;
use super::{EventChannels, EvtchnError};
use crate::ids::{Port, VcpuId};
use crate::page::GuestPage;

/// A port's status (`EVTCHNOP_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is bound to.
    pub state: State,
    /// The vCPU that its events interrupt.
    pub vcpu: VcpuId,
}

impl Status {
    /// Fills in what `EVTCHNOP_status` gives back. A reserved port counts as closed.
    pub fn write_to(&self, out: &mut abi::Status) {
        let (status, u) = match self.state {
            State::Free | State::Reserved => (abi::STATUS_CLOSED, Union::default()),
            State::Unbound { remote } => (abi::STATUS_UNBOUND, Union::new(remote.0)),
            State::Interdomain { remote, remote_port } => {
                let end = abi::StatusInterdomain { dom: remote.0, port: remote_port.0, ..Plain::zeroed() };
                (abi::STATUS_INTERDOMAIN, Union::new(end))
            }
            State::Virq { virq } => (abi::STATUS_VIRQ, Union::new(virq.raw())),
            State::Ipi => (abi::STATUS_IPI, Union::default()),
        };
        *out = abi::Status { status, vcpu: self.vcpu.0, u, ..*out };
    }
}

impl<P: GuestPage> EventChannels<P> {
    /// The port's status. A port that was never opened reads as free.
    ///
    /// # Errors
    /// [`EvtchnError::NotOpen`] for a number that the domain cannot use.
    pub fn status(&self, port: Port) -> Result<Status, EvtchnError> {
        match self.ports.get(port) {
            Some(channel) => Ok(Status { state: channel.state, vcpu: channel.vcpu }),
            None if port.0 < self.end() => Ok(Status { state: State::Free, vcpu: VcpuId(0) }),
            None => Err(EvtchnError::NotOpen(port)),
        }
    }

    /// Lets events of `port` interrupt `vcpu` (`EVTCHNOP_bind_vcpu`).
    ///
    /// # Errors
    /// [`EvtchnError::NoVcpu`], [`EvtchnError::NotOpen`], [`EvtchnError::WrongKind`] for IPIs and per-vCPU VIRQs.
    pub fn bind_vcpu(&mut self, port: Port, vcpu: VcpuId) -> Result<(), EvtchnError> {
        self.check_vcpu(vcpu)?;
        let channel = self.ports.open_mut(port)?;
        match channel.state {
            State::Ipi => return Err(EvtchnError::WrongKind(port)),
            State::Virq { virq } if !virq.is_global() => return Err(EvtchnError::WrongKind(port)),
            _ => {}
        }
        channel.vcpu = vcpu;
        Ok(())
    }
}
