//! The kernel file, unpacked.
//!
//! Unpacking Debian's kernel costs several times what everything else that creating a guest does costs together,
//! so the unpacked images of the kernels that were used last are kept on disk, named by what identifies the
//! file's contents. Who finds one missing unpacks it while others who want one wait.

use std::borrow::Cow;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::BuildError;

/// Where unpacked kernels are kept.
pub const CACHE: &str = "/var/cache/tenon";
/// How many are kept.
const KEPT: usize = 2;

/// The largest kernel file, and the largest unpacked kernel, in bytes.
const MAX_KERNEL: usize = 1 << 30;
/// The largest RAM disk that is read, in bytes: Linux takes none beyond 2 GiB.
const MAX_RAMDISK: u64 = 1 << 31;

/// The unpacked ELF image of the kernel file at `path`; `cache` is the directory of the kept image.
///
/// # Errors
/// If the file cannot be read or unpacked. Trouble with the cache is none.
pub fn load(path: &Path, cache: &Path) -> Result<Vec<u8>, BuildError> {
    let (mut file, metadata) = open("kernel", path, MAX_KERNEL as u64)?;
    let kept = cache.join(identity(&metadata));
    if let Ok(elf) = fs::read(&kept) {
        return Ok(elf);
    }
    // The cache is a convenience: without it the next guest merely takes longer.
    let _lock = lock(cache).ok();
    if let Ok(elf) = fs::read(&kept) {
        return Ok(elf);
    }
    let bytes = read("kernel", path, &mut file, &metadata)?;
    match guest_image::unpack(&bytes, MAX_KERNEL) {
        Ok(Cow::Borrowed(_)) => Ok(bytes),
        Ok(Cow::Owned(elf)) => {
            // As above.
            let _ = keep(&kept, &elf);
            Ok(elf)
        }
        Err(cause) => Err(BuildError::Kernel { path: path.to_owned(), cause }),
    }
}

/// Waits until nobody else is unpacking, and keeps it so until the file is closed.
fn lock(cache: &Path) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    let directory = File::open(cache)?;
    flock(&directory, FlockOperation::LockExclusive)?;
    Ok(directory)
}

/// The RAM disk at `path`.
///
/// # Errors
/// If it cannot be read.
pub fn ramdisk(path: &Path) -> Result<Vec<u8>, BuildError> {
    let (mut file, metadata) = open("ramdisk", path, MAX_RAMDISK)?;
    read("ramdisk", path, &mut file, &metadata)
}

fn open(key: &'static str, path: &Path, limit: u64) -> Result<(File, Metadata), BuildError> {
    let fail = |cause| BuildError::File { key, path: path.to_owned(), cause };
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::other("not a regular file")));
    }
    if metadata.len() > limit {
        let message = format!("{} bytes; the limit is {limit}", metadata.len());
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok((file, metadata))
}

fn read(key: &'static str, path: &Path, file: &mut File, metadata: &Metadata) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let result = file.read_to_end(&mut bytes);
    result.map_err(|cause| BuildError::File { key, path: path.to_owned(), cause })?;
    Ok(bytes)
}

/// A name that changes whenever the file's contents may have.
fn identity(file: &Metadata) -> String {
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    let times = times.map(|t| format!("{t:x}")).join("-");
    format!("{:x}-{:x}-{:x}-{times}.elf", file.dev(), file.ino(), file.size())
}

/// Keeps `elf`, and of the others only the newest. The cache is locked.
fn keep(path: &Path, elf: &[u8]) -> io::Result<()> {
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut others = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        others.push((entry.metadata()?.modified()?, entry.path()));
    }
    others.sort();
    let excess = (others.len() + 1).saturating_sub(KEPT);
    for (_, old) in &others[..excess] {
        fs::remove_file(old)?;
    }
    let new = path.with_extension("new");
    File::create(&new)?.write_all(elf)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("tenon-kernel-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn the_image_kept_is_that_of_the_same_file() {
        let directory = scratch("cache");
        let (kernel, cache) = (directory.join("vmlinux"), directory.join("cache"));
        fs::write(&kernel, b"\x7fELF first").unwrap();
        let kept = cache.join(identity(&fs::metadata(&kernel).unwrap()));
        drop(lock(&cache).unwrap());
        keep(&kept, b"kept").unwrap();
        assert_eq!(load(&kernel, &cache).unwrap(), b"kept");
        fs::write(&kernel, b"\x7fELF second").unwrap();
        assert_eq!(load(&kernel, &cache).unwrap(), b"\x7fELF second");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn only_the_newest_are_kept() {
        let cache = scratch("newest");
        let names: Vec<PathBuf> = (0..KEPT + 3).map(|i| cache.join(format!("{i}.elf"))).collect();
        for (age, name) in names.iter().rev().enumerate() {
            keep(name, b"elf").unwrap();
            let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            File::open(name).unwrap().set_modified(then).unwrap();
        }
        let left: Vec<bool> = names.iter().map(|name| name.exists()).collect();
        assert_eq!(left.iter().filter(|there| **there).count(), KEPT);
        assert!(left[..KEPT].iter().all(|there| *there));
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn messages_name_the_file() {
        let directory = scratch("errors");
        let kernel = directory.join("garbage");
        fs::write(&kernel, b"not a kernel").unwrap();
        let error = load(&kernel, &directory.join("cache")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("kernel {}: ", kernel.display())), "{error}");
        let error = ramdisk(&directory.join("none")).unwrap_err().to_string();
        assert!(error.starts_with("ramdisk ") && error.contains("none"), "{error}");
        let error = ramdisk(&directory).unwrap_err().to_string();
        assert!(error.ends_with("not a regular file"), "{error}");
        fs::remove_dir_all(&directory).unwrap();
    }
}
