//! What is taken from an ELF image, and which are refused.

use std::string::ToString;
use std::vec;

use hypercall_abi::elfnote;

use super::build::{Kernel, bzimage};
use crate::{Class, Image, ImageError, Relocation, unpack};

fn refusal(kernel: &Kernel) -> ImageError {
    Image::parse(&kernel.elf()).unwrap_err()
}

#[test]
fn both_classes_say_the_same() {
    for wide in [true, false] {
        let mut kernel = Kernel { wide, ..Kernel::default() };
        if !wide {
            kernel.machine = 3;
            kernel.notes[2].1.truncate(4);
        }
        let elf = kernel.elf();
        let image = Image::parse(&elf).unwrap();
        assert_eq!(image.class(), if wide { Class::Elf64 } else { Class::Elf32 });
        assert_eq!(image.entry(), 0x100_0040);
        assert_eq!(image.extent(), 0x100_0000..0x100_9000);
        assert_eq!((image.notes().guest_os, image.notes().guest_version), (Some("linux"), Some("2.6")));
        assert_eq!(image.segments().len(), 2);
        for (segment, (paddr, data, memsz)) in image.segments().iter().zip(&kernel.segments) {
            assert_eq!((segment.paddr, segment.data, segment.memsz), (*paddr, &data[..], *memsz));
        }
    }
}

#[test]
fn segments_are_put_in_order() {
    let mut kernel = Kernel::default();
    kernel.segments.swap(0, 1);
    let elf = kernel.elf();
    let image = Image::parse(&elf).unwrap();
    assert!(image.segments().is_sorted_by_key(|segment| segment.paddr));
}

#[test]
fn a_relocation_note_is_read() {
    let relocation = |numbers: &[u32]| {
        let mut kernel = Kernel::default();
        kernel.notes.push((19, numbers.iter().flat_map(|n| n.to_le_bytes()).collect()));
        let elf = kernel.elf();
        Image::parse(&elf).map(|image| image.notes().relocation)
    };
    assert_eq!(relocation(&[]), Ok(Some(Relocation::default())));
    let wanted = Relocation { align: 0x20_0000, min: 0x100_0000, max: 0x3fff_ffff };
    assert_eq!(relocation(&[0x20_0000, 0x100_0000, 0x3fff_ffff]), Ok(Some(wanted)));
    assert_eq!(relocation(&[3]), Err(ImageError::BadNote { kind: 19, len: 4 }));
    assert_eq!(relocation(&[0, 9, 8]), Err(ImageError::BadNote { kind: 19, len: 12 }));
}

#[test]
fn kernels_without_a_pvh_entry_are_refused() {
    let mut kernel = Kernel::default();
    kernel.notes.pop();
    assert_eq!(refusal(&kernel), ImageError::NotPvh);
    assert!(refusal(&kernel).to_string().contains("no XEN_ELFNOTE_PHYS32_ENTRY"));
    kernel.notes.push((elfnote::PHYS32_ENTRY, vec![0; 3]));
    assert_eq!(refusal(&kernel), ImageError::BadNote { kind: elfnote::PHYS32_ENTRY, len: 3 });
    kernel.notes[2].1 = 0x200_0000u32.to_le_bytes().to_vec();
    assert_eq!(refusal(&kernel), ImageError::EntryOutside { entry: 0x200_0000 });
}

#[test]
fn contradicting_segments_are_refused() {
    let with = |change: fn(&mut Kernel)| {
        let mut kernel = Kernel::default();
        change(&mut kernel);
        refusal(&kernel)
    };
    assert_eq!(with(|k| k.segments[1].0 = 0x100_2fff), ImageError::Overlap { paddr: 0x100_2fff });
    assert!(matches!(with(|k| k.segments[0].2 = 1), ImageError::BadSegment { index: 0, .. }));
    assert!(matches!(with(|k| k.segments[1].0 = u64::MAX), ImageError::BadSegment { index: 1, .. }));
    assert!(matches!(with(|k| k.segments[1].2 = 1 << 32), ImageError::BadSegment { index: 1, .. }));
    assert_eq!(with(|k| k.segments.clear()), ImageError::NoSegments);
    assert_eq!(with(|k| k.machine = 183), ImageError::Machine { machine: 183 });
    let crowd = |k: &mut Kernel| k.segments = vec![(0, vec![], 0); 64];
    assert_eq!(with(crowd), ImageError::TooManySegments { count: 65, limit: 64 });
}

#[test]
fn truncation_says_where() {
    let elf = Kernel::default().elf();
    let refused = Image::parse(&elf[..elf.len() - 1]).unwrap_err();
    assert!(matches!(refused, ImageError::Truncated { what: "an ELF note segment", .. }), "{refused:?}");
    let file = bzimage(&elf);
    let refused = unpack(&file[..0x1800], 0).unwrap_err();
    let end = (file.len() - 64) as u64;
    assert_eq!(refused, ImageError::Truncated { what: "the packed kernel", end, len: 0x1800 });
    let wanted = std::format!("truncated at byte 6144 of {end}: the packed kernel is incomplete");
    assert_eq!(refused.to_string(), wanted);
}

#[test]
fn other_files_are_refused() {
    assert_eq!(unpack(b"#!/bin/sh\n", 0).unwrap_err(), ImageError::UnknownFormat { magic: *b"#!/b" });
    assert_eq!(unpack(b"", 0).unwrap_err(), ImageError::UnknownFormat { magic: [0; 4] });
    let mut old = bzimage(&[1]);
    old[0x206] = 7;
    assert_eq!(unpack(&old, 0).unwrap_err(), ImageError::OldBootProtocol { version: 0x0207 });
    assert_eq!(unpack(&bzimage(&[]), 0).unwrap_err(), ImageError::NoPayload);
}
