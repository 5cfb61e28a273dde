//! Entries of drivers that keep the rules, and of those that do not.

use proptest::prelude::*;

use super::*;

fn entry(value: &impl Plain) -> [u8; ENTRY_MAX] {
    let mut bytes = [0; ENTRY_MAX];
    let from = value.as_bytes();
    bytes[..from.len()].copy_from_slice(from);
    bytes
}

fn segment(gref: u32, first_sect: u8, last_sect: u8) -> RequestSegment {
    RequestSegment { gref, first_sect, last_sect, ..RequestSegment::default() }
}

#[test]
fn a_write_of_two_segments_is_read_in_both_layouts() {
    fn request<A: Abi>() -> Raw<A> {
        let mut seg = [RequestSegment::default(); 11];
        (seg[0], seg[1]) = (segment(7, 2, 7), segment(9, 0, 0));
        let (id, sector_number) = (A::U64::truncated(0x1_0000_0005), A::U64::truncated(1 << 33));
        Raw { operation: OP_WRITE, nr_segments: 2, id, sector_number, seg, ..Raw::default() }
    }
    let parts =
        vec![Part { reference: 7, offset: 1024, len: 3072 }, Part { reference: 9, offset: 0, len: 512 }];
    let body = Ok(Body::Transfer(Transfer::Write, 1 << 33, Memory::Parts(parts)));
    let right = Request { id: 0x1_0000_0005, operation: OP_WRITE, body };
    assert_eq!(Layout::X64.decode(&entry(&request::<X64>())), right);
    assert_eq!(Layout::X32.decode(&entry(&request::<X32>())), right);
}

#[test]
fn claims_are_refused_by_name() {
    let body = |raw: Raw| Layout::X64.decode(&entry(&raw)).body.unwrap_err();
    let raw = |operation, nr_segments| Raw::<X64> { operation, nr_segments, ..Raw::default() };
    assert_eq!(body(raw(OP_READ, 0)), Claim::Segments(0));
    assert_eq!(body(raw(OP_READ, 12)), Claim::Segments(12));
    assert_eq!(body(raw(4, 1)), Claim::Operation(4));
    assert_eq!(body(raw(255, 1)), Claim::Operation(255));
    assert_eq!(parts(&[segment(1, 3, 2)]), Err(Claim::Sectors(3, 2)));
    assert_eq!(parts(&[segment(1, 0, 8)]), Err(Claim::Sectors(0, 8)));
    let indirect = |indirect_op, nr_segments| {
        let raw: RequestIndirect =
            RequestIndirect { operation: OP_INDIRECT, indirect_op, nr_segments, ..Default::default() };
        let request = Layout::X64.decode(&entry(&raw));
        // Linux takes a response that says "indirect" for a wrong one.
        assert_eq!(request.operation, indirect_op);
        request.body
    };
    assert_eq!(indirect(OP_READ, 257), Err(Claim::Segments(257)));
    assert_eq!(indirect(OP_DISCARD, 1), Err(Claim::Operation(OP_DISCARD)));
    assert!(indirect(OP_READ, 256).is_ok());
}

proptest! {
    #[test]
    fn whatever_is_in_an_entry_stays_in_its_bounds(bytes: [u8; 32], rest: [u8; 32], more: [u8; 32], end: [u8; 16]) {
        let entry: [u8; ENTRY_MAX] = [&bytes[..], &rest, &more, &end].concat().try_into().unwrap();
        for layout in [Layout::X64, Layout::X32] {
            match layout.decode(&entry).body {
                Ok(Body::Transfer(_, _, Memory::Parts(parts))) => {
                    prop_assert!((1..=11).contains(&parts.len()));
                    prop_assert!(parts.iter().all(|part| part.len > 0 && part.offset + part.len <= 4096));
                }
                Ok(Body::Transfer(_, _, Memory::Indirect { segments, pages })) => {
                    prop_assert!(segments <= MAX_INDIRECT_SEGMENTS && pages.len() == 1);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_place_is_on_the_disk(sector: u64, count: u64, size in 0..1u64 << 40) {
        if let Ok(start) = place(sector, count, size) {
            prop_assert!(start + count * SECTOR <= size * SECTOR);
        }
    }
}
