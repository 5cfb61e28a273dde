//! Images of QEMU's own making, written to by us and judged by QEMU; and damaged ones.

use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::open;
use super::header::REFCOUNT_TABLE;
use super::*;

/// Bytes of the disks.
const SIZE: usize = 2 << 20;

fn qemu_img(args: &[&str]) -> bool {
    let done = Command::new("qemu-img").args(args).output().expect("qemu-img (Debian: qemu-utils)");
    if !done.status.success() {
        eprintln!("qemu-img {args:?}: {}", String::from_utf8_lossy(&[done.stdout, done.stderr].concat()));
    }
    done.status.success()
}

/// A directory with an image of `SIZE` bytes, and its path.
fn image(options: &str, more: &[&str]) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("disk");
    let mut args = vec!["create", "-q", "-f", "qcow2", "-o", options];
    args.extend(more);
    let (name, size) = (path.to_str().unwrap().to_owned(), SIZE.to_string());
    args.extend([name.as_str(), &size]);
    assert!(qemu_img(&args));
    (directory, path)
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| seed.wrapping_add((i / 512) as u8).wrapping_mul(31) | 1).collect()
}

fn read(image: &dyn Image, offset: usize, len: usize) -> io::Result<Vec<u8>> {
    read_whole(image.read(offset as u64, len)?)
}

fn write(image: &dyn Image, offset: usize, data: &[u8]) -> io::Result<()> {
    let mut at = 0;
    for (len, target) in image.write(offset as u64, data.len())? {
        let part = &data[at..at + len];
        match target {
            Target::New => image.write_new((offset + at) as u64, part)?,
            Target::Place(place) => image.file().write_all_at(part, place)?,
        }
        at += len;
    }
    assert_eq!(at, data.len());
    Ok(())
}

/// What QEMU says is on the disk.
fn as_qemu_reads(path: &Path) -> Vec<u8> {
    let raw = path.with_extension("raw");
    let (from, to) = (path.to_str().unwrap(), raw.to_str().unwrap());
    assert!(qemu_img(&["convert", "-f", "qcow2", "-O", "raw", from, to]));
    std::fs::read(raw).unwrap()
}

/// Writes to an image what `writes` say; holds it against a model, and lets QEMU judge it.
fn written(path: &Path, mut model: Vec<u8>, writes: &[(usize, usize, u8)], killed: bool) {
    let image = open(path, Format::Qcow2, false).unwrap();
    assert!(read(&*image, 0, SIZE).unwrap() == model, "before any write");
    for (sector, count, seed) in writes {
        let (offset, data) = (sector * 512, pattern(*seed, count * 512));
        let data = &data[..data.len().min(SIZE - offset)];
        write(&*image, offset, data).unwrap();
        model[offset..offset + data.len()].copy_from_slice(data);
    }
    assert!(read(&*image, 0, SIZE).unwrap() == model, "after the writes");
    if killed {
        std::mem::forget(image);
        assert!(as_qemu_reads(path) == model, "as QEMU reads it after a kill");
        // Clusters that nothing uses are all that may be wrong.
        assert!(qemu_img(&["check", "-q", "-r", "leaks", path.to_str().unwrap()]));
    } else {
        drop(image);
        assert!(as_qemu_reads(path) == model, "as QEMU reads it");
    }
    assert!(qemu_img(&["check", "-q", path.to_str().unwrap()]));
}

fn some_writes() -> impl Strategy<Value = Vec<(usize, usize, u8)>> {
    prop::collection::vec((0..SIZE / 512, 1..300usize, any::<u8>()), 1..20)
}

