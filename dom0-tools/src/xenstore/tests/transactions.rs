use super::world::{ROOT, World, guest};
use crate::xenstore::wire::Kind;

fn commit(world: &mut World, tx: u32) {
    world.ok(ROOT, Kind::TransactionEnd, tx, "T\0");
}

#[test]
fn isolation_and_commit() {
    let mut world = World::new();
    world.write(ROOT, 0, "/a", "old");
    world.watch(ROOT, "/a", "t");
    world.events(ROOT);
    let tx = world.begin(ROOT);
    world.write(ROOT, tx, "/a", "new");
    world.write(ROOT, tx, "/a/deep/er", "1");
    assert_eq!((world.read(ROOT, 0, "/a"), world.read(ROOT, tx, "/a")), ("old".into(), "new".into()));
    assert_eq!(world.events(ROOT), [] as [&str; 0]);
    commit(&mut world, tx);
    assert_eq!(world.read(ROOT, 0, "/a"), "new");
    assert_eq!(world.read(ROOT, 0, "/a/deep/er"), "1");
    assert_eq!(world.events(ROOT), ["/a t", "/a/deep t", "/a/deep/er t"]);
    assert_eq!(world.fails(ROOT, Kind::TransactionEnd, tx, "T\0"), "ENOENT");
}

#[test]
fn dropping() {
    let mut world = World::new();
    let tx = world.begin(ROOT);
    world.write(ROOT, tx, "/a", "new");
    assert_eq!(world.fails(ROOT, Kind::TransactionStart, tx, "\0"), "EBUSY");
    assert_eq!(world.fails(guest(1), Kind::Read, tx, "/local\0"), "ENOENT", "another client's number");
    assert_eq!(world.fails(ROOT, Kind::TransactionEnd, tx, "X\0"), "EINVAL");
    world.ok(ROOT, Kind::TransactionEnd, tx, "F\0");
    assert_eq!(world.fails(ROOT, Kind::Read, 0, "/a\0"), "ENOENT");
    let tx = world.begin(guest(1));
    world.ok(guest(1), Kind::ResetWatches, 0, "\0");
    assert_eq!(world.fails(guest(1), Kind::TransactionEnd, tx, "T\0"), "ENOENT");
}

#[test]
fn conflicts() {
    let mut world = World::new();
    world.write(ROOT, 0, "/a", "1");
    let tx = world.begin(ROOT);
    world.read(ROOT, tx, "/a");
    world.write(ROOT, tx, "/b", "2");
    world.write(ROOT, 0, "/a", "3");
    assert_eq!(world.fails(ROOT, Kind::TransactionEnd, tx, "T\0"), "EAGAIN");
    assert_eq!(world.fails(ROOT, Kind::Read, 0, "/b\0"), "ENOENT");

    let tx = world.begin(ROOT);
    world.write(ROOT, tx, "/dir/mine", "1");
    world.write(ROOT, 0, "/dir/theirs", "2");
    assert_eq!(world.fails(ROOT, Kind::TransactionEnd, tx, "T\0"), "EAGAIN", "both made /dir");

    let tx = world.begin(ROOT);
    world.write(ROOT, tx, "/dir/mine", "1");
    world.write(ROOT, 0, "/dir/others", "2");
    commit(&mut world, tx);
    assert_eq!(world.ok(ROOT, Kind::Directory, 0, "/dir\0"), "mine\0others\0theirs\0");

    let tx = world.begin(ROOT);
    world.ok(ROOT, Kind::Rm, tx, "/dir\0");
    world.write(ROOT, 0, "/dir/mine", "again");
    assert_eq!(world.fails(ROOT, Kind::TransactionEnd, tx, "T\0"), "EAGAIN", "it would remove unseen news");

    let tx = world.begin(ROOT);
    world.ok(ROOT, Kind::Directory, tx, "/dir\0");
    world.write(ROOT, 0, "/dir/more", "again");
    commit(&mut world, tx);
}

#[test]
fn removal_and_creation_in_one() {
    let mut world = World::new();
    world.write(ROOT, 0, "/a/b", "1");
    let tx = world.begin(ROOT);
    world.ok(ROOT, Kind::Rm, tx, "/a\0");
    world.write(ROOT, tx, "/a", "fresh");
    commit(&mut world, tx);
    assert_eq!(world.read(ROOT, 0, "/a"), "fresh");
    assert_eq!(world.ok(ROOT, Kind::Directory, 0, "/a\0"), "");
}
