//! A client that retries gets through, whatever others do, and cannot hold them up for long.

use super::machine::{TestDaemon, World};
use crate::xenstore::daemon::Later;
use crate::xenstore::fairness::{HOLD, REST};
use crate::xenstore::ids::ConnId;
use crate::xenstore::wire::{Kind, Request};

fn ask(
    daemon: &mut TestDaemon,
    conn: ConnId,
    kind: Kind,
    tx: u32,
    payload: &str,
    now: u64,
) -> Result<String, Later> {
    let request = Request { kind: kind as u32, req_id: 1, tx_id: tx, payload: payload.as_bytes().to_vec() };
    daemon.handle(conn, &request, now)?;
    let queue = daemon.output(conn).unwrap();
    let reply = queue.messages().last().unwrap().payload.to_vec();
    let waiting = queue.next_bytes(usize::MAX).len();
    assert!(queue.advance(waiting));
    Ok(String::from_utf8(reply).unwrap().trim_end_matches('\0').to_owned())
}

/// Opens a transaction that reads and writes the counter.
fn begin(daemon: &mut TestDaemon, conn: ConnId, now: u64) -> u32 {
    let tx = ask(daemon, conn, Kind::TransactionStart, 0, "\0", now).unwrap().parse().unwrap();
    ask(daemon, conn, Kind::Read, tx, "/counter\0", now).unwrap();
    ask(daemon, conn, Kind::Write, tx, "/result\0x", now).unwrap();
    tx
}

fn end(daemon: &mut TestDaemon, conn: ConnId, tx: u32, now: u64) -> String {
    ask(daemon, conn, Kind::TransactionEnd, tx, "T\0", now).unwrap()
}

fn scribble(daemon: &mut TestDaemon, conn: ConnId, now: u64) -> Result<String, Later> {
    ask(daemon, conn, Kind::Write, 0, "/counter\0y", now)
}

fn start() -> (TestDaemon, ConnId, ConnId) {
    let mut daemon = World::new(&[]).daemon();
    let (patient, busy) = (daemon.connect(), daemon.connect());
    scribble(&mut daemon, busy, 0).unwrap();
    (daemon, patient, busy)
}

#[test]
fn a_second_attempt_succeeds() {
    let (mut daemon, patient, busy) = start();
    let tx = begin(&mut daemon, patient, 0);
    scribble(&mut daemon, busy, 0).unwrap();
    assert_eq!(end(&mut daemon, patient, tx, 1), "EAGAIN");
    let tx = begin(&mut daemon, patient, 2);
    assert_eq!(scribble(&mut daemon, busy, 3), Err(Later));
    assert_eq!(ask(&mut daemon, busy, Kind::Write, 0, "/elsewhere\0y", 3), Ok("OK".into()));
    assert_eq!(ask(&mut daemon, busy, Kind::Read, 0, "/counter\0", 3), Ok("y".into()));
    assert_eq!(end(&mut daemon, patient, tx, 4), "OK");
    assert_eq!(scribble(&mut daemon, busy, 4), Ok("OK".into()));
}

#[test]
fn sleeping_on_it_helps_nobody() {
    let (mut daemon, patient, busy) = start();
    let tx = begin(&mut daemon, patient, 0);
    scribble(&mut daemon, busy, 0).unwrap();
    assert_eq!(end(&mut daemon, patient, tx, 0), "EAGAIN");
    let tx = begin(&mut daemon, patient, 0);
    assert!(scribble(&mut daemon, busy, HOLD - 1).is_err());
    assert!(scribble(&mut daemon, busy, HOLD).is_ok(), "nobody waits longer");
    assert_eq!(end(&mut daemon, patient, tx, HOLD), "EAGAIN");
    let tx = begin(&mut daemon, patient, HOLD);
    assert!(scribble(&mut daemon, busy, HOLD).is_ok(), "nor again so soon");
    assert_eq!(end(&mut daemon, patient, tx, HOLD), "EAGAIN");
    begin(&mut daemon, patient, HOLD + REST);
    assert!(scribble(&mut daemon, busy, HOLD + REST).is_err());
    daemon.disconnect(patient);
    assert!(scribble(&mut daemon, busy, HOLD + REST).is_ok());
}

#[test]
fn two_losers_pass_one_after_the_other() {
    let (mut daemon, first, second) = start();
    let busy = daemon.connect();
    let (one, two) = (begin(&mut daemon, first, 0), begin(&mut daemon, second, 0));
    scribble(&mut daemon, busy, 0).unwrap();
    assert_eq!(end(&mut daemon, first, one, 0), "EAGAIN");
    assert_eq!(end(&mut daemon, second, two, 0), "EAGAIN");
    let (one, two) = (begin(&mut daemon, first, 1), begin(&mut daemon, second, 2));
    let blocked = ask(&mut daemon, second, Kind::TransactionEnd, two, "T\0", 3);
    assert_eq!(blocked, Err(Later), "both write the result: the elder first");
    assert_eq!(end(&mut daemon, first, one, 4), "OK");
    assert_eq!(end(&mut daemon, second, two, 5), "EAGAIN");
}
