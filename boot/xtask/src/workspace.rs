//! Where things are: the source tree, and the target directory with everything that xtask makes.

use std::env;
use std::path::{Path, PathBuf};

/// The source tree and the target directory (`CARGO_TARGET_DIR` is respected).
#[derive(Clone)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
}

impl Workspace {
    pub fn locate() -> Self {
        // Cargo sets the variable for `cargo run`; the compiled-in value serves a directly started binary.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Self { root, target }
    }

    /// What other programs use: `tenon`, `bin/`, `guests/`.
    pub fn dist(&self) -> PathBuf {
        self.target.join("dist")
    }

    /// The hypervisor as GRUB and QEMU load it.
    pub fn hypervisor(&self) -> PathBuf {
        self.dist().join("tenon")
    }

    /// Downloads: kernels and the private apt state. Survives everything but `cargo clean`.
    pub fn cache(&self) -> PathBuf {
        self.target.join("cache")
    }

    /// Initrds and boot images.
    pub fn images(&self) -> PathBuf {
        self.target.join("images")
    }

    /// One directory per run of a machine, holding the log of every party.
    pub fn logs(&self) -> PathBuf {
        self.target.join("logs")
    }
}
