//! Damaged files: any answer but a panic or memory beyond the limit.

use std::sync::OnceLock;
use std::vec::Vec;

use proptest::prelude::*;

use super::build::{Kernel, bzimage, contents, pack};
use crate::{Compression, Image, unpack};

const LIMIT: usize = 1 << 20;

fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(make_files)
}

fn make_files() -> Vec<Vec<u8>> {
    let mut kernel = Kernel::default();
    kernel.segments[0].1 = contents(0x1_0000, 9);
    kernel.segments[0].2 = 0x1_0000;
    kernel.segments[1].0 = 0x200_0000;
    let elf = kernel.elf();
    let packings =
        [Compression::Gzip, Compression::Xz, Compression::Lzma, Compression::Lz4, Compression::Zstd];
    let mut files: Vec<Vec<u8>> = packings.iter().map(|c| bzimage(&pack(*c, &elf))).collect();
    files.push(elf);
    files
}

/// Where a flipped bit does most: headers, and ends.
fn place(len: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => 0..len,
        1 => 0..len.min(0x260),
        1 => 0x1000.min(len - 1)..0x1040.min(len),
        1 => len.saturating_sub(0x60)..len,
    ]
}

fn try_all(file: &[u8]) {
    if let Ok(elf) = unpack(file, LIMIT) {
        assert!(elf.len() <= LIMIT.max(file.len()));
        if let Ok(image) = Image::parse(&elf) {
            assert!(image.extent().contains(&image.entry()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 300 }))]

    #[test]
    fn flipped_bits(which in 0usize..6, flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
        let mut file = files()[which].clone();
        let len = file.len();
        for (index, bit) in flips {
            file[index.index(len)] ^= 1 << bit;
        }
        try_all(&file);
    }

    #[test]
    fn overwritten_places((which, at, bytes) in (0usize..6).prop_flat_map(|which| {
        let len = files()[which].len();
        (Just(which), place(len), prop::collection::vec(any::<u8>(), 1..9))
    })) {
        let mut file = files()[which].clone();
        for (to, from) in file[at..].iter_mut().zip(bytes) {
            *to = from;
        }
        try_all(&file);
    }

    #[test]
    fn truncated_files_are_refused(which in 0usize..6, at in any::<prop::sample::Index>()) {
        let file = files()[which].clone();
        // A bzImage ends with bytes that nobody reads.
        let end = at.index(file.len() - 64);
        let refused = unpack(&file[..end], LIMIT).and_then(|elf| Image::parse(&elf).map(drop));
        prop_assert!(refused.is_err());
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..600), magic in 0usize..8) {
        let magics: [&[u8]; 8] = [b"", b"\x7fELF\x02\x01\x01", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x5d\0\0",
            b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd", b"\x7fELF\x01\x01\x01"];
        let file = [magics[magic], &bytes].concat();
        try_all(&file);
        try_all(&bzimage(&file));
    }
}
