//! From an event's cause to the vCPU that must be told.

use super::bits::Shown;
use super::channel::State;
use super::vcpu::Woken;
use super::{EventChannels, EvtchnError, Virq};
use crate::ids::{DomId, Port, VcpuId};
use crate::page::GuestPage;

/// Who must be told of an event. The caller does it after it has dropped the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[must_use = "a vCPU that is not told sleeps on"]
pub struct Wake {
    /// This vCPU has a new upcall to take: unblock it, interrupt it if it runs elsewhere.
    pub upcall: Option<VcpuId>,
    /// There are more: call [`EventChannels::next_woken`] until it has none.
    pub more: bool,
}

impl Wake {
    /// Nobody.
    pub const NOBODY: Self = Self { upcall: None, more: false };
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It stayed in the domain and is delivered.
    Delivered(Wake),
    /// It goes to another domain: call [`EventChannels::deliver`] there, with this domain's lock dropped.
    Remote {
        /// The receiver.
        dom: DomId,
        /// Its port.
        port: Port,
    },
}

impl<P: GuestPage> EventChannels<P> {
    /// Sends an event through `port` (`EVTCHNOP_send`), as far as this domain's lock reaches.
    ///
    /// An event for a port that nobody is connected to yet is dropped.
    ///
    /// # Errors
    /// [`EvtchnError::NotOpen`], or [`EvtchnError::WrongKind`] for a port that only the hypervisor raises.
    pub fn route(&mut self, port: Port) -> Result<Route, EvtchnError> {
        let here = self.dom;
        let channel = self.ports.open_mut(port)?;
        match channel.state {
            State::Ipi => {
                let shown = self.bits.set_pending(port, channel);
                Ok(Route::Delivered(self.wake(port, shown)))
            }
            State::Interdomain { remote, remote_port } if remote == here => {
                Ok(Route::Delivered(self.raise(remote_port)))
            }
            State::Interdomain { remote, remote_port } => {
                Ok(Route::Remote { dom: remote, port: remote_port })
            }
            State::Unbound { .. } => Ok(Route::Delivered(Wake::NOBODY)),
            State::Virq { .. } | State::Free | State::Reserved => Err(EvtchnError::WrongKind(port)),
        }
    }

    /// Second step of a send: the event arrives at `port` from the other end `from`.
    ///
    /// If the port is no longer connected to `from`, the event is dropped (see the module's text on races).
    pub fn deliver(&mut self, from: (DomId, Port), port: Port) -> Wake {
        let connected = State::Interdomain { remote: from.0, remote_port: from.1 };
        match self.ports.get(port) {
            Some(channel) if channel.state == connected => self.raise(port),
            _ => Wake::NOBODY,
        }
    }

    /// Raises a virtual interrupt. A global one ignores `vcpu`. Nobody hears it if the guest has not bound it.
    pub fn raise_virq(&mut self, virq: Virq, vcpu: VcpuId) -> Wake {
        let at = if virq.is_global() { VcpuId(0) } else { vcpu };
        match self.virq_slot(virq, at) {
            Some(&mut Some(port)) => self.raise(port),
            _ => Wake::NOBODY,
        }
    }

    /// Clears the port's mask and delivers what came while it was set (`EVTCHNOP_unmask`).
    ///
    /// # Errors
    /// [`EvtchnError::NotOpen`].
    pub fn unmask(&mut self, port: Port) -> Result<Wake, EvtchnError> {
        let shown = self.bits.unmask(port, self.ports.open_mut(port)?);
        Ok(self.wake(port, shown))
    }

    /// Whether the port has an event that the guest has not taken.
    pub fn is_pending(&self, port: Port) -> bool {
        self.ports.get(port).is_some_and(|channel| self.bits.is_pending(port, channel))
    }

    /// Sets a port pending and finds out who must know.
    pub(super) fn raise(&mut self, port: Port) -> Wake {
        let Some(channel) = self.ports.get_mut(port) else { return Wake::NOBODY };
        let shown = self.bits.set_pending(port, channel);
        self.wake(port, shown)
    }

    fn wake(&mut self, port: Port, shown: Shown) -> Wake {
        let more = shown.edge && self.pollers != 0 && self.wake_pollers(port);
        Wake { upcall: shown.upcall, more }
    }

    /// Hands out the vCPUs of a [`Wake`] that says `more`, one per call.
    pub fn next_woken(&mut self) -> Option<(VcpuId, Woken)> {
        let (index, why) = self.vcpus.iter_mut().enumerate().find_map(|(i, v)| Some((i, v.woken.take()?)))?;
        Some((VcpuId(index as u32), why))
    }

    /// Notes a vCPU for [`next_woken`](Self::next_woken).
    pub(super) fn note_woken(&mut self, vcpu: VcpuId, why: Woken) {
        if let Some(v) = self.vcpus.get_mut(vcpu.index())
            && v.woken != Some(Woken::Upcall)
        {
            v.woken = Some(why);
        }
    }
}