const OPTIONS: [&str; 6] = [
    "cluster_size=64k",
    "cluster_size=512",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=512,refcount_bits=64",
    "compat=0.10,cluster_size=1k",
    "cluster_size=2M,lazy_refcounts=on",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_what_qemu_reads(options in 0..OPTIONS.len(), writes in some_writes(), killed: bool) {
        let (_directory, path) = image(OPTIONS[options], &[]);
        written(&path, vec![0; SIZE], &writes, killed);
    }

    #[test]
    fn a_backing_file_shows_through(qcow2: bool, writes in some_writes(), killed: bool) {
        let (directory, path) = image("cluster_size=4k", &[]);
        let base = directory.path().join("base");
        // Shorter than the disk.
        let mut model = pattern(3, SIZE / 2 + 512);
        std::fs::write(&base, &model).unwrap();
        let mut name = base.clone();
        if qcow2 {
            name = directory.path().join("base.qcow2");
            assert!(qemu_img(&["convert", "-f", "raw", "-O", "qcow2", base.to_str().unwrap(), name.to_str().unwrap()]));
        }
        model.resize(SIZE, 0);
        let format = if qcow2 { "qcow2" } else { "raw" };
        let relative = name.file_name().unwrap().to_str().unwrap();
        assert!(qemu_img(&["rebase", "-u", "-f", "qcow2", "-F", format, "-b", relative, path.to_str().unwrap()]));
        written(&path, model, &writes, killed);
    }

    #[test]
    fn compressed_clusters_are_read_and_replaced(zstd: bool, writes in some_writes(), killed: bool) {
        let directory = TempDir::new().unwrap();
        let (raw, path) = (directory.path().join("raw"), directory.path().join("disk"));
        let model = pattern(9, SIZE);
        std::fs::write(&raw, &model).unwrap();
        let kind = if zstd { "compression_type=zstd" } else { "compression_type=zlib" };
        let (from, to) = (raw.to_str().unwrap(), path.to_str().unwrap());
        assert!(qemu_img(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", kind, from, to]));
        written(&path, model, &writes, killed);
    }

    /// Nothing but errors comes of damage, and reads stay in the image.
    #[test]
    fn damage_is_survived(
        damage in prop::collection::vec((0..400_000usize, any::<u8>()), 1..12),
        first in prop::collection::vec((0..112usize, any::<u8>()), 0..2),
        writes in some_writes(),
    ) {
        let (_directory, path) = image("cluster_size=4k", &[]);
        {
            let image = open(&path, Format::Qcow2, false).unwrap();
            write(&*image, 0, &pattern(1, SIZE / 4)).unwrap();
        }
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in damage.into_iter().chain(first) {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        let Ok(image) = open(&path, Format::Qcow2, false) else { return Ok(()) };
        let size = image.sectors() as usize * 512;
        for (sector, count, seed) in writes {
            let (offset, len) = (sector * 512, count * 512);
            if offset + len <= size {
                let _ = read(&*image, offset, len);
                let _ = write(&*image, offset, &pattern(seed, len));
            }
        }
        // Not one of the entries leads far away.
        prop_assert!(path.metadata().unwrap().len() < 64 << 20);
    }
}

#[test]
fn zero_clusters_are_zeros_and_can_be_written() {
    let (_directory, path) = image("cluster_size=64k,preallocation=metadata", &[]);
    let io = |command: &str| {
        Command::new("qemu-io").args(["-f", "qcow2", "-c", command]).arg(&path).output().unwrap()
    };
    assert!(io("write -P 7 0 512k").status.success());
    assert!(io("write -z 64k 128k").status.success());
    let mut model = vec![0; SIZE];
    model[..512 << 10].fill(7);
    model[64 << 10..192 << 10].fill(0);
    written(&path, model, &[(130, 3, 1), (500, 20, 2)], false);
}

/// More clusters than the first table of reference counts has blocks for.
#[test]
fn the_table_of_reference_counts_grows() {
    let (_directory, path) = image("cluster_size=512,refcount_bits=64", &[]);
    let place = |path: &Path| std::fs::read(path).unwrap()[REFCOUNT_TABLE as usize..][..12].to_vec();
    let before = place(&path);
    let whole = [(0, SIZE / 512, 1), (100, 7, 2)];
    written(&path, vec![0; SIZE], &whole, false);
    assert_ne!(place(&path), before);
    written(&path, std::fs::read(path.with_extension("raw")).unwrap(), &[(5, 900, 3)], true);
}

#[test]
fn refusals_name_the_cause() {
    let flaw = |options: &str, change: &dyn Fn(&Path)| {
        let (_directory, path) = image(options, &[]);
        change(&path);
        open(&path, Format::Qcow2, false).err().unwrap().to_string()
    };
    let put = |at: u64, bytes: &'static [u8]| {
        move |path: &Path| File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap()
    };
    let plain = "cluster_size=64k";
    assert_eq!(flaw(plain, &put(0, b"QCOW")), "this is not a qcow2 image");
    assert_eq!(flaw(plain, &put(4, &[0, 0, 0, 4])), "qcow2 version 4; 2 and 3 are known");
    assert_eq!(flaw(plain, &put(79, &[1])), Flaw::Dirty.to_string());
    assert_eq!(flaw(plain, &put(79, &[2])), Flaw::Corrupt.to_string());
    assert_eq!(flaw(plain, &put(79, &[32])), Flaw::Feature(5).to_string());
    assert_eq!(flaw(plain, &put(35, &[1])), Flaw::Encrypted.to_string());
    assert_eq!(flaw("extended_l2=on", &|_| {}), Flaw::ExtendedL2.to_string());
    assert_eq!(flaw(plain, &put(40, &[0xff; 8])), Flaw::Field("l1_table_offset", u64::MAX).to_string());
    let snapshot = |path: &Path| assert!(qemu_img(&["snapshot", "-c", "one", path.to_str().unwrap()]));
    assert_eq!(flaw(plain, &snapshot), Flaw::Snapshots(1).to_string());
}

/// An image that says that the disk's first cluster is where a table is.
#[test]
fn no_write_reaches_a_table_and_the_image_is_marked() {
    let (_directory, path) = image("cluster_size=64k", &[]);
    write(&*open(&path, Format::Qcow2, false).unwrap(), 0, &pattern(1, 512)).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 40).unwrap();
    let l1 = u64::from_be_bytes(word);
    file.read_exact_at(&mut word, l1).unwrap();
    let l2 = u64::from_be_bytes(word) & !(1 << 63);
    file.write_all_at(&(l1 | 1 << 63).to_be_bytes(), l2).unwrap();
    let before = std::fs::read(&path).unwrap();
    let image = open(&path, Format::Qcow2, false).unwrap();
    let refused = write(&*image, 0, &pattern(2, 512)).unwrap_err();
    assert_eq!(refused.to_string(), Flaw::Overlap("a cluster of the disk", l1).to_string());
    assert_eq!(write(&*image, 1 << 20, &pattern(2, 512)).unwrap_err().to_string(), Flaw::Corrupt.to_string());
    drop(image);
    let after = std::fs::read(&path).unwrap();
    assert!(before[80..] == after[80..], "something was written");
    assert_eq!(open(&path, Format::Qcow2, false).err().unwrap().to_string(), Flaw::Corrupt.to_string());
    assert!(open(&path, Format::Qcow2, true).is_ok());
}
