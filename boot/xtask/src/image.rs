//! From the linker's ELF64 to the file that boot loaders take.
//!
//! Multiboot 1 as QEMU does it wants an ELF32 with physical addresses. Beside the segments, the file gets one more
//! with the sorted function symbols for backtraces; the hypervisor's static `SYMBOL_TABLE` (two u64: address, bytes)
//! is patched to name it.
//!
//! The symbol table: u32 count; then, per symbol in ascending order, u32 offset from the image's first byte and u32
//! offset of the name in what follows; then the names, each ended by a NUL. Little-endian all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::elf::{FileHeader64, PF_R, PT_LOAD, STT_FUNC};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, pod};

const PAGE: u64 = 4096;
const EHDR_LEN: u32 = 52;
const PHDR_LEN: u32 = 32;
/// The static that says where the symbols are.
const SYMBOL_TABLE: &str = "SYMBOL_TABLE";

struct Segment {
    physical: u64,
    memory_len: u64,
    flags: u32,
    bytes: Vec<u8>,
}

/// Converts the linked hypervisor `elf64` to the bootable file `out`.
pub fn link_image(elf64: &Path, out: &Path) -> Result<()> {
    let data = fs::read(elf64).with_context(|| format!("cannot read {}", elf64.display()))?;
    let image = convert(&data).with_context(|| format!("{} is not the hypervisor", elf64.display()))?;
    fs::write(out, image).with_context(|| format!("cannot write {}", out.display()))
}

fn convert(data: &[u8]) -> Result<Vec<u8>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let mut segments = Vec::new();
    let mut image_start = u64::MAX;
    let mut virtual_offset = None;
    for program in header.program_headers(endian, data)? {
        if program.p_type(endian) != PT_LOAD || program.p_memsz(endian) == 0 {
            continue;
        }
        let bytes = program.data(endian, data).ok().context("a segment lies outside the file")?;
        let (linked, physical) = (program.p_vaddr(endian), program.p_paddr(endian));
        image_start = image_start.min(linked);
        virtual_offset = Some(linked.wrapping_sub(physical));
        segments.push(Segment {
            physical,
            memory_len: program.p_memsz(endian),
            flags: program.p_flags(endian),
            bytes: bytes.to_vec(),
        });
    }
    let virtual_offset = virtual_offset.context("no segment to load")?;

    let (functions, reference) = symbols(data, header, endian)?;
    let end = segments.iter().map(|s| s.physical + s.memory_len).max().unwrap_or(0);
    let table = Segment::symbols(end.next_multiple_of(PAGE), &symbol_table(&functions, image_start)?);
    let place = [virtual_offset.wrapping_add(table.physical), table.memory_len];
    patch(&mut segments, reference.wrapping_sub(virtual_offset), &place)?;
    segments.push(table);
    emit(&segments, header.e_entry(endian).wrapping_sub(virtual_offset))
}

impl Segment {
    fn symbols(physical: u64, bytes: &[u8]) -> Self {
        Self { physical, memory_len: bytes.len() as u64, flags: PF_R, bytes: bytes.to_vec() }
    }
}

/// The functions by address, and the address of the static that describes their table.
fn symbols(
    data: &[u8],
    header: &FileHeader64<Endianness>,
    endian: Endianness,
) -> Result<(BTreeMap<u64, String>, u64)> {
    let sections = header.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, object::elf::SHT_SYMTAB)?;
    let mut functions = BTreeMap::new();
    let mut reference = None;
    for symbol in symbols.iter() {
        let name = String::from_utf8_lossy(symbol.name(endian, symbols.strings())?);
        let address = symbol.st_value(endian);
        if symbol.st_type() == STT_FUNC || (address != 0 && name.starts_with("entry")) {
            functions.insert(address, format!("{:#}", rustc_demangle::demangle(&name)));
        } else if name == SYMBOL_TABLE {
            reference = Some(address);
        }
    }
    Ok((functions, reference.with_context(|| format!("no symbol {SYMBOL_TABLE}"))?))
}

fn symbol_table(functions: &BTreeMap<u64, String>, image_start: u64) -> Result<Vec<u8>> {
    let mut entries = u32::try_from(functions.len())?.to_le_bytes().to_vec();
    let mut names = Vec::new();
    for (address, name) in functions {
        let offset =
            u32::try_from(address.wrapping_sub(image_start)).context("a function outside the image")?;
        entries.extend(offset.to_le_bytes());
        entries.extend(u32::try_from(names.len())?.to_le_bytes());
        names.extend(name.as_bytes());
        names.push(0);
    }
    entries.extend(names);
    Ok(entries)
}

