//! Whether a disk keeps what it said was durable: a writer of numbered, checksummed blocks, and a reader that checks
//! them.
//!
//! Block number N of the sequence goes to a place that N alone decides. Each of its sectors says its number, its place
//! and a checksum, since a disk promises no more than whole sectors. The writer says `blocks: safe N` when the blocks
//! up to N are durable. After whatever happened then, each place must hold the last block up to N that went there, or
//! a later one.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

/// Blocks that there is room for: 4 MiB.
const PLACES: u64 = 1024;
const SECTOR: usize = 512;
const SECTORS: usize = 8;
const BLOCK: usize = SECTOR * SECTORS;
/// Blocks between two times that everything is made durable.
const BATCH: u64 = 6;
const MAGIC: u64 = u64::from_le_bytes(*b"tenonblk");

/// Does what the words after the program's name ask for: `write DEVICE`, for ever, or `verify DEVICE SAFE`.
///
/// # Errors
/// The device cannot be used, or has lost a block.
pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["write", device] => write(device),
        ["verify", device, safe] => verify(device, safe.parse().context("the number of a block")?),
        _ => bail!("blocks write DEVICE, or blocks verify DEVICE SAFE"),
    }
}

/// A mixer of bits (splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn place(number: u64) -> u64 {
    mix(number) % PLACES
}

/// Sector `sector` of block `number`.
fn sector(number: u64, sector: usize) -> [u8; SECTOR] {
    let mut words = [0; SECTOR / 8];
    let seed = mix(number ^ (sector as u64) << 56);
    for (i, word) in words.iter_mut().enumerate() {
        *word = mix(seed.wrapping_add(i as u64));
    }
    (words[0], words[1], words[2]) = (MAGIC, number, sector as u64);
    words[3] = words[4..].iter().fold(number, |sum, word| mix(sum ^ word));
    let mut bytes = [0; SECTOR];
    for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

fn write(device: &str) -> Result<()> {
    let file = File::options().write(true).open(device).with_context(|| device.to_owned())?;
    let mut block = [0; BLOCK];
    for number in 1.. {
        for (i, to) in block.as_chunks_mut::<SECTOR>().0.iter_mut().enumerate() {
            *to = sector(number, i);
        }
        file.write_all_at(&block, place(number) * BLOCK as u64).context("blocks: write")?;
        if number % BATCH == 0 {
            file.sync_data().context("blocks: sync")?;
            println!("blocks: safe {number}");
        }
    }
    Ok(())
}

fn verify(device: &str, safe: u64) -> Result<()> {
    let mut expected = vec![0; PLACES as usize];
    for number in 1..=safe {
        expected[place(number) as usize] = number;
    }
    let mut file = File::open(device).with_context(|| device.to_owned())?;
    let mut block = [0; BLOCK];
    let mut later = 0;
    for (at, expected) in expected.into_iter().enumerate() {
        file.read_exact(&mut block)?;
        if expected == 0 {
            continue;
        }
        for (i, bytes) in block.as_chunks::<SECTOR>().0.iter().enumerate() {
            let found = u64::from_le_bytes(*bytes[8..].first_chunk().context("a sector has a number")?);
            let is_whole = *bytes == sector(found, i) && place(found) == at as u64;
            ensure!(is_whole, "blocks: place {at} sector {i} is damaged (says {found})");
            ensure!(found >= expected, "blocks: place {at} sector {i} has block {found}, lost {expected}");
            later += u64::from(found > safe);
        }
    }
    println!("blocks: verified up to {safe}, {later} sectors are later");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_block_and_a_damaged_one_are_found() {
        let path = std::env::temp_dir().join(format!("blocks-{}", std::process::id()));
        let name = path.to_str().unwrap();
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(PLACES * BLOCK as u64).unwrap();
        for number in 1..=20 {
            for i in 0..SECTORS {
                let at = place(number) * BLOCK as u64 + (i * SECTOR) as u64;
                file.write_all_at(&sector(number, i), at).unwrap();
            }
        }
        assert!(verify(name, 18).is_ok());
        assert!(verify(name, 24).is_err());
        file.write_all_at(&[1], place(7) * BLOCK as u64 + 700).unwrap();
        assert!(verify(name, 18).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
