//! The Xen notes of an ELF image: how the kernel wants to be started.

use elf::note::{Note, NoteAny};
use hypercall_abi::elfnote;

use crate::error::ImageError;

/// `XEN_ELFNOTE_PHYS32_RELOC`: newer than the 4.17 interface, found in newer kernels.
const PHYS32_RELOC: u32 = 19;

/// What the notes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes<'a> {
    /// The PVH entry: guest-physical, 32-bit protected mode, paging off.
    pub entry: Option<u64>,
    /// The operating system's name.
    pub guest_os: Option<&'a str>,
    /// The operating system's version.
    pub guest_version: Option<&'a str>,
    /// Where else the kernel may be loaded.
    pub relocation: Option<Relocation>,
}

/// The kernel may be loaded at another address than its ELF headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// What the address is a multiple of; a power of two.
    pub align: u32,
    /// The lowest address.
    pub min: u32,
    /// The highest address that the kernel may reach to.
    pub max: u32,
}

impl Default for Relocation {
    /// What an empty note stands for.
    fn default() -> Self {
        Self { align: 0x20_0000, min: 0, max: u32::MAX }
    }
}

impl<'a> Notes<'a> {
    /// Takes in a note, if it is one of Xen's and of interest.
    pub(crate) fn add(&mut self, note: Note<'a>) -> Result<(), ImageError> {
        let Note::Unknown(note) = note else { return Ok(()) };
        if note.name.strip_suffix(b"\0").unwrap_or(note.name) != b"Xen" {
            return Ok(());
        }
        match u32::try_from(note.n_type) {
            Ok(elfnote::PHYS32_ENTRY) => self.entry = Some(number(&note)?),
            Ok(elfnote::GUEST_OS) => self.guest_os = text(&note),
            Ok(elfnote::GUEST_VERSION) => self.guest_version = text(&note),
            Ok(PHYS32_RELOC) => self.relocation = Some(relocation(&note)?),
            _ => {}
        }
        Ok(())
    }
}

/// A number has 4 or 8 bytes, as the note's size says.
fn number(note: &NoteAny<'_>) -> Result<u64, ImageError> {
    match *note.desc {
        [a, b, c, d] => Ok(u64::from(u32::from_le_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        _ => Err(bad(note)),
    }
}

/// Up to three numbers: alignment, lowest, highest; those that are missing or 0 keep their defaults.
fn relocation(note: &NoteAny<'_>) -> Result<Relocation, ImageError> {
    let mut relocation = Relocation::default();
    let (numbers, rest) = note.desc.as_chunks::<4>();
    if !rest.is_empty() || numbers.len() > 3 {
        return Err(bad(note));
    }
    let number = |i: usize| numbers.get(i).map(|n| u32::from_le_bytes(*n));
    if let Some(align) = number(0).filter(|n| *n != 0) {
        relocation.align = align;
    }
    if let Some(min) = number(1) {
        relocation.min = min;
    }
    if let Some(max) = number(2).filter(|n| *n != 0) {
        relocation.max = max;
    }
    if !relocation.align.is_power_of_two() || relocation.min > relocation.max {
        return Err(bad(note));
    }
    Ok(relocation)
}

/// Text that is not UTF-8 is of no use to anybody here.
fn text<'a>(note: &NoteAny<'a>) -> Option<&'a str> {
    core::str::from_utf8(note.desc).ok().map(|text| text.trim_end_matches('\0'))
}

fn bad(note: &NoteAny<'_>) -> ImageError {
    ImageError::BadNote { kind: u32::try_from(note.n_type).unwrap_or(u32::MAX), len: note.desc.len() }
}
