//! The xenstore protocol: whatever guests put on their rings is answered, one reply per request, and the tree stays
//! whole. Messages are made of pieces that mean something, and then go through the wire's decoder.
#![no_main]

use arbitrary::Arbitrary;
use dom0_tools::xenstore::change::{Change, Link};
use dom0_tools::xenstore::ids::{ConnId, DomId};
use dom0_tools::xenstore::plan::{Host, plan};
use dom0_tools::xenstore::state::State;
use dom0_tools::xenstore::wire::{Kind, Request, decode};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Act {
    /// A message of pieces.
    Message { from: u8, kind: u8, tx: u8, payload: Vec<Piece> },
    /// Bytes as they are.
    Raw { from: u8, bytes: Vec<u8> },
    /// A client takes what waits for it.
    Take { from: u8 },
}

#[derive(Arbitrary, Debug)]
enum Piece {
    End,
    Text(u8),
    Number(u16),
    Bytes(Vec<u8>),
}

const TEXTS: [&str; 14] = [
    "/local/domain/1",
    "/local/domain/2",
    "data",
    "/",
    "a",
    "@introduceDomain",
    "@releaseDomain",
    "n0",
    "r1",
    "b2",
    "w",
    "T",
    "F",
    "/tool",
];

/// The control domain's process, and two guests.
const CLIENTS: [ConnId; 3] = [ConnId::Socket(1), ConnId::Domain(DomId(1)), ConnId::Domain(DomId(2))];

struct Machine;

impl Host for Machine {
    fn attach(&mut self, _: DomId, _: Link) -> Result<(), String> {
        Ok(())
    }
}

fuzz_target!(|acts: Vec<Act>| {
    let mut state = start();
    for act in acts {
        match act {
            Act::Message { from, kind, tx, payload } => {
                let payload = bytes(&payload);
                let request =
                    Request { kind: (kind % 24).into(), req_id: 7, tx_id: (tx % 4).into(), payload };
                say(&mut state, from, &request.encode());
            }
            Act::Raw { from, bytes } => say(&mut state, from, &bytes),
            Act::Take { from } => {
                let Some(connection) = state.conns.get_mut(&client(from)) else { continue };
                let waiting = connection.output.next_bytes(usize::MAX).len();
                assert!(connection.output.advance(waiting) && connection.output.is_empty());
            }
        }
    }
    // A daemon that starts again has the same tree.
    let mut again = State::default();
    for change in state.snapshot() {
        again.apply(&change);
    }
    assert_eq!(nodes(&again), nodes(&state));
});

fn client(from: u8) -> ConnId {
    CLIENTS[usize::from(from) % CLIENTS.len()]
}

/// A store with its clients and their homes.
fn start() -> State {
    let mut state = State::default();
    state.apply(&Change::Connect { conn: CLIENTS[0], link: None });
    for number in [1, 2] {
        let conn = ConnId::Domain(DomId(number));
        let home = format!("/local/domain/{number}");
        ask(&mut state, Kind::Introduce, &format!("{number}\x005\x007\0"));
        state.apply(&Change::Ready { conn, input: 0, output: 0 });
        ask(&mut state, Kind::Write, &format!("{home}/data\0"));
        ask(&mut state, Kind::SetPerms, &format!("{home}/data\0n{number}\0"));
    }
    state
}

fn ask(state: &mut State, kind: Kind, payload: &str) {
    let payload = payload.as_bytes().to_vec();
    answer(state, CLIENTS[0], &Request { kind: kind as u32, req_id: 1, tx_id: 0, payload });
}

/// Takes a client's bytes as the daemon does: message by message, until one is incomplete or too long.
fn say(state: &mut State, from: u8, mut bytes: &[u8]) {
    while let Ok(Some((request, len))) = decode(bytes) {
        assert_eq!(request.encode(), bytes[..len]);
        bytes = &bytes[len..];
        answer(state, client(from), &request);
    }
}

/// Exactly one reply, or none to nobody.
fn answer(state: &mut State, conn: ConnId, request: &Request) {
    let Some(before) = state.conns.get(&conn).map(|connection| connection.output.replies()) else { return };
    let outcome = plan(state, conn, request, &mut Machine);
    for change in &outcome.changes {
        state.apply(change);
    }
    assert!(state.tree.is_consistent());
    // A domain that releases itself takes its queue along.
    if let Some(connection) = state.conns.get(&conn) {
        let replies = connection.output.replies();
        assert!(replies == before + 1 || replies <= 1, "{before} replies, then {replies}");
    }
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::End => bytes.push(0),
            Piece::Text(which) => bytes.extend(TEXTS[usize::from(*which) % TEXTS.len()].as_bytes()),
            Piece::Number(number) => bytes.extend(number.to_string().as_bytes()),
            Piece::Bytes(more) => bytes.extend(more),
        }
    }
    bytes
}

fn nodes(state: &State) -> Vec<(String, Vec<u8>)> {
    let mut nodes = Vec::new();
    state.tree.visit(|path, node| nodes.push((path.to_string(), node.value.to_vec())));
    nodes
}
