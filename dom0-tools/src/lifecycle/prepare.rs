//! Unpacking a kernel before a guest needs it, when nobody else wants the CPU.

use std::fs;
use std::path::{Path, PathBuf};

use crate::builder::kernel;
use crate::config;

/// Where administrators keep guest files.
pub const GUEST_FILES: &str = "/etc/tenon";

/// Unpacks the kernel of the first guest file, in a thread of the lowest priority.
pub fn in_background() {
    std::thread::spawn(|| {
        // On Linux this is about the calling thread alone. At worst the work is done at normal priority.
        let _ = rustix::process::setpriority_process(None, 19);
        if let Some(kernel) = first_kernel(Path::new(GUEST_FILES)) {
            // Whatever is wrong with the file is told to whoever creates a guest from it.
            let _ = kernel::load(&kernel, Path::new(kernel::CACHE));
        }
    });
}

/// The kernel of the first guest file in `directory` that is one.
fn first_kernel(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.iter().find_map(|file| Some(config::load(file).ok()?.config.kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_guest_file_counts() {
        let directory = std::env::temp_dir().join(format!("tenon-prepare-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("a.txt"), "no guest").unwrap();
        fs::write(directory.join("c.cfg"), "name='c';type='pvh';kernel='/c';memory=1").unwrap();
        fs::write(directory.join("b.cfg"), "name='b';type='pvh';kernel='/b';memory=1").unwrap();
        assert_eq!(first_kernel(&directory), Some("/b".into()));
        assert_eq!(first_kernel(Path::new("/nonexistent")), None);
        fs::remove_dir_all(&directory).unwrap();
    }
}
