use super::guest::Guest;
use super::machine::{TestDaemon, World};
use crate::xenstore::daemon::Condition;
use crate::xenstore::ids::DomId;
use crate::xenstore::ring::Word;
use crate::xenstore::state::Phase;
use crate::xenstore::wire::{Kind, Request};

pub fn tool(daemon: &mut TestDaemon, kind: Kind, payload: &str) {
    let conn = daemon.connect();
    let request = Request { kind: kind as u32, req_id: 1, tx_id: 0, payload: payload.as_bytes().to_vec() };
    daemon.handle(conn, &request, 0).unwrap();
    let reply = daemon.output(conn).unwrap().messages().next().cloned().unwrap();
    assert_eq!(reply.kind, kind, "{payload:?}");
    daemon.disconnect(conn);
}

/// A world with guests 1 and 2 introduced, each with a node of its own that all may read.
pub fn introduced() -> (World, TestDaemon) {
    let world = World::new(&[0, 1, 2]);
    let mut daemon = world.daemon();
    for number in [1, 2] {
        tool(&mut daemon, Kind::Introduce, &format!("{number}\x005\x007\0"));
        tool(&mut daemon, Kind::Write, &format!("/local/domain/{number}/data\0"));
        tool(&mut daemon, Kind::SetPerms, &format!("/local/domain/{number}/data\0r{number}\0"));
    }
    (world, daemon)
}

#[test]
fn a_guest_is_served() {
    let (world, mut daemon) = introduced();
    let mut guest = Guest::new(&world, 1);
    assert_eq!(guest.page.word(Word::Features), 3);
    let long = vec![b'x'; 2000];
    guest.ask(Kind::Write, 0, &[&b"data/k\0"[..], &long].concat());
    let read = guest.ask(Kind::Read, 0, b"data/k\0");
    let replies = guest.talk(&world, &mut daemon);
    assert_eq!(replies[0].2, b"OK\0");
    assert_eq!(replies[1..], [(Kind::Read as u32, read, long)]);
    assert!(guest.page.signals.get() > 0);
}

#[test]
fn the_kernel_of_domain_0_may_have_asked_before() {
    let world = World::new(&[0]);
    let page = &world.pages[&DomId(0)];
    for word in [Word::RequestConsumer, Word::RequestProducer, Word::ReplyProducer, Word::ReplyConsumer] {
        page.set(word, u32::MAX - 5);
    }
    let mut kernel = Guest::new(&world, 0);
    kernel.ask(Kind::Read, 0, b"/\0");
    kernel.work(4096);
    let mut daemon = world.daemon();
    assert_eq!(kernel.talk(&world, &mut daemon), [(Kind::Read as u32, 1, vec![])]);
}

#[test]
fn broken_rings_stop_alone() {
    let (world, mut daemon) = introduced();
    let (mut bad, mut good) = (Guest::new(&world, 1), Guest::new(&world, 2));
    for spoil in [
        |guest: &mut Guest| guest.page.set(Word::RequestProducer, 5000),
        |guest: &mut Guest| {
            guest.ask(Kind::Read, 0, b"data\0");
            guest.page.set(Word::ReplyConsumer, 77);
        },
        |guest: &mut Guest| guest.raw(&[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0]),
    ] {
        spoil(&mut bad);
        if bad.page.word(Word::RequestProducer) != 5000 {
            bad.work(4096);
        }
        world.settle(&mut daemon);
        assert_ne!(bad.page.word(Word::Error), 0);
        let conn = crate::xenstore::ids::ConnId::Domain(DomId(1));
        assert!(matches!(daemon.state().conns[&conn].phase, Phase::Broken(_)));
        let read = good.ask(Kind::Read, 0, b"data\0");
        assert_eq!(good.talk(&world, &mut daemon), [(Kind::Read as u32, read, vec![])]);

        daemon = world.daemon();
        assert_ne!(bad.page.word(Word::Error), 0, "still, after a restart");
        bad.forget();
        bad.page.set(Word::Connection, 1);
        world.settle(&mut daemon);
        assert_eq!((bad.page.word(Word::Connection), bad.page.word(Word::Error)), (0, 0));
        let read = bad.ask(Kind::Read, 0, b"data\0");
        assert_eq!(bad.talk(&world, &mut daemon), [(Kind::Read as u32, read, vec![])]);
    }
}

