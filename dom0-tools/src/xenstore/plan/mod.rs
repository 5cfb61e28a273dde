//! From a request to the batch of changes that answers it.
//!
//! Planning reads the state and alters nothing: the caller records the batch, applies it, and only then lets the
//! client see anything of it. The one thing that cannot wait is attaching a domain's ring, since INTRODUCE is to
//! fail if that fails; it is asked of the [`Host`].

mod control;
mod domains;
mod events;
mod nodes;
mod transactions;
mod watches;

pub use control::Action;
pub use domains::{departed, shut_down};
pub use events::Batch;

use super::change::{Change, Link};
use super::ids::{ConnId, DomId};
use super::path::Path;
use super::perms::Caller;
use super::quota::Quota;
use super::refusal::Refusal;
use super::state::{Connection, State};
use super::transaction::{Seen, Transaction};
use super::tree::Tree;
use super::wire::{Kind, Message, Request};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What planning needs of the machine.
pub trait Host {
    /// Maps a domain's ring and binds its event channel, replacing what was attached before. The error says why not.
    fn attach(&mut self, domid: DomId, link: Link) -> Result<(), String>;
}

/// What became of a transaction, for those who watch over fairness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was opened.
    Begun(u32),
    /// Its changes are made.
    Committed(u32),
    /// Somebody else came first.
    Lost(u32),
    /// The client dropped it.
    Dropped(u32),
}

/// A request's answer.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to record and apply.
    pub changes: Vec<Change>,
    /// Why the request was refused, if it was.
    pub refusal: Option<Refusal>,
    /// What became of a transaction.
    pub verdict: Option<Verdict>,
    /// What the daemon itself is asked to do.
    pub action: Option<Action>,
    /// Who takes so few events that it gets less exact ones, and from how many on.
    pub overflowed: BTreeMap<ConnId, usize>,
}

/// The payload of a reply.
type Reply = Result<Rc<[u8]>, Refusal>;

struct Planner<'a> {
    state: &'a State,
    conn: ConnId,
    connection: &'a Connection,
    caller: Caller,
    request: &'a Request,
    transaction: Option<&'a Transaction>,
    /// Changes that the reply follows.
    changes: Vec<Change>,
    /// Events, which follow the reply.
    events: Batch<'a>,
    verdict: Option<Verdict>,
    action: Option<Action>,
}

/// Plans the answer to a request. A connection that is not there gets none.
pub fn plan(state: &State, conn: ConnId, request: &Request, host: &mut dyn Host) -> Outcome {
    let Some(connection) = state.conns.get(&conn) else { return Outcome::default() };
    let mut planner = Planner {
        state,
        conn,
        connection,
        caller: connection.caller,
        request,
        transaction: None,
        changes: Vec::new(),
        events: Batch::new(state),
        verdict: None,
        action: None,
    };
    let reply = planner.dispatch(host);
    planner.finish(reply)
}

impl<'a> Planner<'a> {
    fn dispatch(&mut self, host: &mut dyn Host) -> Reply {
        let kind = Kind::from_number(self.request.kind).ok_or(Refusal::Unknown(self.request.kind))?;
        match kind {
            Kind::Watch => return self.watch(),
            Kind::Unwatch => return self.unwatch(),
            _ => {}
        }
        let tx = self.request.tx_id;
        if tx != 0 {
            let open = self.connection.transactions.get(&tx).ok_or(Refusal::NoTransaction(tx))?;
            self.transaction = Some(open);
        }
        match kind {
            Kind::Read => self.read(),
            Kind::Directory => self.directory(),
            Kind::DirectoryPart => self.directory_part(),
            Kind::GetPerms => self.get_perms(),
            Kind::Write => self.write(),
            Kind::Mkdir => self.mkdir(),
            Kind::Rm => self.remove(),
            Kind::SetPerms => self.set_perms(),
            Kind::ResetWatches => self.reset_watches(),
            Kind::TransactionStart => self.begin(),
            Kind::TransactionEnd => self.end(),
            Kind::GetDomainPath => self.domain_path(),
            Kind::Introduce => self.introduce(host),
            Kind::Release => self.release(),
            Kind::IsDomainIntroduced => self.is_introduced(),
            Kind::Resume => self.resume(),
            Kind::SetTarget => self.set_target(),
            Kind::Control => self.control(),
            Kind::WatchEvent | Kind::Error | Kind::Watch | Kind::Unwatch => {
                Err(Refusal::Unknown(self.request.kind))
            }
        }
    }

    fn finish(mut self, reply: Reply) -> Outcome {
        let mut changes = self.changes;
        let (message, refusal) = match (reply, Kind::from_number(self.request.kind)) {
            (Ok(payload), Some(kind)) => (Message::reply(self.request, kind, payload), None),
            (Ok(_), None) => return Outcome::default(),
            (Err(refusal), _) => (Message::error(self.request, refusal.errno()), Some(refusal)),
        };
        changes.push(Change::Send { conn: self.conn, message });
        let overflowed = self.events.take_overflowed();
        changes.extend(self.events.into_changes());
        Outcome { changes, refusal, verdict: self.verdict, action: self.action, overflowed }
    }

    /// What the request sees of the store.
    fn tree(&self) -> &'a Tree {
        self.transaction.map_or(&self.state.tree, Transaction::tree)
    }

    /// Notes what the transaction, if there is one, depends on.
    fn see(&mut self, path: &Path, what: Seen) {
        if self.transaction.is_some() {
            let (conn, tx) = (self.conn, self.request.tx_id);
            self.changes.push(Change::See { conn, tx, path: path.clone(), what });
        }
    }

    fn path(&self, raw: &[u8]) -> Result<Path, Refusal> {
        let (path, _) = Path::parse(raw, self.caller.domid)?;
        self.check(Quota::PathLength, path.as_str().len())?;
        Ok(path)
    }

    fn path_only(&self) -> Result<Path, Refusal> {
        self.path(self.request.one_string().ok_or(Refusal::Malformed("one string is expected"))?)
    }

    /// Refuses what exceeds a quota of an unprivileged caller.
    fn check(&self, quota: Quota, used: usize) -> Result<(), Refusal> {
        if self.caller.is_privileged() || self.state.limits.permits(quota, used) {
            return Ok(());
        }
        Err(Refusal::Quota(quota, self.state.limits.of(quota)))
    }

    fn control_only(&self, what: &'static str) -> Result<(), Refusal> {
        if self.caller.is_privileged() { Ok(()) } else { Err(Refusal::ControlOnly(what)) }
    }
}

/// The reply that says no more than that it worked.
fn done() -> Reply {
    Ok(Rc::from(&b"OK\0"[..]))
}

/// A reply of one string.
fn text(text: &str) -> Reply {
    Ok(Rc::from([text.as_bytes(), b"\0"].concat()))
}
