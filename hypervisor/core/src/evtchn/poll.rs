//! `SCHEDOP_poll`: a vCPU sleeps until one of its ports is pending, masked or not.

use super::vcpu::{Polling, Woken};
use super::{EventChannels, EvtchnError};
use crate::ids::{Port, VcpuId};
use crate::page::GuestPage;

/// What became of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// A port is pending already: don't sleep.
    Ready,
    /// The vCPU is noted: let it sleep until it is woken, and then call [`EventChannels::poll_done`].
    Waiting,
}

impl<P: GuestPage> EventChannels<P> {
    /// Starts to poll for `ports`. With no ports at all only an upcall or a timeout ends the sleep.
    ///
    /// The caller bounds the number of ports (128 in `sched_op`). A vCPU that polls for several ports may be woken by
    /// others too.
    ///
    /// # Errors
    /// [`EvtchnError::NoVcpu`], [`EvtchnError::NotOpen`] for a port the table does not reach.
    pub fn poll(&mut self, vcpu: VcpuId, ports: &[Port]) -> Result<Poll, EvtchnError> {
        self.check_vcpu(vcpu)?;
        for &port in ports {
            self.ports.get(port).ok_or(EvtchnError::NotOpen(port))?;
        }
        if ports.iter().any(|&port| self.is_pending(port)) {
            return Ok(Poll::Ready);
        }
        let polling = match ports {
            [] => return Ok(Poll::Waiting),
            [port] => Polling::One(*port),
            _ => Polling::Any,
        };
        if let Some(v) = self.vcpus.get_mut(vcpu.index()) {
            self.pollers += u32::from(v.polling.is_none());
            v.polling = Some(polling);
        }
        Ok(Poll::Waiting)
    }

    /// The vCPU no longer sleeps in a poll, for whatever reason. Harmless if it did not.
    pub fn poll_done(&mut self, vcpu: VcpuId) {
        if let Some(v) = self.vcpus.get_mut(vcpu.index())
            && v.polling.take().is_some()
        {
            self.pollers -= 1;
        }
    }

    /// Wakes the vCPUs that poll for `port`; says whether there were any.
    pub(super) fn wake_pollers(&mut self, port: Port) -> bool {
        let mut any = false;
        for v in &mut self.vcpus {
            if v.polling.is_some_and(|p| p == Polling::Any || p == Polling::One(port)) {
                v.polling = None;
                v.woken = v.woken.or(Some(Woken::Poll));
                self.pollers -= 1;
                any = true;
            }
        }
        any
    }
}
