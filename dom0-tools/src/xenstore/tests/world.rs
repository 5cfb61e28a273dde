//! A store with clients and no machine below it.

use crate::xenstore::change::{Change, Link};
use crate::xenstore::ids::{ConnId, DomId};
use crate::xenstore::plan::{Host, plan};
use crate::xenstore::state::State;
use crate::xenstore::wire::{Kind, Message, Request};

pub const ROOT: ConnId = ConnId::Socket(1);

pub fn guest(number: u16) -> ConnId {
    ConnId::Domain(DomId(number))
}

/// Attaches every domain but one.
struct Machine;

pub const UNREACHABLE: DomId = DomId(666);

impl Host for Machine {
    fn attach(&mut self, domid: DomId, _: Link) -> Result<(), String> {
        if domid == UNREACHABLE { Err("no such domain".to_owned()) } else { Ok(()) }
    }
}

#[derive(Default)]
pub struct World {
    pub state: State,
    /// Every batch, as the journal would hold it.
    pub history: Vec<Change>,
    req_id: u32,
}

impl World {
    /// A store with a socket of domain 0 and guests 1 to 3 with their homes, as libxl prepares them.
    pub fn new() -> Self {
        let mut world = Self::default();
        world.apply(vec![Change::Connect { conn: ROOT, link: None }]);
        for number in 1..=3 {
            world.ok(ROOT, Kind::Introduce, 0, &format!("{number}\x005\x007\0"));
            let conn = guest(number);
            world.apply(vec![Change::Ready { conn, input: 0, output: 0 }]);
            let home = format!("/local/domain/{number}");
            world.write(ROOT, 0, &home, "");
            world.ok(ROOT, Kind::SetPerms, 0, &format!("{home}\0n0\0r{number}\0"));
            world.write(ROOT, 0, &format!("{home}/data"), "");
            world.ok(ROOT, Kind::SetPerms, 0, &format!("{home}/data\0n{number}\0"));
        }
        world.events(ROOT);
        world
    }

    pub fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.state.apply(&change);
            self.history.push(change);
        }
    }

    /// Sends a request and gives its reply; events stay in the queue.
    pub fn ask(&mut self, conn: ConnId, kind: Kind, tx: u32, payload: &[u8]) -> (Kind, Vec<u8>) {
        self.req_id += 1;
        let (req_id, kind) = (self.req_id, kind as u32);
        let request = Request { kind, req_id, tx_id: tx, payload: payload.to_vec() };
        let outcome = plan(&self.state, conn, &request, &mut Machine);
        self.apply(outcome.changes);
        assert!(self.state.tree.is_consistent());
        let output = &self.state.conns[&conn].output;
        let reply = output.messages().rfind_reply(req_id).expect("every request is answered");
        assert_eq!(reply.tx_id, tx);
        (reply.kind, reply.payload.to_vec())
    }

    /// A request that succeeds; gives the payload as text.
    pub fn ok(&mut self, conn: ConnId, kind: Kind, tx: u32, payload: &str) -> String {
        let (answer, reply) = self.ask(conn, kind, tx, payload.as_bytes());
        let reply = String::from_utf8(reply).unwrap();
        assert_eq!(answer, kind, "{kind:?} {payload:?} by {conn}: {reply}");
        reply
    }

    /// A request that fails; gives the error's name.
    pub fn fails(&mut self, conn: ConnId, kind: Kind, tx: u32, payload: &str) -> String {
        let (answer, reply) = self.ask(conn, kind, tx, payload.as_bytes());
        let reply = String::from_utf8(reply).unwrap();
        assert_eq!(answer, Kind::Error, "{kind:?} {payload:?} by {conn}: {reply}");
        reply.trim_end_matches('\0').to_owned()
    }

    pub fn write(&mut self, conn: ConnId, tx: u32, path: &str, value: &str) {
        self.ok(conn, Kind::Write, tx, &format!("{path}\0{value}"));
    }

    pub fn read(&mut self, conn: ConnId, tx: u32, path: &str) -> String {
        self.ok(conn, Kind::Read, tx, &format!("{path}\0"))
    }

    pub fn begin(&mut self, conn: ConnId) -> u32 {
        self.ok(conn, Kind::TransactionStart, 0, "\0").trim_end_matches('\0').parse().unwrap()
    }

    pub fn watch(&mut self, conn: ConnId, path: &str, token: &str) {
        self.ok(conn, Kind::Watch, 0, &format!("{path}\0{token}\0"));
    }

    /// Takes the events that wait for a connection, as `path token`, and drops its replies.
    pub fn events(&mut self, conn: ConnId) -> Vec<String> {
        let output = &mut self.state.conns.get_mut(&conn).unwrap().output;
        let events = output.messages().filter(|message| message.kind == Kind::WatchEvent);
        let events = events
            .map(|message| {
                let text = String::from_utf8(message.payload.to_vec()).unwrap();
                text.trim_end_matches('\0').replace('\0', " ")
            })
            .collect();
        let waiting = output.next_bytes(usize::MAX).len();
        assert!(output.advance(waiting));
        events
    }
}

trait RfindReply<'a> {
    fn rfind_reply(self, req_id: u32) -> Option<&'a Message>;
}

impl<'a, I: Iterator<Item = &'a Message>> RfindReply<'a> for I {
    fn rfind_reply(self, req_id: u32) -> Option<&'a Message> {
        self.filter(|message| message.kind != Kind::WatchEvent && message.req_id == req_id).last()
    }
}
