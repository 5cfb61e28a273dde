//! The machine as Linux and the hypervisor offer it: rings by grant (or foreign mapping), event channels, and the
//! list of domains.

use super::change::Link;
use super::daemon::{Condition, Machine};
use super::ids::DomId;
use super::plan::Host;
use super::ring::{Ring, Word};
use super::server::{Signal, Source};
use crate::xen::domain::DomainInfo;
use crate::xen::error::XenError;
use crate::xen::evtchn::Evtchn;
use crate::xen::gntdev::GrantedPage;
use crate::xen::hypercall::Xen;
use crate::xen::mapping::Mapping;
use crate::xen::xenbus_backend::KernelRing;
use hypercall_abi::grant_table::RESERVED_XENSTORE;
use hypercall_abi::xen::VIRQ_DOM_EXC;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tracing::{debug, warn};

/// The hypervisor's domains.
#[derive(Debug)]
pub struct XenMachine {
    xen: Xen,
    events: Rc<Evtchn>,
    /// Our port of the interrupt that tells of domains' ends.
    exceptions: u32,
    kernel_port: u32,
    rings: BTreeMap<DomId, DomainRing>,
    conditions: Option<BTreeMap<DomId, Condition>>,
}

#[derive(Debug)]
enum Page {
    Granted(GrantedPage),
    Mapped(Mapping),
}

/// A ring and our end of its event channel.
#[derive(Debug)]
pub struct DomainRing {
    page: Page,
    events: Rc<Evtchn>,
    port: u32,
}

impl XenMachine {
    /// Opens the devices.
    ///
    /// # Errors
    /// If one is missing, or this is not domain 0.
    pub fn open() -> Result<Self, XenError> {
        let xen = Xen::open()?;
        let events = Rc::new(Evtchn::open()?);
        let exceptions = events.bind_virq(VIRQ_DOM_EXC)?;
        let kernel_port = KernelRing::open()?.port;
        Ok(Self { xen, events, exceptions, kernel_port, rings: BTreeMap::new(), conditions: None })
    }

    fn map(&self, domid: DomId, link: Link) -> Result<Page, String> {
        if domid == DomId::CONTROL {
            return KernelRing::open().map(|ring| Page::Mapped(ring.page)).map_err(|e| e.to_string());
        }
        match GrantedPage::map(domid.0, RESERVED_XENSTORE) {
            Ok(page) => Ok(Page::Granted(page)),
            Err(refused) => {
                debug!(client = %domid, "no grant, so the frame itself is mapped: {refused}");
                Mapping::foreign(self.xen.privcmd(), domid.0, &[link.gfn])
                    .map(Page::Mapped)
                    .map_err(|error| format!("{refused}; {error}"))
            }
        }
    }
}

impl Host for XenMachine {
    fn attach(&mut self, domid: DomId, link: Link) -> Result<(), String> {
        self.detach(domid);
        let page = self.map(domid, link)?;
        let port = self.events.bind_interdomain(domid.0, link.port).map_err(|e| e.to_string())?;
        self.rings.insert(domid, DomainRing { page, events: self.events.clone(), port });
        Ok(())
    }
}

impl Machine for XenMachine {
    type Ring = DomainRing;

    fn control_link(&self) -> Option<Link> {
        Some(Link { gfn: 0, port: self.kernel_port })
    }

    fn ring(&self, domid: DomId) -> Option<&DomainRing> {
        self.rings.get(&domid)
    }

    fn detach(&mut self, domid: DomId) {
        self.rings.remove(&domid);
    }

    fn refresh(&mut self) {
        self.conditions = match self.xen.domains() {
            Ok(domains) => Some(domains.iter().map(|info| (DomId(info.id), condition(info))).collect()),
            Err(error) => {
                warn!("the domains cannot be listed: {error}");
                None
            }
        };
    }

    fn condition(&self, domid: DomId) -> Option<Condition> {
        let known = self.conditions.as_ref()?;
        Some(known.get(&domid).copied().unwrap_or(Condition::Gone))
    }
}

impl Source for XenMachine {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.events.as_fd())
    }

    fn signals(&mut self) -> Vec<Signal> {
        let ports = self.events.pending().and_then(|ports| self.events.unmask(&ports).map(|()| ports));
        let ports = ports.unwrap_or_else(|error| {
            warn!("event channels cannot be read: {error}");
            Vec::new()
        });
        let signal = |port: &u32| {
            if *port == self.exceptions {
                return Some(Signal::DomainsChanged);
            }
            self.rings.iter().find(|(_, ring)| ring.port == *port).map(|(domid, _)| Signal::Ring(*domid))
        };
        ports.iter().filter_map(signal).collect()
    }
}

fn condition(info: &DomainInfo) -> Condition {
    if info.flags.dying {
        Condition::Gone
    } else if info.shutdown.is_some() {
        Condition::ShutDown
    } else {
        Condition::Alive
    }
}

impl DomainRing {
    fn mapping(&self) -> &Mapping {
        match &self.page {
            Page::Granted(page) => page.mapping(),
            Page::Mapped(mapping) => mapping,
        }
    }
}

impl Ring for DomainRing {
    fn load(&self, word: Word) -> u32 {
        self.mapping().word(word as usize).load(Ordering::Acquire)
    }

    fn store(&self, word: Word, value: u32) {
        self.mapping().word(word as usize).store(value, Ordering::Release);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.mapping().read(offset, bytes);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.mapping().write(offset, bytes);
    }

    fn notify(&self) {
        if let Err(error) = self.events.notify(self.port) {
            // The domain is about to end, and its end will be announced.
            debug!("{error}");
        }
    }
}

impl Drop for DomainRing {
    fn drop(&mut self) {
        if let Err(error) = self.events.unbind(self.port) {
            debug!("{error}");
        }
    }
}
