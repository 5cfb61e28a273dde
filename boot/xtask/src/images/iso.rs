//! The boot image: a GRUB ISO that starts by BIOS and by UEFI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;
use crate::workspace::Workspace;

/// What GRUB loads: the hypervisor and its modules, each with a command line.
pub struct Entry<'a> {
    pub hypervisor: &'a Path,
    pub options: &'a str,
    pub kernel: &'a Path,
    pub cmdline: &'a str,
    pub initrd: Option<&'a Path>,
}

/// Makes `images/NAME.iso`.
pub fn make(ws: &Workspace, name: &str, entry: &Entry<'_>) -> Result<PathBuf> {
    let iso = ws.images().join(format!("{name}.iso"));
    step::say(format!("making the boot image {}", iso.display()));
    let tree = ws.images().join(format!("{name}.tree"));
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(tree.join("boot/grub"))?;
    let files = [("tenon", entry.hypervisor), ("vmlinuz", entry.kernel)];
    for (name, file) in files.into_iter().chain(entry.initrd.map(|file| ("initrd", file))) {
        fs::copy(file, tree.join("boot").join(name))
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    fs::write(tree.join("boot/grub/grub.cfg"), configuration(entry))?;
    let mut command = Command::new("grub-mkrescue");
    command.arg("-o").arg(&iso).arg(&tree);
    step::quiet(&mut command)?;
    fs::remove_dir_all(&tree)?;
    Ok(iso)
}

fn configuration(entry: &Entry<'_>) -> String {
    let initrd = if entry.initrd.is_some() { "    module2 /boot/initrd\n" } else { "" };
    format!(
        "serial --unit=0 --speed=115200\n\
         terminal_input serial console\n\
         terminal_output serial console\n\
         set timeout=0\n\
         menuentry Tenon {{\n\
         \x20   insmod all_video\n\
         \x20   multiboot2 /boot/tenon {}\n\
         \x20   module2 /boot/vmlinuz {}\n\
         {initrd}\
         }}\n",
        entry.options, entry.cmdline
    )
}
