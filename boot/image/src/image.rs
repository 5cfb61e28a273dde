//! An ELF image, as far as a PVH loader needs it.
//!
//! Invariants: the segments are in ascending order, don't overlap and end below 4 GiB; their contents lie in the image;
//! the entry lies in one of them.

use alloc::vec::Vec;

use elf::ElfBytes;
use elf::abi::{EM_386, EM_X86_64, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::parse::ParseError;
use elf::segment::ProgramHeader;

use crate::bytes;
use crate::error::ImageError;
use crate::note::Notes;

/// Program headers that an image may have. Linux has 5.
const MAX_PROGRAM_HEADERS: usize = 64;
/// The entry runs in 32-bit mode, so all of the kernel has to be within its reach.
const REACH: u64 = 1 << 32;

/// Whether the ELF file has 32-bit or 64-bit headers. (The entry is 32-bit code in both.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `ELFCLASS32`.
    Elf32,
    /// `ELFCLASS64`.
    Elf64,
}

/// A run of guest memory that the kernel occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The guest-physical address.
    pub paddr: u64,
    /// What goes there.
    pub data: &'a [u8],
    /// The size in memory; what exceeds `data` is zero.
    pub memsz: u64,
}

impl Segment<'_> {
    /// The first address behind the segment.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.paddr + self.memsz
    }
}

/// A kernel that can be started by PVH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    class: Class,
    entry: u64,
    notes: Notes<'a>,
    segments: Vec<Segment<'a>>,
}

impl<'a> Image<'a> {
    /// Reads the headers and notes of an unpacked ELF image.
    ///
    /// # Errors
    /// The headers contradict themselves or the image's size, or there is no PVH entry.
    pub fn parse(elf: &'a [u8]) -> Result<Self, ImageError> {
        let file = ElfBytes::<LittleEndian>::minimal_parse(elf).map_err(|e| elf_error(&e, elf))?;
        let machine = file.ehdr.e_machine;
        if machine != EM_386 && machine != EM_X86_64 {
            return Err(ImageError::Machine { machine });
        }
        let headers = file.segments().ok_or(ImageError::NoSegments)?;
        if headers.len() > MAX_PROGRAM_HEADERS {
            return Err(ImageError::TooManySegments { count: headers.len(), limit: MAX_PROGRAM_HEADERS });
        }

        let mut notes = Notes::default();
        let mut segments = Vec::new();
        for (index, header) in headers.iter().enumerate() {
            match header.p_type {
                PT_LOAD if header.p_memsz != 0 => segments.push(segment(elf, index, &header)?),
                PT_NOTE => {
                    bytes::slice(elf, header.p_offset, header.p_filesz, "an ELF note segment")?;
                    let found = file.segment_data_as_notes(&header).map_err(|e| elf_error(&e, elf))?;
                    found.into_iter().try_for_each(|note| notes.add(note))?;
                }
                _ => {}
            }
        }
        segments.sort_unstable_by_key(|segment| segment.paddr);
        if segments.is_empty() {
            return Err(ImageError::NoSegments);
        }
        if let Some(pair) = segments.windows(2).find(|pair| pair[0].end() > pair[1].paddr) {
            return Err(ImageError::Overlap { paddr: pair[1].paddr });
        }
        let entry = notes.entry.ok_or(ImageError::NotPvh)?;
        if !segments.iter().any(|segment| (segment.paddr..segment.end()).contains(&entry)) {
            return Err(ImageError::EntryOutside { entry });
        }
        let class = match file.ehdr.class {
            elf::file::Class::ELF32 => Class::Elf32,
            elf::file::Class::ELF64 => Class::Elf64,
        };
        Ok(Self { class, entry, notes, segments })
    }

    /// The kind of ELF file.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The PVH entry's guest-physical address, before any relocation.
    #[must_use]
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// What the kernel's notes say.
    #[must_use]
    pub fn notes(&self) -> &Notes<'a> {
        &self.notes
    }

    /// What is to be loaded, in ascending order.
    #[must_use]
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The guest-physical addresses that the kernel occupies, from its first segment to the end of its last.
    #[must_use]
    pub fn extent(&self) -> core::ops::Range<u64> {
        let start = self.segments.first().map_or(0, |segment| segment.paddr);
        start..self.segments.last().map_or(start, Segment::end)
    }
}

fn segment<'a>(elf: &'a [u8], index: usize, header: &ProgramHeader) -> Result<Segment<'a>, ImageError> {
    let bad = |rule| ImageError::BadSegment { index, rule };
    if header.p_filesz > header.p_memsz {
        return Err(bad("more bytes in the file than in memory"));
    }
    let end = header.p_paddr.checked_add(header.p_memsz).ok_or(bad("its addresses overflow"))?;
    if end > REACH {
        return Err(bad("it ends past 4 GiB, out of reach of the 32-bit entry"));
    }
    let data = bytes::slice(elf, header.p_offset, header.p_filesz, "an ELF segment")?;
    Ok(Segment { paddr: header.p_paddr, data, memsz: header.p_memsz })
}

fn elf_error(error: &ParseError, elf: &[u8]) -> ImageError {
    match error {
        ParseError::SliceReadError((_, end)) => ImageError::Truncated {
            what: "the ELF headers or notes",
            end: *end as u64,
            len: elf.len() as u64,
        },
        ParseError::BadMagic(_) => {
            ImageError::Elf("the unpacked kernel doesn't start with the ELF magic number")
        }
        ParseError::UnsupportedElfClass(_) => ImageError::Elf("its class is neither 32-bit nor 64-bit"),
        ParseError::UnsupportedElfEndianness(_) => ImageError::Elf("it is not little-endian"),
        ParseError::UnsupportedVersion(_) => ImageError::Elf("its version is not 1"),
        ParseError::BadEntsize(_) => ImageError::Elf("a header table has entries of a wrong size"),
        ParseError::UnexpectedAlignment(_) => ImageError::Elf("a note segment has an impossible alignment"),
        ParseError::IntegerOverflow => ImageError::Elf("a header table's offset and size overflow"),
        _ => ImageError::Elf("a header can't be read"),
    }
}
