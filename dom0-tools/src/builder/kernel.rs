//! The kernel file, unpacked.
//!
//! Unpacking Debian's kernel costs more instructions than everything else that creating a guest does, so the
//! unpacked image of the kernel that was used last is kept, named by what identifies the file's contents.

use std::borrow::Cow;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::BuildError;

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
    let bytes = read("kernel", path, &mut file, &metadata)?;
    match guest_image::unpack(&bytes, MAX_KERNEL) {
        Ok(Cow::Borrowed(_)) => Ok(bytes),
        Ok(Cow::Owned(elf)) => {
            // The cache is a convenience: without it the next guest merely takes longer.
            let _ = keep(&kept, &elf);
            Ok(elf)
        }
        Err(cause) => Err(BuildError::Kernel { path: path.to_owned(), cause }),
    }
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

/// Keeps `elf` as the one image in the cache.
fn keep(path: &Path, elf: &[u8]) -> io::Result<()> {
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    fs::create_dir_all(&directory)?;
    for entry in fs::read_dir(&directory)? {
        fs::remove_file(entry?.path())?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
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
        keep(&kept, b"kept").unwrap();
        assert_eq!(load(&kernel, &cache).unwrap(), b"kept");
        fs::write(&kernel, b"\x7fELF second").unwrap();
        assert_eq!(load(&kernel, &cache).unwrap(), b"\x7fELF second");
        fs::remove_dir_all(&directory).unwrap();
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
