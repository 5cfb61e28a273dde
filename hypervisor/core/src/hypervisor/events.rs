//! Event delivery between domains.
//!
//! Lock order: a domain's event lock is taken with no other event lock held, or two in the order of domain ids
//! ([`Hypervisor::with_events_of`]). vCPUs are woken after the lock is dropped, or under it where that cannot matter:
//! the scheduler's locks come after the event lock.

use super::Hypervisor;
use crate::domain::{Domain, DomainRef, Requests};
use crate::evtchn::{EventChannels, EvtchnError, Route, Virq, Wake, Woken};
use crate::frames::FrameRef;
use crate::ids::{Port, VcpuId};
use crate::machine::Machine;
use crate::pair::Pair;

type Table<M> = EventChannels<FrameRef<M>>;

impl<M: Machine> Hypervisor<M> {
    /// Sends an event from `domain` through `port`.
    ///
    /// # Errors
    /// The port is not open, or not one to send through.
    #[inline]
    pub fn send_event(&self, domain: &DomainRef<M>, port: Port) -> Result<(), EvtchnError> {
        let route = domain.events.lock().route(port)?;
        match route {
            Route::Delivered(wake) => self.notify(domain, wake),
            Route::Remote { dom, port: remote_port } => {
                if let Some(remote) = self.domain(dom) {
                    let wake = remote.events.lock().deliver((domain.id, port), remote_port);
                    self.notify(&remote, wake);
                }
            }
        }
        Ok(())
    }

    /// Raises a virtual interrupt of a domain.
    pub fn raise_virq(&self, domain: &DomainRef<M>, virq: Virq, vcpu: VcpuId) {
        let wake = domain.events.lock().raise_virq(virq, vcpu);
        self.notify(domain, wake);
    }

    /// Tells the vCPUs that an event concerns.
    #[inline]
    pub fn notify(&self, domain: &DomainRef<M>, wake: Wake) {
        if let Some(vcpu) = wake.upcall {
            self.tell(domain, vcpu, Requests::UPCALL);
        }
        if wake.more {
            self.notify_rest(domain);
        }
    }

    fn notify_rest(&self, domain: &DomainRef<M>) {
        loop {
            let woken = domain.events.lock().next_woken();
            match woken {
                Some((vcpu, Woken::Upcall)) => self.tell(domain, vcpu, Requests::UPCALL),
                Some((vcpu, Woken::Poll)) => self.tell(domain, vcpu, Requests::POLL_DONE),
                None => break,
            }
        }
    }

    #[inline]
    fn tell(&self, domain: &DomainRef<M>, vcpu: VcpuId, what: Requests) {
        if let Some(vcpu) = domain.vcpu(vcpu) {
            self.sched.signal(&vcpu, what);
        }
    }

    /// Runs `f` with the event tables of both domains locked, in the order of their ids.
    pub fn with_events_of<R>(
        &self,
        local: &Domain<M>,
        remote: &Domain<M>,
        f: impl FnOnce(Pair<'_, Table<M>>) -> R,
    ) -> R {
        if local.id == remote.id {
            return f(Pair::Same(&mut local.events.lock()));
        }
        let (first, second) = if local.id < remote.id { (local, remote) } else { (remote, local) };
        let mut first = first.events.lock();
        let mut second = second.events.lock();
        let in_order = local.id < remote.id;
        let (local, remote) =
            if in_order { (&mut *first, &mut *second) } else { (&mut *second, &mut *first) };
        f(Pair::Two { local, remote })
    }
}