#[test]
fn starting_over_drops_what_was() {
    let (world, mut daemon) = introduced();
    let mut guest = Guest::new(&world, 1);
    guest.ask(Kind::Watch, 0, b"data\0t\0");
    guest.ask(Kind::TransactionStart, 0, b"\0");
    guest.talk(&world, &mut daemon);
    guest.raw(b"half a header");
    guest.work(4096);
    world.settle(&mut daemon);
    guest.page.set(Word::Connection, 1);
    world.settle(&mut daemon);
    guest.forget();
    let connection = &daemon.state().conns[&crate::xenstore::ids::ConnId::Domain(DomId(1))];
    assert!(connection.partial.is_empty() && connection.transactions.is_empty());
    let write = guest.ask(Kind::Write, 0, b"data/x\0");
    assert_eq!(guest.talk(&world, &mut daemon), [(Kind::Write as u32, write, b"OK\0".to_vec())]);
}

#[test]
fn who_takes_no_replies_waits() {
    let (world, mut daemon) = introduced();
    let mut guest = Guest::new(&world, 1);
    for _ in 0..200 {
        guest.ask(Kind::GetDomainPath, 0, b"1\0");
    }
    for _ in 0..50 {
        // Sends, but takes nothing.
        let taken = guest.page.word(Word::ReplyConsumer);
        guest.work(4096);
        guest.page.set(Word::ReplyConsumer, taken);
        world.settle(&mut daemon);
    }
    let waiting = daemon.state().conns[&crate::xenstore::ids::ConnId::Domain(DomId(1))].output.replies();
    assert!(waiting <= 20, "{waiting} replies wait");
}

#[test]
fn ends_are_announced() {
    let (world, mut daemon) = introduced();
    let mut kernel = Guest::new(&world, 0);
    kernel.ask(Kind::Watch, 0, b"@releaseDomain\0r\0");
    kernel.talk(&world, &mut daemon);
    let event = (Kind::WatchEvent as u32, 0, b"@releaseDomain\0r\0".to_vec());
    for condition in [Condition::ShutDown, Condition::Gone] {
        world.conditions.borrow_mut().insert(DomId(1), condition);
        daemon.check_domains();
        daemon.check_domains();
        assert_eq!(*kernel.talk(&world, &mut daemon), *std::slice::from_ref(&event), "{condition:?}, once");
    }
    assert!(daemon.domains().all(|domid| domid != DomId(1)));
    world.conditions.borrow_mut().insert(DomId(2), Condition::Gone);
    let mut daemon = world.daemon();
    assert_eq!(kernel.talk(&world, &mut daemon), [event], "who ended while nobody looked");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever a guest puts into its page, and whenever, another is served, also after a restart.
    #[test]
    fn any_page_is_survived(
        pokes in proptest::collection::vec((0usize..2080, proptest::prelude::any::<u32>(), 0u32..3000), 1..40),
    ) {
        let (world, mut daemon) = introduced();
        let (bad, mut good) = (Guest::new(&world, 1), Guest::new(&world, 2));
        for (index, (offset, wild, tame)) in pokes.into_iter().enumerate() {
            let value = if wild % 2 == 0 { wild } else { tame };
            bad.page.put(offset, &value.to_le_bytes());
            world.settle(&mut daemon);
            if index % 5 == 4 {
                daemon = world.daemon();
            }
        }
        let read = good.ask(Kind::Read, 0, b"data\0");
        assert_eq!(good.talk(&world, &mut daemon), [(Kind::Read as u32, read, vec![])]);
        assert!(daemon.state().tree.is_consistent());
    }
}
