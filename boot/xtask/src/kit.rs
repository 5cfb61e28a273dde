//! Everything that a machine is started with, made once per run of xtask.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use machine_tests::{Config, Dom0Files, Hypervisor, Images};

use crate::images::{debian, initrd, iso, stock};
use crate::kernels::{self, Series};
use crate::packages::{self, Need};
use crate::workspace::Workspace;
use crate::{build, step};

/// The built programs, the kernels and the initrds.
pub struct Kit {
    ws: Workspace,
    logs: PathBuf,
    dom0: Vec<(&'static str, Dom0Files)>,
    /// Debian's Xen tools as an archive.
    stock_tools: Option<Vec<u8>>,
    /// A Debian system's disk, and GRUB as an archive.
    debian: Option<(PathBuf, Vec<u8>)>,
    /// Instead of the built hypervisor.
    hypervisor: Option<PathBuf>,
}

/// What to put in.
#[derive(Default)]
pub struct Wanted<'a> {
    pub needs: &'a [Need],
    /// Kernels of domain 0, each with an initrd of its own.
    pub dom0: &'a [Series],
    /// Kernels that guests can run.
    pub guests: &'a [Series],
    /// Have Debian's Xen tools at hand.
    pub stock_tools: bool,
    /// Have the disk of a Debian system at hand, and GRUB to boot it.
    pub debian: bool,
    /// Use this file as domain 0's kernel, with its own modules.
    pub kernel: Option<&'a Path>,
    /// Use this file as the hypervisor.
    pub hypervisor: Option<&'a Path>,
}

impl Kit {
    /// Installs, fetches, builds and packs what is wanted.
    pub fn assemble(ws: Workspace, wanted: &Wanted<'_>) -> Result<Self> {
        // First, since it may be wrong, and the rest takes long.
        let own_kernel = wanted.kernel.map(kernels::from_file).transpose()?;
        packages::ensure(wanted.needs)?;
        let mut guests = Vec::new();
        for series in wanted.guests {
            guests.push((*series, kernels::fetch(&ws, *series)?));
        }
        build::all(&ws)?;
        let inits = build::inits(&ws)?;
        let mut dom0 = Vec::new();
        for series in wanted.dom0 {
            let kernel = match &own_kernel {
                Some(kernel) => kernel.clone(),
                None => kernels::fetch(&ws, *series)?,
            };
            step::say(format!("packing domain 0's initrd for kernel {}", kernel.release));
            let initrd = initrd::dom0(&ws, &inits, &kernel, &guests)?;
            dom0.push((series.name(), Dom0Files { kernel: kernel.vmlinuz, initrd }));
        }
        let logs = ws.logs();
        fs::create_dir_all(&logs)?;
        let stock_tools = wanted.stock_tools.then(|| stock::archive(&ws)).transpose()?;
        let debian = match wanted.debian {
            true => Some((debian::disk(&ws)?, debian::grub(&ws)?)),
            false => None,
        };
        let hypervisor = wanted.hypervisor.map(Path::to_path_buf);
        Ok(Self { ws, logs, dom0, stock_tools, debian, hypervisor })
    }

    /// A copy of the initrd with another archive behind it.
    fn with(&self, initrd: &Path, name: &str, archive: &[u8]) -> Result<PathBuf> {
        let path = initrd.with_extension(format!("{name}.cpio"));
        let mut bytes = fs::read(initrd)?;
        bytes.extend_from_slice(archive);
        build::write(&path, &bytes)?;
        Ok(path)
    }
}

impl Images for Kit {
    fn hypervisor(&self, which: Hypervisor) -> Result<PathBuf> {
        match (which, &self.hypervisor) {
            (_, Some(file)) => Ok(file.clone()),
            (Hypervisor::Tenon, None) => Ok(self.ws.hypervisor()),
            (Hypervisor::Xen, None) => bail!("stock Xen is not part of this kit"),
        }
    }

    fn dom0(&self, config: &Config) -> Result<Dom0Files> {
        let found = self.dom0.iter().find(|(name, _)| *name == config.kernel);
        let mut files = found
            .map(|(_, f)| f.clone())
            .with_context(|| format!("this kit has no kernel {}", config.kernel))?;
        if config.stock_tools {
            let tools = self.stock_tools.as_ref().context("this kit has no stock tools")?;
            files.initrd = self.with(&files.initrd, "stock", tools)?;
        }
        if config.debian {
            let (_, grub) = self.debian.as_ref().context("this kit has no Debian system")?;
            files.initrd = self.with(&files.initrd, "grub", grub)?;
        }
        Ok(files)
    }

    fn debian_disk(&self) -> Result<PathBuf> {
        Ok(self.debian.as_ref().context("this kit has no Debian system")?.0.clone())
    }

    fn program(&self, name: &str) -> PathBuf {
        self.ws.dist().join("guests").join(name)
    }

    fn iso(&self, name: &str, config: &Config) -> Result<PathBuf> {
        let (kernel, initrd, cmdline) = match config.program {
            Some(program) => (self.program(program), None, config.cmdline.clone()),
            None => {
                let dom0 = self.dom0(config)?;
                (dom0.kernel, Some(dom0.initrd), config.kernel_cmdline())
            }
        };
        let entry = iso::Entry {
            hypervisor: &self.hypervisor(config.hypervisor)?,
            options: &config.hypervisor_options(),
            kernel: &kernel,
            cmdline: &cmdline,
            initrd: initrd.as_deref(),
        };
        iso::make(&self.ws, &name.replace('/', "-"), &entry)
    }

    fn logs(&self) -> &Path {
        &self.logs
    }
}
