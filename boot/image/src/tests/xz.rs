//! Our xz decoder against lzma-rust2's encoder.

use core::num::NonZeroU64;
use std::vec;
use std::vec::Vec;

use lzma_rust2::filter::FilterType;
use lzma_rust2::{CheckType, EncodeMode, LzmaOptions, LzmaWriter, Write, XzOptions};
use proptest::prelude::*;

use super::build::{contents, xz};
use crate::{Compression, UnpackError};

fn unpack(compression: Compression, packed: &[u8], len: usize) -> Result<Vec<u8>, UnpackError> {
    let mut out = vec![0; len];
    let done = compression.decoder().expect("supported")(packed, &mut out)?;
    out.truncate(done);
    Ok(out)
}

fn options(check: CheckType, x86_from: Option<u32>) -> XzOptions {
    let mut options = XzOptions::with_preset(0);
    options.lzma_options.dict_size = 1 << 16;
    options.set_check_sum_type(check);
    if let Some(start) = x86_from {
        options.prepend_pre_filter(FilterType::BcjX86, start);
    }
    options
}

#[test]
fn every_check() {
    let data = contents(100_000, 5);
    for check in [CheckType::None, CheckType::Crc32, CheckType::Crc64] {
        let packed = xz(&data, options(check, None));
        assert!(unpack(Compression::Xz, &packed, data.len()).unwrap() == data, "{check:?}");
    }
    let refused = unpack(Compression::Xz, &xz(&data, options(CheckType::Sha256, None)), data.len());
    assert!(matches!(refused, Err(UnpackError::Invalid(_))));
}

#[test]
fn blocks_are_filtered_each_by_itself() {
    let data = contents(300_000, 6);
    let mut options = options(CheckType::Crc32, Some(0));
    options.block_size = NonZeroU64::new(1 << 16);
    assert!(unpack(Compression::Xz, &xz(&data, options), data.len()).unwrap() == data);
}

#[test]
fn a_changed_byte_fails_the_check() {
    // Noise is stored as it is, so the change reaches the output.
    let mut state = 1u32;
    let data: Vec<u8> = core::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(5000)
    .collect();
    for check in [CheckType::Crc32, CheckType::Crc64] {
        let mut packed = xz(&data, options(check, None));
        packed[2500] ^= 1;
        assert_eq!(unpack(Compression::Xz, &packed, data.len()), Err(UnpackError::Checksum));
    }
}

#[test]
fn data_that_cannot_be_packed_comes_in_plain_chunks() {
    let data: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let noise: Vec<u8> = data.iter().enumerate().map(|(i, b)| b ^ ((i * i) >> 7) as u8).collect();
    let both = [contents(100_000, 8), noise, contents(100_000, 8)].concat();
    assert!(
        unpack(Compression::Xz, &xz(&both, options(CheckType::Crc32, None)), both.len()).unwrap() == both
    );
}

#[test]
fn runs_of_every_period_and_length() {
    let mut data = Vec::new();
    for period in 1..40usize {
        for len in [2, 3, 15, 16, 17, 63, 300] {
            let start = data.len();
            data.extend((0..period).map(|i| (i * 7 + period + len) as u8));
            for _ in 0..len {
                data.push(data[data.len() - period]);
            }
            data.extend_from_slice(&(start as u32).to_be_bytes());
        }
    }
    assert!(
        unpack(Compression::Xz, &xz(&data, options(CheckType::Crc32, None)), data.len()).unwrap() == data
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 }))]

    #[test]
    fn the_x86_filter_is_undone(
        picks in prop::collection::vec((0usize..8, any::<u8>()), 0..3000),
        start in prop_oneof![Just(0u32), any::<u16>().prop_map(|n| u32::from(n) * 16)],
    ) {
        let data: Vec<u8> = picks.iter().map(|(pick, other)| [0xe8, 0xe9, 0, 0xff, 0, 0xff, 1, *other][*pick]).collect();
        let packed = xz(&data, options(CheckType::Crc32, Some(start)));
        prop_assert_eq!(unpack(Compression::Xz, &packed, data.len()), Ok(data));
    }

    #[test]
    fn all_properties_and_both_endings(
        seed: u32,
        len in 0usize..20_000,
        (lc, lp) in (0u32..=4).prop_flat_map(|lc| (Just(lc), 0..=4 - lc)),
        pb in 0u32..=4,
        marker: bool,
    ) {
        let data = contents(len, seed);
        let mut options = LzmaOptions::with_preset(1);
        (options.lc, options.lp, options.pb, options.mode) = (lc, lp, pb, EncodeMode::Normal);
        let size = (!marker).then_some(len as u64);
        let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, size).expect("options");
        writer.write_all(&data).expect("memory");
        let packed = writer.finish().expect("memory");
        prop_assert!(unpack(Compression::Lzma, &packed, len) == Ok(data));
    }
}
