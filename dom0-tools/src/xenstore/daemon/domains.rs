//! Domains as the daemon attaches to them and loses them.

use super::Daemon;
use crate::xenstore::change::{Change, Link};
use crate::xenstore::ids::{ConnId, DomId};
use crate::xenstore::journal::Log;
use crate::xenstore::path::Path;
use crate::xenstore::perms::Perms;
use crate::xenstore::plan::{Host, departed, shut_down};
use crate::xenstore::ring::{Ring, Word};
use crate::xenstore::state::Phase;
use crate::xenstore::tree::NodeOp;
use std::rc::Rc;
use tracing::{error, info, warn};

/// What is there from the start: the daemon's own place, and the names that libxl expects of domain 0 and its pool of
/// CPUs even where Debian's xen-init-dom0 has not run (which takes domain 0's `domid` as the sign that it has).
const FIRST_NODES: [(&str, &str); 9] = [
    ("/tool", ""),
    ("/tool/xenstored", ""),
    ("/local", ""),
    ("/local/domain", ""),
    ("/local/domain/0", ""),
    ("/local/domain/0/name", "Domain-0"),
    ("/local/pool", ""),
    ("/local/pool/0", ""),
    ("/local/pool/0/name", "Pool-0"),
];

/// What the hypervisor says of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It lives.
    Alive,
    /// It has shut down or crashed, and may be looked at.
    ShutDown,
    /// It is being destroyed, or is no more.
    Gone,
}

/// The machine with its domains.
pub trait Machine: Host {
    /// A mapped ring with its event channel.
    type Ring: Ring;

    /// How to reach the ring of domain 0's own kernel, if it has one.
    fn control_link(&self) -> Option<Link>;

    /// The ring of a domain that is attached.
    fn ring(&self, domid: DomId) -> Option<&Self::Ring>;

    /// Unmaps a domain's ring and closes its event channel.
    fn detach(&mut self, domid: DomId);

    /// Asks the hypervisor anew how the domains are.
    fn refresh(&mut self);

    /// How a domain was at the last [`Machine::refresh`]; `None` if that cannot be known now.
    fn condition(&self, domid: DomId) -> Option<Condition>;
}

impl<M: Machine, L: Log> Daemon<M, L> {
    /// Attaches to every domain that the state knows of and to domain 0's kernel, and creates what every store has.
    pub fn start(&mut self) {
        self.create();
        self.check_domains();
        self.attach_missing();
    }

    /// The domains to serve. Every one of them may have signalled before anybody listened.
    pub fn domains(&self) -> impl Iterator<Item = DomId> {
        self.state.conns.keys().filter_map(|conn| match conn {
            ConnId::Domain(domid) => Some(*domid),
            ConnId::Socket(_) => None,
        })
    }

    /// Attaches to the domains that it did not work with before. Tells whether all are attached now.
    pub fn attach_missing(&mut self) -> bool {
        let mut all = self.attach_control();
        let missing: Vec<DomId> = self
            .domains()
            .filter(|domid| *domid != DomId::CONTROL && self.machine.ring(*domid).is_none())
            .collect();
        for domid in missing {
            let Some(link) = self.link(ConnId::Domain(domid)) else { continue };
            match self.machine.attach(domid, link) {
                Ok(()) => {
                    info!(client = %domid, "attached again");
                    self.resume_ring(domid);
                }
                Err(why) => {
                    all = false;
                    warn!(client = %domid, "cannot be attached: {why}");
                }
            }
        }
        all
    }

    /// Asks how the domains are, and announces who has shut down or gone.
    pub fn check_domains(&mut self) {
        self.machine.refresh();
        let domains: Vec<DomId> = self.domains().filter(|domid| *domid != DomId::CONTROL).collect();
        for domid in domains {
            let announced = self
                .state
                .conns
                .get(&ConnId::Domain(domid))
                .is_some_and(|connection| connection.shutdown_announced);
            let changes = match self.machine.condition(domid) {
                Some(Condition::Gone) => departed(&self.state, domid),
                Some(Condition::ShutDown) if !announced => shut_down(&self.state, domid),
                _ => continue,
            };
            if let Err(refusal) = self.commit(changes) {
                error!(client = %domid, "its end cannot be announced: {refusal}");
            }
        }
    }

    /// What follows, outside the state, from changes of connections.
    pub(super) fn settle(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Disconnect { conn } => {
                    self.fairness.gone(*conn);
                    self.notices.forget(*conn);
                    self.unsent.remove(conn);
                    if let ConnId::Domain(domid) = conn {
                        info!(client = %domid, "gone");
                        self.machine.detach(*domid);
                    }
                }
                Change::Connect { conn: ConnId::Domain(domid), .. }
                | Change::Reset { conn: ConnId::Domain(domid), .. } => {
                    let conn = ConnId::Domain(*domid);
                    self.fairness.gone(conn);
                    // Domain 0 comes with its ring's positions, and is ready already.
                    if self.state.conns.get(&conn).is_some_and(|one| one.phase == Phase::Resetting) {
                        self.empty(*domid);
                    }
                }
                _ => {}
            }
        }
    }

    /// Domain 0's kernel has a ring before there is a daemon, perhaps with requests in it.
    fn attach_control(&mut self) -> bool {
        let (domid, conn) = (DomId::CONTROL, ConnId::Domain(DomId::CONTROL));
        let Some(link) = self.machine.control_link() else { return true };
        if self.machine.ring(domid).is_some() {
            return true;
        }
        if let Err(why) = self.machine.attach(domid, link) {
            warn!("the kernel of domain 0 cannot be attached: {why}");
            return false;
        }
        if !self.state.conns.contains_key(&conn) {
            let Some(ring) = self.machine.ring(domid) else { return false };
            let (input, output) = (ring.load(Word::RequestConsumer), ring.load(Word::ReplyProducer));
            let link = Some(link);
            let changes = vec![Change::Connect { conn, link }, Change::Ready { conn, input, output }];
            if let Err(refusal) = self.commit(changes) {
                error!("the kernel of domain 0 cannot be connected: {refusal}");
                self.machine.detach(domid);
                return false;
            }
        }
        // The kernel takes the first signal as the sign that there is a store.
        self.resume_ring(domid);
        true
    }

    /// The nodes that every store has, if they are not there yet.
    fn create(&mut self) {
        let perms = Rc::new(Perms::private(DomId::CONTROL));
        let missing =
            FIRST_NODES.iter().filter_map(|(path, value)| Some((Path::absolute(path).ok()?, value)));
        let missing = missing.filter(|(path, _)| self.state.tree.get(path).is_none());
        let changes: Vec<Change> = missing
            .map(|(path, value)| (path, Rc::from(value.as_bytes()), perms.clone()))
            .map(|(path, value, perms)| Change::Node(NodeOp::Set { path, value, perms }))
            .collect();
        if let Err(refusal) = self.commit(changes) {
            error!("the first nodes cannot be created: {refusal}");
        }
    }
}
