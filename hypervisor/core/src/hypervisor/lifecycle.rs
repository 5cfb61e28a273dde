//! Pausing, shutting down and destroying domains.

use super::Hypervisor;
use crate::domain::{Domain, DomainRef, Stage, Teardown, VcpuRef};
use crate::evtchn::{self, EventChannels, Virq};
use crate::hv_log;
use crate::ids::{DomId, VcpuId};
use crate::machine::{Machine, MachineEnd};
use crate::p2m::Progress;
use crate::sched::Seat;
use crate::sync::atomic::{Ordering, fence};

/// How many p2m entries one step of a destruction looks at: some tens of microseconds.
const TEARDOWN_BUDGET: usize = 2048;
/// How many ports one step looks at.
const PORT_BUDGET: u32 = 256;

impl<M: Machine> Hypervisor<M> {
    /// Pauses a domain for the tools, and waits until none of its vCPUs runs. Not for the caller's own domain.
    pub fn pause_domain(&self, domain: &DomainRef<M>) {
        domain.life.add_pause();
        self.stop(domain);
    }

    /// Holds all vCPUs, and waits until none of them runs.
    fn stop(&self, domain: &DomainRef<M>) {
        domain.vcpu_refs().for_each(|vcpu| self.sched.hold(&vcpu));
        domain.vcpu_refs().for_each(|vcpu| self.sched.wait_stopped(&vcpu));
    }

    /// Takes back one pause. False if the tools have not paused it.
    pub fn unpause_domain(&self, domain: &DomainRef<M>) -> bool {
        if !domain.life.remove_pause() {
            return false;
        }
        domain.vcpu_refs().for_each(|vcpu| self.sched.release(&vcpu));
        true
    }

    /// Runs `f` while no vCPU of the domain runs. Not for the caller's own domain.
    pub fn while_stopped<R>(&self, domain: &DomainRef<M>, f: impl FnOnce() -> R) -> R {
        self.stop(domain);
        let result = f();
        domain.vcpu_refs().for_each(|vcpu| self.sched.release(&vcpu));
        result
    }

    /// Switches a vCPU on. False if it was on.
    pub fn bring_up(&self, vcpu: &VcpuRef<M>) -> bool {
        let was = vcpu.online.swap(true, Ordering::AcqRel);
        if !was {
            match self.sched.give_seat(vcpu) {
                Seat::Needless => {}
                Seat::On(cpu) => hv_log!(self, Debug, "{vcpu} has {cpu} to itself"),
                Seat::Wanted => hv_log!(
                    self,
                    Warning,
                    "{vcpu} waits for a CPU of its own: each that it may use has a vCPU"
                ),
            }
            self.sched.release(vcpu);
        }
        !was
    }

    /// Switches a vCPU off. Its CPU stops it at the next look.
    pub fn take_down(&self, vcpu: &VcpuRef<M>) {
        if vcpu.online.swap(false, Ordering::AcqRel) {
            self.sched.hold(vcpu);
            self.sched.take_seat(vcpu);
        }
    }

    /// The guest switches a vCPU off. With the last one it has shut down.
    pub fn switch_off(&self, vcpu: &VcpuRef<M>) {
        self.take_down(vcpu);
        let domain = vcpu.domain();
        if domain.vcpus.iter().all(|v| !v.is_online()) {
            self.shutdown_domain(domain, hypercall_abi::sched::SHUTDOWN_POWEROFF);
        }
    }

    /// The domain has ended, by its own will or by a crash: stops its vCPUs and tells the control domain.
    ///
    /// If it is the control domain, that ends the machine's run.
    pub fn shutdown_domain(&self, domain: &DomainRef<M>, reason: u32) {
        use hypercall_abi::sched::{SHUTDOWN_CRASH, SHUTDOWN_POWEROFF};
        if domain.hardware.is_some() {
            let how = if reason == SHUTDOWN_POWEROFF { MachineEnd::PowerOff } else { MachineEnd::Reboot };
            let said = if reason == SHUTDOWN_CRASH { "crashed" } else { "shut down" };
            hv_log!(self, Info, "domain 0 {said} (reason {reason}): {how:?}");
            self.machine.end(how);
        }
        if domain.life.begin_shutdown(reason) {
            domain.vcpu_refs().for_each(|vcpu| self.sched.hold(&vcpu));
            hv_log!(self, Info, "{} shut down, reason {reason}", domain.id);
            self.tell_control_domain();
        }
    }

