//! A file that a command writes: it is there when it is whole, and what was there before stays until then.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The file while it is written; what was written is gone if this is dropped before [`finish`](Self::finish).
#[derive(Debug)]
pub struct NewFile {
    to: BufWriter<File>,
    path: PathBuf,
    /// Where it is until it is whole; `None` for what is no regular file, such as a pipe, and written at once.
    unfinished: Option<PathBuf>,
}

impl NewFile {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// What the system says: then there would be no way to write it at the end either.
    pub fn create(path: &Path) -> io::Result<Self> {
        let is_special = fs::metadata(path).is_ok_and(|found| !found.is_file());
        let unfinished = (!is_special).then(|| {
            let mut name = OsString::from(path);
            name.push(format!(".{}", std::process::id()));
            PathBuf::from(name)
        });
        let file = match &unfinished {
            Some(unfinished) => File::create(unfinished)?,
            None => File::options().write(true).open(path)?,
        };
        Ok(Self { to: BufWriter::new(file), path: path.to_owned(), unfinished })
    }

    /// It is whole.
    ///
    /// # Errors
    /// What the system says: then it is not there.
    pub fn finish(mut self) -> io::Result<()> {
        self.to.flush()?;
        if let Some(unfinished) = &self.unfinished {
            fs::rename(unfinished, &self.path)?;
            self.unfinished = None;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(unfinished) = &self.unfinished {
            // The reason why it is given up is reported already.
            let _ = fs::remove_file(unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.json");
        let entries = || fs::read_dir(dir.path()).unwrap().count();
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"first").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), entries()), (b"first".to_vec(), 1));

        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"second").unwrap();
        drop(file);
        assert_eq!((fs::read(&path).unwrap(), entries()), (b"first".to_vec(), 1));
    }

    #[test]
    fn what_is_no_file_is_written_at_once() {
        let mut null = NewFile::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let nowhere = NewFile::create(Path::new("/nowhere/trace.json")).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
}
