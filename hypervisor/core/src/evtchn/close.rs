//! Closing ports: one, or all of a domain's in bounded steps.

use super::channel::State;
use super::{EventChannels, EvtchnError};
use crate::ids::{DomId, Port, VcpuId};
use crate::page::GuestPage;
use crate::pair::Pair;

/// How far closing all ports has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "ports are left open until this says Done"]
pub enum Teardown {
    /// No port is open.
    Done,
    /// The budget is used up: go on from here.
    More {
        /// The next port to look at.
        from: Port,
    },
    /// This one needs [`EventChannels::close`] with the right locks; go on from the same port after it.
    Close {
        /// The port.
        port: Port,
        /// The domain whose lock is needed as well.
        remote: DomId,
    },
}

impl<P: GuestPage> EventChannels<P> {
    /// The other domain that [`close`](Self::close) of this port needs, if any. It may change once the lock is dropped;
    /// `close` then says [`EvtchnError::Raced`].
    ///
    /// # Errors
    /// [`EvtchnError::NotOpen`].
    pub fn peer(&self, port: Port) -> Result<Option<DomId>, EvtchnError> {
        match self.ports.open(port)?.state {
            State::Interdomain { remote, .. } if remote != self.dom => Ok(Some(remote)),
            _ => Ok(None),
        }
    }

    /// Closes a port of the local domain (`EVTCHNOP_close`). Its other end waits for a new connection afterwards.
    ///
    /// # Errors
    /// [`EvtchnError::NotOpen`]; [`EvtchnError::Raced`] if the port is connected to a domain that is not in the pair:
    /// ask [`peer`](Self::peer) again.
    pub fn close(mut pair: Pair<'_, Self>, port: Port) -> Result<(), EvtchnError> {
        let (here, there) = (pair.local().dom, pair.remote().dom);
        if let State::Interdomain { remote, remote_port } = pair.local().ports.open(port)?.state {
            if remote == here {
                pair.local_mut().disconnect((here, port), remote_port);
            } else if remote == there {
                pair.remote_mut().disconnect((here, port), remote_port);
            } else {
                return Err(EvtchnError::Raced(port));
            }
        }
        pair.local_mut().close_here(port)
    }

    /// Closes ports from `from` up, at most `budget` of them looked at, to reset or destroy the domain.
    ///
    /// Ports that concern other domains are left to the caller ([`Teardown::Close`]). New ports may appear behind the walk
    /// unless [`begin_destroy`](Self::begin_destroy) came first.
    pub fn close_all(&mut self, from: Port, budget: u32) -> Teardown {
        let stop = self.ports.end().min(from.0.saturating_add(budget));
        for port in (from.0..stop).map(Port) {
            let Ok(channel) = self.ports.open(port) else { continue };
            match channel.state {
                State::Interdomain { remote, .. } if remote != self.dom => {
                    return Teardown::Close { port, remote };
                }
                State::Interdomain { remote_port, .. } => self.disconnect((self.dom, port), remote_port),
                _ => {}
            }
            let closed = self.close_here(port);
            debug_assert_eq!(closed, Ok(()));
        }
        if stop < self.ports.end() { Teardown::More { from: Port(stop) } } else { Teardown::Done }
    }

    /// No port opens from now on. Close the open ones with [`close_all`](Self::close_all), then
    /// [`release_pages`](Self::release_pages).
    pub fn begin_destroy(&mut self) {
        self.dying = true;
    }

    /// Back to the 2-level ABI with the FIFO pages given up: the end of `EVTCHNOP_reset`, and only when the domain
    /// resets itself.
    pub fn reset_abi(&mut self) {
        self.bits.fifo = None;
    }

    /// Gives up every page of the guest except `shared_info`.
    pub fn release_pages(&mut self) {
        self.reset_abi();
        self.bits.infos.iter_mut().for_each(|info| *info = None);
    }

    /// The other end `from` of `port` closes.
    fn disconnect(&mut self, from: (DomId, Port), port: Port) {
        let connected = State::Interdomain { remote: from.0, remote_port: from.1 };
        if let Some(channel) = self.ports.get_mut(port)
            && channel.state == connected
        {
            channel.state = State::Unbound { remote: from.0 };
        }
    }

    /// Frees a port whose other end, if any, is disconnected already.
    fn close_here(&mut self, port: Port) -> Result<(), EvtchnError> {
        let channel = *self.ports.open(port)?;
        if let State::Virq { virq } = channel.state {
            // A global line is bound through vCPU 0, wherever its events go now.
            let vcpu = if virq.is_global() { VcpuId(0) } else { channel.vcpu };
            if let Some(slot) = self.virq_slot(virq, vcpu) {
                *slot = None;
            }
        }
        self.bits.clear_pending(port);
        self.ports.free(port);
        Ok(())
    }
}
