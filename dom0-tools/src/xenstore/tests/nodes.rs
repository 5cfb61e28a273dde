use super::world::{ROOT, World, guest};
use crate::xenstore::wire::Kind;

#[test]
fn write_read_list_remove() {
    let mut world = World::new();
    world.write(ROOT, 0, "/a/b/c", "x\0y");
    assert_eq!(world.read(ROOT, 0, "/a/b/c"), "x\0y");
    assert_eq!(world.read(ROOT, 0, "/a/b"), "");
    world.ok(ROOT, Kind::Mkdir, 0, "/a/d\0");
    world.ok(ROOT, Kind::Mkdir, 0, "/a/b/c\0");
    assert_eq!(world.read(ROOT, 0, "/a/b/c"), "x\0y", "MKDIR leaves a value alone");
    assert_eq!(world.ok(ROOT, Kind::Directory, 0, "/a\0"), "b\0d\0");
    world.ok(ROOT, Kind::Rm, 0, "/a/b\0");
    assert_eq!(world.fails(ROOT, Kind::Read, 0, "/a/b/c\0"), "ENOENT");
    world.ok(ROOT, Kind::Rm, 0, "/a/b\0");
    assert_eq!(world.fails(ROOT, Kind::Rm, 0, "/a/b/c\0"), "ENOENT", "not even the parent is there");
    assert_eq!(world.fails(ROOT, Kind::Rm, 0, "/\0"), "EINVAL");
}

#[test]
fn malformed_requests() {
    let mut world = World::new();
    for (kind, payload) in [
        (Kind::Read, ""),
        (Kind::Read, "/a"),
        (Kind::Read, "/a\0/b\0"),
        (Kind::Read, "//\0"),
        (Kind::Write, "/a"),
        (Kind::SetPerms, "/local\0"),
        (Kind::SetPerms, "/local\0q1\0"),
        (Kind::Watch, "/a\0"),
        (Kind::Introduce, "5\0"),
        (Kind::Introduce, "0\x001\x001\0"),
        (Kind::Introduce, "5\x001\x000\0"),
        (Kind::DirectoryPart, "/\0x\0"),
        (Kind::Control, "nonsense\0"),
    ] {
        assert_eq!(world.fails(ROOT, kind, 0, payload), "EINVAL", "{kind:?} {payload:?}");
    }
    assert_eq!(world.fails(ROOT, Kind::WatchEvent, 0, "\0"), "ENOSYS");
    assert_eq!(world.fails(ROOT, Kind::Read, 77, "/\0"), "ENOENT");
}

#[test]
fn relative_paths_lead_home() {
    let mut world = World::new();
    world.write(guest(2), 0, "data/x", "1");
    assert_eq!(world.read(ROOT, 0, "/local/domain/2/data/x"), "1");
    assert_eq!(world.ok(guest(2), Kind::GetDomainPath, 0, "2\0"), "/local/domain/2\0");
}

#[test]
fn permissions() {
    let mut world = World::new();
    world.write(ROOT, 0, "/secret/key", "s");
    assert_eq!(world.fails(guest(1), Kind::Read, 0, "/secret/key\0"), "EACCES");
    assert_eq!(world.fails(guest(1), Kind::Read, 0, "/secret/none\0"), "EACCES", "absence is a secret too");
    world.ok(ROOT, Kind::SetPerms, 0, "/secret/key\0n0\0r1\0w2\0");
    assert_eq!(world.read(guest(1), 0, "/secret/key"), "s");
    assert_eq!(world.fails(guest(1), Kind::Write, 0, "/secret/key\0x"), "EACCES");
    assert_eq!(world.fails(guest(2), Kind::Read, 0, "/secret/key\0"), "EACCES");
    world.write(guest(2), 0, "/secret/key", "x");
    assert_eq!(world.ok(guest(1), Kind::GetPerms, 0, "/secret/key\0"), "n0\0r1\0w2\0");

    world.write(guest(1), 0, "data/own", "1");
    assert_eq!(world.ok(ROOT, Kind::GetPerms, 0, "/local/domain/1/data/own\0"), "n1\0");
    assert_eq!(world.fails(guest(2), Kind::Read, 0, "/local/domain/1/data/own\0"), "EACCES");
    world.ok(guest(1), Kind::SetPerms, 0, "data/own\0r1\0");
    assert_eq!(world.read(guest(2), 0, "/local/domain/1/data/own"), "1");
    assert_eq!(world.fails(guest(1), Kind::SetPerms, 0, "data/own\0r2\0"), "EPERM");
    assert_eq!(world.fails(guest(2), Kind::SetPerms, 0, "/local/domain/1/data/own\0r1\0"), "EACCES");
    assert_eq!(world.fails(guest(1), Kind::Write, 0, "outside\0x"), "EACCES", "its home belongs to domain 0");

    world.write(ROOT, 0, "/secret/key/below", "");
    assert_eq!(world.ok(ROOT, Kind::GetPerms, 0, "/secret/key/below\0"), "n0\0r1\0w2\0", "inherited");
}

#[test]
fn long_listings_come_in_pieces() {
    let mut world = World::new();
    let names: Vec<String> = (0..900).map(|number| format!("child{number:05}")).collect();
    for name in &names {
        world.write(ROOT, 0, &format!("/many/{name}"), "");
    }
    assert_eq!(world.fails(ROOT, Kind::Directory, 0, "/many\0"), "E2BIG");
    let (mut listing, mut generation) = (String::new(), None);
    while !listing.ends_with("\0\0") {
        let payload = format!("/many\0{}\0", listing.len());
        let piece = world.ok(ROOT, Kind::DirectoryPart, 0, &payload);
        assert!(piece.len() <= 4096);
        let (number, rest) = piece.split_once('\0').unwrap();
        assert_eq!(generation.get_or_insert(number.to_owned()), number);
        listing.push_str(rest);
    }
    assert_eq!(listing, names.join("\0") + "\0\0");
    world.write(ROOT, 0, "/many/one-more", "");
    let piece = world.ok(ROOT, Kind::DirectoryPart, 0, "/many\x000\0");
    assert_ne!(piece.split_once('\0').unwrap().0, generation.unwrap());
    assert_eq!(
        world.ok(ROOT, Kind::DirectoryPart, 0, "/many/one-more\x000\0").split_once('\0').unwrap().1,
        "\0"
    );
}

#[test]
fn as_deep_as_paths_allow() {
    let mut world = World::new();
    let deep = "/d".repeat(1536);
    world.write(ROOT, 0, &deep, "bottom");
    assert_eq!(world.read(ROOT, 0, &deep), "bottom");
    let tx = world.begin(ROOT);
    world.write(ROOT, tx, &deep, "again");
    world.ok(ROOT, Kind::TransactionEnd, tx, "T\0");
    assert!(world.state.snapshot().len() > 1536);
    world.ok(ROOT, Kind::Rm, 0, "/d\0");
    assert_eq!(world.fails(ROOT, Kind::Read, 0, &format!("{deep}\0")), "ENOENT");
}
