//! Reading and writing a disk past the guest's own cache.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;

use super::{appears, cheapest};

const BLOCK: usize = 4096;
const LARGE: usize = 1 << 20;

/// A buffer that begins at a page, as direct I/O wants it.
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new(length: usize) -> Self {
        let bytes = vec![0x5a; length + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Self { bytes, start, length }
    }

    fn get(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

/// Offsets that jump about, the same in every run.
struct Random(u64);

impl Random {
    /// One below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    let file = File::options().read(true).write(true).custom_flags(direct).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sectors = std::fs::read_to_string(format!("/sys/class/block/{name}/size"))?;
    let bytes = 512 * sectors.trim().parse::<u64>()?;
    ensure!(bytes >= LARGE as u64, "{} has {bytes} bytes only", path.display());
    Ok((file, bytes))
}

/// Large pieces one after another, and single blocks here and there.
pub fn measure(path: &Path) -> Result<()> {
    appears(&path.to_string_lossy())?;
    let (file, size) = open(path)?;
    let (mut large, mut block) = (Buffer::new(LARGE), Buffer::new(BLOCK));
    let pieces = size / LARGE as u64;
    let mut piece = 0;
    let mut next = || {
        piece = (piece + 1) % pieces;
        piece * LARGE as u64
    };
    cheapest("disk-write-sequential", "MiB", 8, || Ok(file.write_all_at(large.get(), next())?))?;
    cheapest("disk-read-sequential", "MiB", 8, || Ok(file.read_exact_at(large.get(), next())?))?;
    let (blocks, mut random) = (size / BLOCK as u64, Random(1));
    let mut any = || random.below(blocks) * BLOCK as u64;
    cheapest("disk-write-4KiB", "request", 200, || Ok(file.write_all_at(block.get(), any())?))?;
    cheapest("disk-read-4KiB", "request", 200, || Ok(file.read_exact_at(block.get(), any())?))
}

/// Reads one block.
pub fn read_one(path: &Path) -> Result<()> {
    let (file, _) = open(path)?;
    Ok(file.read_exact_at(Buffer::new(BLOCK).get(), 0)?)
}