    /// Lets a domain that has shut down run on.
    pub fn resume_domain(&self, domain: &DomainRef<M>) {
        if domain.life.end_shutdown() {
            domain.vcpu_refs().for_each(|vcpu| self.sched.release(&vcpu));
        }
    }

    /// The control domain has set the wall clock, in ns since 1970 at system time 0: all domains are told.
    pub fn set_wall_clock(&self, base: u64) {
        self.machine.set_wall_clock_base(base);
        self.domains_from(DomId(0)).for_each(|domain| crate::shared::publish_wall_clock(self, &domain));
    }

    /// Something about some domain has changed.
    pub fn tell_control_domain(&self) {
        if let Some(control) = self.domain(DomId::ZERO) {
            self.raise_virq(&control, Virq::DOM_EXC, VcpuId(0));
        }
    }

    /// The operator has typed something.
    pub fn console_input(&self) {
        if let Some(control) = self.domain(DomId::ZERO) {
            self.raise_virq(&control, Virq::CONSOLE, VcpuId(0));
        }
    }

    /// Does one step of destroying a domain: bounded work, to be repeated until it says that it is done. The domain is
    /// gone then, or waits only for others to let go of its frames.
    pub fn destroy_step(&self, domain: &DomainRef<M>) -> Progress {
        let mut teardown = domain.teardown.lock();
        if domain.life.begin_dying() {
            self.stop(domain);
            let _freed = self.machine.table().set_claim(domain.id, 0);
            domain.events.lock().begin_destroy();
            domain.grants.lock().begin_destroy();
        }
        if domain.life.stage() == Stage::Dead {
            return self.bury(domain);
        }
        if self.close_ports(domain, &mut teardown) == Progress::More
            || self.end_grants(domain, &mut teardown) == Progress::More
        {
            return Progress::More;
        }
        let progress = {
            let memory = &domain.memory;
            let mut p2m = memory.p2m.write();
            // Nobody is left whose TLB counts; what the vCPUs remember of it is as stale.
            memory.tlb_epoch.fetch_add(1, Ordering::SeqCst);
            p2m.drain(TEARDOWN_BUDGET, |_, entry| memory.release(&entry))
        };
        if progress == Progress::More {
            return Progress::More;
        }
        domain.vcpu_refs().for_each(|vcpu| {
            let mut context = vcpu.context.lock();
            context.runstate_area = None;
            context.time_area = None;
        });
        domain.events.lock().release_pages();
        domain.life.finish_dying();
        self.bury(domain)
    }

    /// Forgets a dead domain once nobody holds its frames.
    fn bury(&self, domain: &DomainRef<M>) -> Progress {
        if !self.bury_if_free(domain) {
            self.tell_control_domain();
        }
        Progress::Done
    }

    /// Forgets a domain if it is dead and nobody holds its frames; says whether that was so.
    pub(super) fn bury_if_free(&self, domain: &Domain<M>) -> bool {
        // Whoever gives a last frame back looks here next, as does whoever made the domain dead. Each has written its
        // part before, so one of the two sees both.
        fence(Ordering::SeqCst);
        let free = domain.life.stage() == Stage::Dead && domain.memory.frames() == 0;
        if free {
            self.remove_domain(domain);
            self.tell_control_domain();
        }
        free
    }

    /// Drops dead domains whose last frame has come back since.
    pub fn bury_the_dead(&self) {
        for domain in self.domains_from(DomId(0)) {
            self.bury_if_free(&domain);
        }
    }

    fn close_ports(&self, domain: &DomainRef<M>, teardown: &mut Teardown) -> Progress {
        let step = domain.events.lock().close_all(teardown.port, PORT_BUDGET);
        teardown.port = match step {
            evtchn::Teardown::Done => return Progress::Done,
            evtchn::Teardown::More { from } => from,
            evtchn::Teardown::Close { port, remote } => {
                let peer = self.domain(remote);
                let peer = peer.as_ref().unwrap_or(domain);
                // The peer may have closed it in between; then there is nothing left to do for this port.
                match self.with_events_of(domain, peer, |pair| EventChannels::close(pair, port)) {
                    Ok(_) | Err(_) => port,
                }
            }
        };
        Progress::More
    }
}
