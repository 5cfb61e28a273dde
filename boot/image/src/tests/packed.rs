//! Each compression, whole.

use std::borrow::Cow;
use std::string::ToString;
use std::vec;

use super::build::{Kernel, bzimage, contents, pack};
use crate::{Compression, File, Image, ImageError, UnpackError, unpack};

const LIMIT: usize = 64 << 20;
const SUPPORTED: [Compression; 5] =
    [Compression::Gzip, Compression::Xz, Compression::Lzma, Compression::Lz4, Compression::Zstd];

/// A kernel large enough for several blocks and chunks of each format.
fn kernel() -> Kernel {
    let mut kernel = Kernel::default();
    kernel.segments[0] = (0xc0_0000, contents(0x30_0000, 7), 0x40_2000);
    kernel
}

#[test]
fn every_compression_unpacks_to_the_kernel() {
    let elf = kernel().elf();
    for compression in SUPPORTED {
        let file = bzimage(&pack(compression, &elf));
        let File::Packed(packed) = File::parse(&file).expect("a bzImage") else { panic!("it is packed") };
        assert_eq!((packed.compression(), packed.unpacked_len()), (compression, elf.len()));
        let unpacked = unpack(&file, LIMIT).unwrap_or_else(|error| panic!("{compression}: {error}"));
        assert!(*unpacked == elf, "{compression}");
        assert!(Image::parse(&unpacked).is_ok());
    }
}

#[test]
fn more_than_one_lz4_block() {
    let mut kernel = kernel();
    kernel.segments[0] = (0x1000, vec![7; 9 << 20], 9 << 20);
    let elf = kernel.elf();
    assert!(*unpack(&bzimage(&pack(Compression::Lz4, &elf)), LIMIT).unwrap() == elf);
}

#[test]
fn plain_kernels_are_borrowed() {
    let elf = Kernel::default().elf();
    assert!(matches!(unpack(&elf, 0), Ok(Cow::Borrowed(found)) if found == elf));
    let file = bzimage(&elf);
    assert!(matches!(unpack(&file, 0), Ok(Cow::Borrowed(found)) if found == elf));
}

#[test]
fn a_gzipped_elf_file_needs_no_bzimage() {
    let elf = Kernel::default().elf();
    assert!(*unpack(&pack(Compression::Gzip, &elf), LIMIT).unwrap() == elf);
}

#[test]
fn the_limit_holds() {
    let elf = Kernel::default().elf();
    let file = bzimage(&pack(Compression::Zstd, &elf));
    let refused = unpack(&file, elf.len() - 1).unwrap_err();
    assert_eq!(refused, ImageError::TooLarge { unpacked: elf.len() as u64, limit: elf.len() as u64 - 1 });
}

#[test]
fn a_wrong_size_is_noticed() {
    let elf = Kernel::default().elf();
    for compression in SUPPORTED {
        for difference in [-1, 1] {
            let mut packed = pack(compression, &elf);
            let trailer = packed.len() - 4;
            packed[trailer..].copy_from_slice(&(elf.len() as i32 + difference).to_le_bytes());
            let refused = unpack(&bzimage(&packed), LIMIT).unwrap_err();
            assert!(matches!(refused, ImageError::Unpack { .. }), "{compression} {difference}: {refused:?}");
        }
    }
}

#[test]
fn wrong_checksums_are_noticed() {
    let elf = kernel().elf();
    let mut packed = pack(Compression::Gzip, &elf);
    let crc = packed.len() - 8;
    packed[crc] ^= 1;
    let refused = unpack(&packed, LIMIT).unwrap_err();
    let wanted = ImageError::Unpack { compression: Compression::Gzip, cause: UnpackError::Checksum };
    assert_eq!(refused, wanted);
    assert_eq!(refused.to_string(), "corrupt gzip data: the checksum of the unpacked bytes is wrong");
}

#[test]
fn unknown_and_unsupported_packing_is_named() {
    let refused = unpack(&bzimage(b"no kernel at all"), LIMIT).unwrap_err();
    assert_eq!(refused, ImageError::UnknownCompression { magic: *b"no ker" });
    let refused = unpack(&bzimage(&pack(Compression::Bzip2, &[])), LIMIT).unwrap_err();
    assert_eq!(refused, ImageError::UnsupportedCompression(Compression::Bzip2));
}
