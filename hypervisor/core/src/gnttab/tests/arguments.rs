//! From the bytes of an argument to a checked request, in both layouts.

use hypercall_abi::grant_table::{self as abi, CacheOps, CopyFlags, MapFlags};
use hypercall_abi::{Abi, Plain, Word, X32, X64};

use crate::frame::Gfn;
use crate::gnttab::{
    Access, CacheFlush, CopyEnd, CopyPlace, CopyRequest, GrantError, GrantRef, Handle, MapRequest,
    ReplaceRequest, UnmapRequest,
};
use crate::ids::DomId;

const SELF: u16 = 0x7ff0;

#[test]
fn copies_stay_in_their_pages() {
    let decode = |source, dest, len| {
        let mut op = copy::<X64>(0, (1, SELF), (1, SELF));
        (op.source.offset, op.dest.offset, op.len) = (source, dest, len);
        CopyRequest::decode(&op)
    };
    let copy = decode(96, 0, 4000).unwrap();
    assert_eq!((copy.source.offset, copy.dest.offset, copy.len), (96, 0, 4000));
    assert!(decode(4096, 0, 0).is_ok());
    for (source, dest, len) in [(97, 0, 4000), (0, 4095, 2), (u16::MAX, 0, u16::MAX), (0, 4097, 0)] {
        let error = decode(source, dest, len).unwrap_err();
        assert_eq!(error.status(), abi::STATUS_BAD_COPY_ARG);
    }
}

fn copy<A: Abi>(flags: u16, source: (u64, u16), dest: (u64, u16)) -> abi::Copy<A> {
    let mut op = abi::Copy::<A>::zeroed();
    op.flags = CopyFlags::from_bits_retain(flags);
    (op.source.u, op.source.domid) = (A::Ulong::truncated(source.0), source.1);
    (op.dest.u, op.dest.domid) = (A::Ulong::truncated(dest.0), dest.1);
    (op.len, op.dest.offset) = (64, 8);
    op
}

fn copy_ends<A: Abi>() {
    let got = CopyRequest::decode(&copy::<A>(1, (0xffff_ffff_0000_0009, 3), (0x1234, SELF))).unwrap();
    // Only the low half of the union is a reference.
    let granted = CopyPlace::Granted { dom: DomId(3), gref: GrantRef(9) };
    assert_eq!(got.source, CopyEnd { place: granted, offset: 0 });
    assert_eq!(got.dest, CopyEnd { place: CopyPlace::Own(Gfn(0x1234)), offset: 8 });
    let refused = CopyRequest::decode(&copy::<A>(1, (9, 3), (0x1234, 3)));
    assert_eq!(refused, Err(GrantError::CopyByFrame(DomId(3))));
    assert!(CopyRequest::decode(&copy::<A>(2, (9, 0), (1, SELF))).is_err());
}

#[test]
fn copies_by_frame_are_for_own_frames() {
    copy_ends::<X64>();
    copy_ends::<X32>();
}

fn map(host_addr: u64, flags: u32) -> Result<MapRequest, GrantError> {
    let mut op = abi::MapGrantRef::zeroed();
    (op.host_addr, op.flags) = (host_addr, MapFlags::from_bits_retain(flags));
    (op.dom, op.gref) = (3, 9);
    MapRequest::new(&op)
}

#[test]
fn mappings_go_to_pages_of_the_p2m() {
    let request = |access| MapRequest { granter: DomId(3), gref: GrantRef(9), access, at: Gfn(0x12) };
    assert_eq!(map(0x12000, 2), Ok(request(Access::Write)));
    assert_eq!(map(0x12000, 6), Ok(request(Access::Read)));
    assert_eq!(map(0x12000, 4), Err(GrantError::MapsNothing));
    for flags in [1, 3, 0x12, 0xa, 0x1_0002, 0x22] {
        assert_eq!(map(0x12000, flags), Err(GrantError::MapFlags(flags)));
    }
    assert_eq!(map(0x12008, 2), Err(GrantError::Misaligned(0x12008)));
    let unmap = |host_addr| {
        let mut op = abi::UnmapGrantRef::zeroed();
        (op.host_addr, op.handle) = (host_addr, 5);
        UnmapRequest::new(&op)
    };
    assert_eq!(unmap(0), Ok(None));
    assert_eq!(unmap(0x12000), Ok(Some(UnmapRequest { handle: Handle(5), at: Gfn(0x12) })));
    assert_eq!(unmap(1), Err(GrantError::Misaligned(1)));
    let replace = |host_addr, new_addr| {
        let op = abi::UnmapAndReplace { host_addr, new_addr, handle: 5, ..Plain::zeroed() };
        ReplaceRequest::new(&op)
    };
    let unmap = UnmapRequest { handle: Handle(5), at: Gfn(0x12) };
    assert_eq!(replace(0x12000, 0), Ok(ReplaceRequest { unmap, by: None }));
    assert_eq!(replace(0x12000, 0x3000), Ok(ReplaceRequest { unmap, by: Some(Gfn(3)) }));
    assert_eq!(replace(0x12001, 0x3000), Err(GrantError::Misaligned(0x12001)));
    assert_eq!(replace(0x12000, 0x3008), Err(GrantError::Misaligned(0x3008)));
}

#[test]
fn flushes_stay_in_their_page() {
    let flush = |a, offset, length, op| {
        let op = CacheOps::from_bits_retain(op);
        CacheFlush::new(&abi::CacheFlush { a, offset, length, op })
    };
    assert_eq!(flush(0x12345, 0, 4096, 1), Ok(CacheFlush::Page(Gfn(0x12))));
    assert_eq!(flush(7, 8, 8, 1 << 31 | 2), Err(GrantError::FlushByRef));
    assert_eq!(flush(7, 8, 0, 1), Ok(CacheFlush::Nothing));
    assert_eq!(flush(0, 1, 4096, 1), Err(GrantError::PageCrossed { offset: 1, len: 4096 }));
    assert_eq!(flush(0, 0, 1, 4), Err(GrantError::CacheOp(4)));
    assert_eq!(flush(0, 0, 1, 1 << 31 | 4), Err(GrantError::FlushByRef));
    assert_eq!((flush(0, 0, 0, 4), flush(0, 8, 8, 0)), (Ok(CacheFlush::Nothing), Ok(CacheFlush::Nothing)));
}
