//! Opening ports.

use super::channel::State;
use super::deliver::Wake;
use super::{EventChannels, EvtchnError, Virq};
use crate::ids::{DomId, Port, VcpuId};
use crate::page::GuestPage;
use crate::pair::Pair;

impl<P: GuestPage> EventChannels<P> {
    /// Opens a port that `remote` may connect to (`EVTCHNOP_alloc_unbound`).
    ///
    /// # Errors
    /// [`EvtchnError::Full`], [`EvtchnError::NoMemory`], [`EvtchnError::Dying`].
    pub fn alloc_unbound(&mut self, remote: DomId) -> Result<Port, EvtchnError> {
        self.alloc(State::Unbound { remote }, VcpuId(0))
    }

    /// Opens a local port and connects it to `remote_port` (`EVTCHNOP_bind_interdomain`).
    ///
    /// The local port is pending at once: the other side may have sent before anybody was connected.
    ///
    /// # Errors
    /// [`EvtchnError::NotOffered`] if the remote port does not wait for this domain; [`EvtchnError::Full`],
    /// [`EvtchnError::NoMemory`], [`EvtchnError::Dying`].
    pub fn bind_interdomain(
        mut pair: Pair<'_, Self>,
        remote_port: Port,
    ) -> Result<(Port, Wake), EvtchnError> {
        let (here, there) = (pair.local().dom, pair.remote().dom);
        if pair.remote().dying {
            return Err(EvtchnError::Dying(there));
        }
        let offered = |table: &Self| {
            table.ports.get(remote_port).is_some_and(|c| c.state == State::Unbound { remote: here })
        };
        if !offered(pair.remote()) {
            return Err(EvtchnError::NotOffered { dom: there, port: remote_port });
        }
        let to = State::Interdomain { remote: there, remote_port };
        let port = pair.local_mut().alloc(to, VcpuId(0))?;
        if let Some(channel) = pair.remote_mut().ports.get_mut(remote_port) {
            channel.state = State::Interdomain { remote: here, remote_port: port };
        }
        Ok((port, pair.local_mut().raise(port)))
    }

    /// Opens a port for a virtual interrupt (`EVTCHNOP_bind_virq`).
    ///
    /// # Errors
    /// [`EvtchnError::NoVcpu`], [`EvtchnError::GlobalVirq`] for a global line and a vCPU other than 0,
    /// [`EvtchnError::VirqBound`], [`EvtchnError::Full`], [`EvtchnError::NoMemory`], [`EvtchnError::Dying`].
    pub fn bind_virq(&mut self, virq: Virq, vcpu: VcpuId) -> Result<Port, EvtchnError> {
        if virq.is_global() && vcpu != VcpuId(0) {
            return Err(EvtchnError::GlobalVirq(virq.raw()));
        }
        if let Some(port) = *self.virq_slot(virq, vcpu).ok_or(EvtchnError::NoVcpu(vcpu))? {
            return Err(EvtchnError::VirqBound(port));
        }
        let port = self.alloc(State::Virq { virq }, vcpu)?;
        if let Some(slot) = self.virq_slot(virq, vcpu) {
            *slot = Some(port);
        }
        Ok(port)
    }

    /// Opens a port for interrupts between the domain's own vCPUs (`EVTCHNOP_bind_ipi`).
    ///
    /// # Errors
    /// [`EvtchnError::NoVcpu`], [`EvtchnError::Full`], [`EvtchnError::NoMemory`], [`EvtchnError::Dying`].
    pub fn bind_ipi(&mut self, vcpu: VcpuId) -> Result<Port, EvtchnError> {
        self.check_vcpu(vcpu)?;
        self.alloc(State::Ipi, vcpu)
    }
}