fn patch(segments: &mut [Segment], physical: u64, words: &[u64]) -> Result<()> {
    for segment in segments {
        let Some(offset) = physical.checked_sub(segment.physical) else { continue };
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        if let Some(place) = segment.bytes.get_mut(offset as usize..offset as usize + bytes.len()) {
            place.copy_from_slice(&bytes);
            return Ok(());
        }
    }
    bail!("{SYMBOL_TABLE} is in no segment")
}

/// Writes the ELF32. Headers fill the first page, so that the multiboot headers, which are first in the first
/// segment, stay within the first 8 KiB.
fn emit(segments: &[Segment], entry: u64) -> Result<Vec<u8>> {
    let word = |value: u64| u32::try_from(value).context("an address above 4 GiB");
    let mut head = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |head: &mut Vec<u8>, value: u16| head.extend(value.to_le_bytes());
    half(&mut head, 2); // executable
    half(&mut head, 3); // i386
    for value in [1, word(entry)?, EHDR_LEN, 0, 0] {
        head.extend(value.to_le_bytes());
    }
    for value in [EHDR_LEN as u16, PHDR_LEN as u16, u16::try_from(segments.len())?, 40, 0, 0] {
        half(&mut head, value);
    }
    let mut body = Vec::new();
    for segment in segments {
        let offset = PAGE + body.len() as u64;
        let at = word(segment.physical)?;
        let fields = [
            PT_LOAD,
            word(offset)?,
            at,
            at,
            word(segment.bytes.len() as u64)?,
            word(segment.memory_len)?,
            segment.flags,
            PAGE as u32,
        ];
        head.extend_from_slice(pod::bytes_of_slice(&fields.map(u32::to_le)));
        body.extend(&segment.bytes);
        body.resize(body.len().next_multiple_of(PAGE as usize), 0);
    }
    head.resize(PAGE as usize, 0);
    head.extend(body);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf::FileHeader32;

    fn segments() -> Vec<Segment> {
        vec![
            Segment { physical: 0x20_0000, memory_len: 0x1800, flags: PF_R, bytes: vec![1; 0x1800] },
            Segment { physical: 0x20_2000, memory_len: 0x9000, flags: 6, bytes: vec![2; 0x10] },
        ]
    }

    #[test]
    fn the_file_is_an_elf32_with_the_first_segment_on_its_second_page() {
        let file = emit(&segments(), 0x20_0040).unwrap();
        let header = FileHeader32::<Endianness>::parse(&*file).unwrap();
        let endian = header.endian().unwrap();
        assert_eq!(header.e_entry(endian), 0x20_0040);
        let programs = header.program_headers(endian, &*file).unwrap();
        assert_eq!(programs.len(), 2);
        assert_eq!(programs[0].p_offset(endian), 4096);
        for (program, segment) in programs.iter().zip(segments()) {
            assert_eq!(u64::from(program.p_paddr(endian)), segment.physical);
            assert_eq!(u64::from(program.p_memsz(endian)), segment.memory_len);
            assert_eq!(program.data(endian, &*file).unwrap(), segment.bytes);
        }
    }

    #[test]
    fn an_address_that_32_bits_cannot_hold_is_refused() {
        let high = Segment { physical: 1 << 32, ..segments().remove(0) };
        assert!(emit(&[high], 0).is_err());
    }

    #[test]
    fn symbols_are_sorted_and_named() {
        let start = 0xffff_ffff_8020_0000;
        let functions = BTreeMap::from([(start + 0x30, "b".into()), (start + 0x10, "long name".into())]);
        let table = symbol_table(&functions, start).unwrap();
        let word = |i: usize| u32::from_le_bytes(table[i * 4..i * 4 + 4].try_into().unwrap());
        assert_eq!([word(0), word(1), word(2), word(3), word(4)], [2, 0x10, 0, 0x30, 10]);
        assert_eq!(&table[20..], b"long name\0b\0");
    }

    #[test]
    fn the_reference_is_patched_where_it_lies() {
        let mut all = segments();
        patch(&mut all, 0x20_0100, &[0x1122, 0x33]).unwrap();
        assert_eq!(all[0].bytes[0x100..0x110], [0x22, 0x11, 0, 0, 0, 0, 0, 0, 0x33, 0, 0, 0, 0, 0, 0, 0]);
        // Past the bytes of the second segment, in its zeroed part.
        assert!(patch(&mut all, 0x20_2010, &[0]).is_err());
    }
}
