use super::world::{ROOT, World, guest};
use crate::xenstore::wire::Kind;

#[test]
fn events_name_what_changed() {
    let mut world = World::new();
    world.watch(ROOT, "/a", "t");
    assert_eq!(world.events(ROOT), ["/a t"], "once when set");
    world.write(ROOT, 0, "/a/b/c", "1");
    assert_eq!(world.events(ROOT), ["/a t", "/a/b t", "/a/b/c t"]);
    world.write(ROOT, 0, "/other", "1");
    world.write(ROOT, 0, "/a-b", "1");
    assert_eq!(world.events(ROOT), [] as [&str; 0]);
    world.ok(ROOT, Kind::SetPerms, 0, "/a/b\0r0\0");
    assert_eq!(world.events(ROOT), ["/a/b t"]);
    assert_eq!(world.fails(ROOT, Kind::Watch, 0, "/a\0t\0"), "EEXIST");
    world.ok(ROOT, Kind::Unwatch, 0, "/a\0t\0");
    assert_eq!(world.fails(ROOT, Kind::Unwatch, 0, "/a\0t\0"), "ENOENT");
    world.write(ROOT, 0, "/a", "2");
    assert_eq!(world.events(ROOT), [] as [&str; 0]);
}

#[test]
fn removal_above_a_watch() {
    let mut world = World::new();
    world.write(ROOT, 0, "/a/b/c", "1");
    for path in ["/", "/a", "/a/b/c", "/a/b/none"] {
        world.watch(ROOT, path, path);
    }
    world.events(ROOT);
    world.ok(ROOT, Kind::Rm, 0, "/a/b\0");
    assert_eq!(world.events(ROOT), ["/a/b /", "/a/b /a", "/a/b/c /a/b/c"]);
}

#[test]
fn relative_watches_get_relative_events() {
    let mut world = World::new();
    world.watch(guest(1), "data", "rel");
    world.watch(guest(1), "/local/domain/1/data", "abs");
    world.events(guest(1));
    world.write(guest(1), 0, "data/x", "1");
    assert_eq!(world.events(guest(1)), ["data/x rel", "/local/domain/1/data/x abs"]);
}

#[test]
fn only_who_may_read_hears() {
    let mut world = World::new();
    world.watch(guest(2), "/", "all");
    world.events(guest(2));
    world.write(guest(1), 0, "data/x", "1");
    assert_eq!(world.events(guest(2)), [] as [&str; 0]);
    world.ok(guest(1), Kind::SetPerms, 0, "data/x\0r1\0");
    assert_eq!(world.events(guest(2)), ["/local/domain/1/data/x all"], "readable from now on");
    world.ok(guest(1), Kind::Rm, 0, "data/x\0");
    assert_eq!(world.events(guest(2)), ["/local/domain/1/data/x all"], "readable until now");
    world.ok(ROOT, Kind::Release, 0, "1\0");
    assert_eq!(world.events(guest(2)), [] as [&str; 0]);
}

#[test]
fn special_events_are_for_those_permitted() {
    let mut world = World::new();
    for conn in [ROOT, guest(1), guest(2)] {
        world.watch(conn, "@releaseDomain", "r");
        world.watch(conn, "@introduceDomain", "i");
        world.events(conn);
    }
    assert_eq!(world.fails(guest(2), Kind::SetPerms, 0, "@releaseDomain\0r0\0"), "EACCES");
    world.ok(ROOT, Kind::SetPerms, 0, "@releaseDomain\0n0\0r2\0");
    assert_eq!(world.ok(ROOT, Kind::GetPerms, 0, "@releaseDomain\0"), "n0\0r2\0");
    world.ok(ROOT, Kind::Introduce, 0, "9\x001\x001\0");
    world.ok(ROOT, Kind::Release, 0, "9\0");
    assert_eq!(world.events(ROOT), ["@introduceDomain i", "@releaseDomain r"]);
    assert_eq!(world.events(guest(1)), [] as [&str; 0]);
    assert_eq!(world.events(guest(2)), ["@releaseDomain r"]);
}

#[test]
fn what_waits_is_not_repeated() {
    let mut world = World::new();
    world.watch(ROOT, "/a", "t");
    world.events(ROOT);
    for _ in 0..5 {
        world.write(ROOT, 0, "/a/x", "1");
    }
    assert_eq!(world.events(ROOT), ["/a t", "/a/x t"]);
    world.write(ROOT, 0, "/a/x", "1");
    assert_eq!(world.events(ROOT), ["/a/x t"]);
}
