//! Builders of kernel files.

use std::vec;
use std::vec::Vec;

use hypercall_abi::elfnote;
use lzma_rust2::filter::FilterType;
use lzma_rust2::{CheckType, LzmaOptions, LzmaWriter, Write, XzOptions, XzWriter};

use crate::Compression;

/// What a synthetic kernel consists of.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub wide: bool,
    pub machine: u16,
    /// Address, contents, size in memory.
    pub segments: Vec<(u64, Vec<u8>, u64)>,
    /// Type and contents.
    pub notes: Vec<(u32, Vec<u8>)>,
}

/// Code-like bytes: calls for the x86 filter, runs, and noise.
pub fn contents(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 29 {
            0 | 1 => {
                bytes.push(0xe8 | (state >> 20) as u8 & 1);
                bytes.extend_from_slice(&(0x1000 + bytes.len() as u32).wrapping_neg().to_le_bytes());
            }
            2 => bytes.extend(core::iter::repeat_n(0, (state >> 16) as usize & 0xff)),
            3 => bytes.extend_from_slice(b"push %rbp; mov %rsp, %rbp; "),
            _ => bytes.extend_from_slice(&state.to_be_bytes()),
        }
    }
    bytes.truncate(len);
    bytes
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            wide: true,
            machine: 62,
            segments: vec![
                (0x100_0000, contents(0x3000, 1), 0x3000),
                (0x100_4000, contents(0x800, 2), 0x5000),
            ],
            notes: vec![
                (elfnote::GUEST_OS, b"linux\0".to_vec()),
                (elfnote::GUEST_VERSION, b"2.6\0".to_vec()),
                (elfnote::PHYS32_ENTRY, 0x100_0040u64.to_le_bytes().to_vec()),
            ],
        }
    }
}

fn pad4(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

impl Kernel {
    pub fn elf(&self) -> Vec<u8> {
        let mut notes = Vec::new();
        for (kind, desc) in &self.notes {
            for word in [4, desc.len() as u32, *kind] {
                notes.extend_from_slice(&word.to_le_bytes());
            }
            notes.extend_from_slice(b"Xen\0");
            notes.extend_from_slice(desc);
            pad4(&mut notes);
        }

        let (header, entry) = if self.wide { (64u64, 56u64) } else { (52, 32) };
        let count = self.segments.len() as u64 + 1;
        let mut offset = header + entry * count;
        let mut elf = Vec::new();
        let word = |elf: &mut Vec<u8>, value: u64| {
            let bytes = value.to_le_bytes();
            elf.extend_from_slice(if self.wide { &bytes } else { &bytes[..4] });
        };
        let half = |elf: &mut Vec<u8>, value: u16| elf.extend_from_slice(&value.to_le_bytes());

        elf.extend_from_slice(&[0x7f, b'E', b'L', b'F', 1 + u8::from(self.wide), 1, 1, 0]);
        elf.extend_from_slice(&[0; 8]);
        half(&mut elf, 2);
        half(&mut elf, self.machine);
        elf.extend_from_slice(&1u32.to_le_bytes());
        word(&mut elf, 0);
        word(&mut elf, header);
        word(&mut elf, 0);
        elf.extend_from_slice(&0u32.to_le_bytes());
        for value in [header, entry, count, 0, 0, 0] {
            half(&mut elf, value as u16);
        }

        let mut body = Vec::new();
        let mut program_header = |kind: u32, paddr: u64, data: &[u8], memsz: u64, align: u64| {
            elf.extend_from_slice(&kind.to_le_bytes());
            if self.wide {
                elf.extend_from_slice(&7u32.to_le_bytes());
            }
            for value in [offset, paddr, paddr, data.len() as u64, memsz] {
                word(&mut elf, value);
            }
            if !self.wide {
                elf.extend_from_slice(&7u32.to_le_bytes());
            }
            word(&mut elf, align);
            body.extend_from_slice(data);
            offset += data.len() as u64;
        };
        for (paddr, data, memsz) in &self.segments {
            program_header(1, *paddr, data, *memsz, 0x1000);
        }
        program_header(4, 0, &notes, notes.len() as u64, 4);
        elf.extend_from_slice(&body);
        elf
    }
}

/// A bzImage around a payload.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = contents(0x1000, 3);
    file[0x1f1] = 3;
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    file[0x248..0x24c].copy_from_slice(&0x800u32.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file.extend_from_slice(payload);
    file.extend_from_slice(&[0xcc; 64]);
    file
}

/// `data` packed as Linux's build does it, its size behind it.
pub fn pack(compression: Compression, data: &[u8]) -> Vec<u8> {
    let mut packed = match compression {
        Compression::Gzip => return gzip(data),
        Compression::Xz => {
            let mut options = XzOptions::with_preset(1);
            options.lzma_options.dict_size = 1 << 20;
            options.prepend_pre_filter(FilterType::BcjX86, 0);
            options.set_check_sum_type(CheckType::Crc32);
            xz(data, options)
        }
        Compression::Lzma => {
            let mut options = LzmaOptions::with_preset(1);
            options.dict_size = 1 << 20;
            let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, None).expect("options");
            writer.write_all(data).expect("memory");
            writer.finish().expect("memory")
        }
        Compression::Lz4 => {
            let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
            for chunk in data.chunks(8 << 20) {
                let block = lz4_flex::block::compress(chunk);
                packed.extend_from_slice(&(block.len() as u32).to_le_bytes());
                packed.extend_from_slice(&block);
            }
            packed
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
        }
        Compression::Bzip2 => b"BZh9".to_vec(),
        Compression::Lzo => b"\x89LZO".to_vec(),
    };
    packed.extend_from_slice(&(data.len() as u32).to_le_bytes());
    packed
}

/// An xz stream.
pub fn xz(data: &[u8], options: XzOptions) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), options).expect("options");
    writer.write_all(data).expect("memory");
    writer.finish().expect("memory")
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0x1c, 0, 0, 0, 0, 2, 3];
    packed.extend_from_slice(&[3, 0, 1, 2, 3]);
    packed.extend_from_slice(b"vmlinux\0comment\0");
    packed.extend_from_slice(&miniz_oxide::deflate::compress_to_vec(data, 6));
    packed.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    packed.extend_from_slice(&(data.len() as u32).to_le_bytes());
    packed
}
