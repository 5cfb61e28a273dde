use super::world::{ROOT, UNREACHABLE, World, guest};
use crate::xenstore::change::Change;
use crate::xenstore::ids::DomId;
use crate::xenstore::plan::{departed, shut_down};
use crate::xenstore::state::Phase;
use crate::xenstore::wire::Kind;

#[test]
fn introducing() {
    let mut world = World::new();
    assert_eq!(world.ok(ROOT, Kind::IsDomainIntroduced, 0, "1\0"), "T\0");
    assert_eq!(world.ok(ROOT, Kind::IsDomainIntroduced, 0, "9\0"), "F\0");
    assert_eq!(world.fails(ROOT, Kind::Introduce, 0, &format!("{}\x001\x001\0", UNREACHABLE.0)), "EIO");
    assert_eq!(world.ok(ROOT, Kind::IsDomainIntroduced, 0, &format!("{}\0", UNREACHABLE.0)), "F\0");
    world.watch(guest(1), "data", "t");
    world.ok(ROOT, Kind::Introduce, 0, "1\x006\x008\0");
    let connection = &world.state.conns[&guest(1)];
    assert_eq!(connection.phase, Phase::Resetting);
    assert!(connection.output.is_empty() && world.state.watches.count(guest(1)) == 0);
    assert_eq!(connection.link.unwrap().port, 8);
}

#[test]
fn only_domain_0_manages() {
    let mut world = World::new();
    for (kind, payload) in [
        (Kind::Introduce, "9\x001\x001\0"),
        (Kind::Release, "2\0"),
        (Kind::Resume, "2\0"),
        (Kind::SetTarget, "1\x002\0"),
        (Kind::IsDomainIntroduced, "2\0"),
        (Kind::Control, "help\0"),
    ] {
        assert_eq!(world.fails(guest(1), kind, 0, payload), "EACCES");
    }
}

#[test]
fn what_a_dead_domain_leaves() {
    let mut world = World::new();
    world.write(ROOT, 0, "/shared", "s");
    world.ok(ROOT, Kind::SetPerms, 0, "/shared\0n0\0r1\0r2\0");
    world.write(guest(1), 0, "data/x/y", "1");
    world.ok(ROOT, Kind::SetTarget, 0, "2\x001\0");
    assert_eq!(world.read(guest(2), 0, "/local/domain/1/data/x/y"), "1", "a device model's rights");
    world.watch(ROOT, "@releaseDomain", "r");
    world.watch(ROOT, "/local/domain/1/data/x/y", "y");
    world.events(ROOT);
    let changes = departed(&world.state, DomId(1));
    world.apply(changes);
    assert_eq!(world.events(ROOT), ["/local/domain/1/data/x/y y", "@releaseDomain r"]);
    assert_eq!(world.ok(ROOT, Kind::Directory, 0, "/local/domain/1\0"), "");
    assert_eq!(world.ok(ROOT, Kind::GetPerms, 0, "/shared\0"), "n0\0r2\0");
    assert_eq!(world.ok(ROOT, Kind::GetPerms, 0, "/local/domain/1\0"), "n0\0");
    assert_eq!(world.state.conns[&guest(2)].caller.target, None);
    assert_eq!(world.state.tree.owned_by(DomId(1)), 0);
    assert!(!world.state.conns.contains_key(&guest(1)));
}

#[test]
fn a_shutdown_is_announced_once() {
    let mut world = World::new();
    world.watch(ROOT, "@releaseDomain", "r");
    world.events(ROOT);
    let changes = shut_down(&world.state, DomId(1));
    world.apply(changes);
    assert_eq!(world.events(ROOT), ["@releaseDomain r"]);
    assert!(world.state.conns[&guest(1)].shutdown_announced);
    world.ok(ROOT, Kind::Resume, 0, "1\0");
    assert!(!world.state.conns[&guest(1)].shutdown_announced);
}

#[test]
fn a_snapshot_rebuilds_the_state() {
    let mut world = World::new();
    world.write(guest(1), 0, "data/x", "1");
    world.watch(guest(1), "data", "t");
    world.watch(ROOT, "/gone-with-the-socket", "t");
    let tx = world.begin(guest(2));
    world.write(guest(2), tx, "data/in", "2");
    world.ok(ROOT, Kind::SetTarget, 0, "2\x001\0");
    world.apply(vec![Change::Partial { conn: guest(3), bytes: b"half".to_vec() }]);
    let mut copy = crate::xenstore::state::State::default();
    world.state.snapshot().iter().for_each(|change| copy.apply(change));
    assert_eq!(copy.snapshot()[1..], world.state.snapshot()[1..]);
    assert!(copy.tree.is_consistent() && copy.tree.generation() > world.state.tree.generation());

    let mut replayed = crate::xenstore::state::State::default();
    world.history.iter().filter(|change| change.is_durable()).for_each(|change| replayed.apply(change));
    for conn in [guest(1), guest(2), guest(3)] {
        // What is out already is told by the ring.
        let position = world.state.conns[&conn].output.position();
        assert!(replayed.conns.get_mut(&conn).unwrap().output.resume_at(position));
    }
    assert_eq!(replayed.snapshot(), world.state.snapshot());
    replayed.resume();
    world.state = replayed;
    world.apply(vec![Change::Connect { conn: ROOT, link: None }]);
    assert_eq!(world.read(guest(2), tx, "data/in"), "2", "still open, still isolated");
    assert_eq!(world.fails(guest(2), Kind::TransactionEnd, tx, "T\0"), "EAGAIN");
}
