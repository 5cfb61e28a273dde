use super::world::{ROOT, World, guest};
use crate::xenstore::wire::Kind;

fn set(world: &mut World, name: &str, limit: u32) {
    world.ok(ROOT, Kind::Control, 0, &format!("quota\0set\0{name}\0{limit}\0"));
}

#[test]
fn nodes() {
    let mut world = World::new();
    set(&mut world, "nodes", 4);
    world.write(guest(1), 0, "data/a", "");
    world.write(guest(1), 0, "data/b/c", "");
    assert_eq!(world.fails(guest(1), Kind::Write, 0, "data/d\0"), "ENOSPC");
    assert_eq!(world.fails(guest(1), Kind::Mkdir, 0, "data/d\0"), "ENOSPC");
    world.write(guest(1), 0, "data/a", "changed");
    world.write(ROOT, 0, "/local/domain/1/data/d", "");
    world.ok(guest(1), Kind::Rm, 0, "data/b\0");
    let tx = world.begin(guest(1));
    world.write(guest(1), tx, "data/x", "");
    world.write(guest(1), 0, "data/y", "");
    assert_eq!(world.fails(guest(1), Kind::Write, tx, "data/z/z\0"), "ENOSPC");
    assert_eq!(world.fails(guest(1), Kind::TransactionEnd, tx, "T\0"), "ENOSPC", "y came in between");
    assert!(world.ok(ROOT, Kind::Control, 0, "quota\x001\0").starts_with("nodes                4\n"));
}

#[test]
fn sizes() {
    let mut world = World::new();
    let long = "v".repeat(2045);
    assert_eq!(world.fails(guest(1), Kind::Write, 0, &format!("data/a\0{long}")), "ENOSPC");
    world.write(guest(1), 0, "data/a", &long[..2000]);
    assert_eq!(world.fails(guest(1), Kind::Write, 0, &format!("data/a\0{long}")), "ENOSPC");
    assert_eq!(world.fails(guest(1), Kind::Mkdir, 0, &format!("data/a/{}\0", &long[..100])), "ENOSPC");
    assert_eq!(world.fails(guest(1), Kind::SetPerms, 0, "data/a\0n1\0n2\0n3\0n4\0n5\0n6\0"), "ENOSPC");
    set(&mut world, "path-max", 30);
    assert_eq!(world.fails(guest(1), Kind::Read, 0, "data/0123456789\0"), "EINVAL");
    world.write(ROOT, 0, "/a/0123456789/0123456789/0123456789", &"v".repeat(4000));
}

#[test]
fn watches_and_transactions() {
    let mut world = World::new();
    set(&mut world, "watches", 2);
    set(&mut world, "transactions", 2);
    set(&mut world, "transaction-nodes", 3);
    world.watch(guest(1), "data", "1");
    world.watch(guest(1), "data", "2");
    assert_eq!(world.fails(guest(1), Kind::Watch, 0, "data\x003\0"), "ENOSPC");
    let tx = world.begin(guest(1));
    world.begin(guest(1));
    assert_eq!(world.fails(guest(1), Kind::TransactionStart, 0, "\0"), "ENOSPC");
    for name in ["a", "b", "c"] {
        let _ = world.ask(guest(1), Kind::Read, tx, format!("data/{name}\0").as_bytes());
    }
    assert_eq!(world.fails(guest(1), Kind::Read, tx, "data/d\0"), "ENOSPC", "reads are remembered too");
}

#[test]
fn events_nobody_takes() {
    let mut world = World::new();
    set(&mut world, "events", 10);
    world.watch(guest(1), "data", "t");
    world.events(guest(1));
    for number in 0..100 {
        world.write(ROOT, 0, &format!("/local/domain/1/data/{number:03}"), "");
    }
    let events = world.events(guest(1));
    assert_eq!(events.len(), 11);
    assert_eq!((&*events[9], &*events[10]), ("data/009 t", "data t"), "then once for the whole");
}
