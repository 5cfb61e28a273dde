use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

fn map(entries: &[(u64, u64, Kind)]) -> MemoryMap {
    let mut map = MemoryMap::default();
    for (start, end, kind) in entries {
        map.insert(Range { start: Maddr(*start), end: Maddr(*end), kind: *kind }).unwrap();
    }
    map
}

fn list(map: &MemoryMap) -> Vec<(u64, u64, Kind)> {
    map.ranges().iter().map(|r| (r.start.0, r.end.0, r.kind)).collect()
}

#[test]
fn entries_are_sorted_and_neighbours_merged() {
    let m = map(&[(0x3000, 0x4000, Kind::Ram), (0, 0x1000, Kind::Ram), (0x1000, 0x3000, Kind::Ram)]);
    assert_eq!(list(&m), [(0, 0x4000, Kind::Ram)]);
}

#[test]
fn the_stronger_kind_wins_in_either_order() {
    let wanted = [(0, 0x2000, Kind::Ram), (0x2000, 0x3000, Kind::Reserved), (0x3000, 0x8000, Kind::Ram)];
    assert_eq!(list(&map(&[(0, 0x8000, Kind::Ram), (0x2000, 0x3000, Kind::Reserved)])), wanted);
    assert_eq!(list(&map(&[(0x2000, 0x3000, Kind::Reserved), (0, 0x8000, Kind::Ram)])), wanted);
}

#[test]
fn partial_pages_of_ram_are_given_up() {
    let mut m =
        map(&[(0, 0x9fc00, Kind::Ram), (0x100800, 0x100900, Kind::Ram), (0x200001, 0x203fff, Kind::Ram)]);
    m.page_align_ram().unwrap();
    let ram: Vec<_> = m.of_kind(Kind::Ram).map(|r| (r.start.0, r.end.0)).collect();
    assert_eq!(ram, [(0, 0x9f000), (0x201000, 0x203000)]);
}

#[test]
fn the_highest_fitting_run_is_found() {
    let m = map(&[(0, 0x10000, Kind::Ram), (0x20000, 0x28000, Kind::Ram), (0x100000, 0x200000, Kind::Ram)]);
    assert_eq!(m.find_highest(0x8000, 0x1000, 0..0x100000), Some(Maddr(0x20000)));
    assert_eq!(m.find_highest(0x9000, 0x1000, 0..0x100000), Some(Maddr(0x7000)));
    assert_eq!(m.find_highest(0x1000, 0x1000, 0..u64::MAX), Some(Maddr(0x1ff000)));
    assert_eq!(m.find_highest(0x200000, 0x1000, 0..u64::MAX), None);
}

#[test]
fn an_overfull_map_is_refused_and_unchanged() {
    let mut m = MemoryMap::default();
    for i in 0..CAPACITY as u64 {
        m.insert(Range::new(i * 0x2000, 0x1000, Kind::Ram)).unwrap();
    }
    assert_eq!(m.insert(Range::new(0x1000_0000, 0x1000, Kind::Ram)), Err(TooManyRanges));
    assert_eq!(m.ranges().len(), CAPACITY);
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Ram),
        Just(Kind::AcpiReclaimable),
        Just(Kind::Reserved),
        Just(Kind::Module),
        Just(Kind::Hypervisor)
    ]
}

proptest! {
    #[test]
    fn every_address_has_its_strongest_claim(
        claims in proptest::collection::vec((0u64..64, 0u64..32, kind()), 0..24)
    ) {
        let entries: Vec<_> = claims.iter().map(|(s, l, k)| (*s, s + l, *k)).collect();
        let m = map(&entries);
        for pair in m.ranges().windows(2) {
            prop_assert!(pair[0].end <= pair[1].start);
            prop_assert!(pair[0].end < pair[1].start || pair[0].kind != pair[1].kind);
        }
        for addr in 0..100 {
            let strongest = entries.iter().filter(|(s, e, _)| (*s..*e).contains(&addr)).map(|e| e.2).max();
            prop_assert_eq!(m.kind_at(Maddr(addr)), strongest);
        }
    }
}
