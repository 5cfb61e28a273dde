//! Kernel modules: finds the wanted ones in an unpacked kernel package, with what they depend on.
//!
//! The package has no `modules.dep` (its installation script makes one), so the dependencies are read
//! from the modules themselves: the `depends=` entry of their `.modinfo` section.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lzma_rust2::XzReader;
use object::{Object, ObjectSection};

use super::cpio::Archive;
use crate::kernels::Kernel;

/// Adds the modules, uncompressed, and a `modules.dep` for modprobe. Wanted names that this kernel
/// has built in, or has not at all, are left out, unless they are `needed`: a kernel without those is refused.
pub fn add(archive: &mut Archive, kernel: &Kernel, needed: &[&str], wanted: &[&str]) -> Result<()> {
    let files = index(&kernel.modules)?;
    let built_in = built_in(&kernel.modules)?;
    for name in needed.iter().map(|name| normal(name)) {
        if !files.contains_key(&name) && !built_in.contains(&name) {
            bail!("kernel {} has no {name} (.ko or .ko.xz) in {}", kernel.release, kernel.modules.display());
        }
    }
    let dir = format!("lib/modules/{}", kernel.release);
    let mut queue: Vec<String> = needed.iter().chain(wanted).map(|name| normal(name)).collect();
    let mut done = BTreeSet::new();
    let mut dep = BTreeMap::new();
    while let Some(name) = queue.pop() {
        let Some(path) = files.get(&name) else { continue };
        if !done.insert(name.clone()) {
            continue;
        }
        let module = read(path)?;
        let needs = depends(&module).with_context(|| format!("cannot read {}", path.display()))?;
        archive.file(&format!("{dir}/{name}.ko"), &module);
        queue.extend(needs.iter().cloned());
        dep.insert(name, needs);
    }
    let mut lines = String::new();
    for name in dep.keys() {
        lines.push_str(&format!("{name}.ko:"));
        for need in closure(name, &dep) {
            lines.push_str(&format!(" {need}.ko"));
        }
        lines.push('\n');
    }
    archive.file(&format!("{dir}/modules.dep"), lines.as_bytes());
    Ok(())
}

/// What `name` needs, directly or not, each before what it needs itself: modprobe loads from the end.
fn closure(name: &str, dep: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut queue: Vec<String> = dep.get(name).cloned().unwrap_or_default();
    while let Some(need) = queue.pop() {
        if !dep.contains_key(&need) {
            continue; // built in
        }
        order.retain(|n| *n != need);
        queue.extend(dep.get(&need).cloned().unwrap_or_default());
        order.push(need);
    }
    order
}

/// Module names treat `-` and `_` as the same.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The modules that are part of the kernel itself, if it has a list of them.
fn built_in(dir: &Path) -> Result<BTreeSet<String>> {
    let path = dir.join("modules.builtin");
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let list = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let names = list.lines().filter_map(|line| Path::new(line).file_stem());
    Ok(names.map(|name| normal(&name.to_string_lossy())).collect())
}

fn index(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![dir.join("kernel")];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else if let Some((name, "ko" | "ko.xz")) = entry.file_name().to_string_lossy().split_once('.') {
                files.insert(normal(name), path);
            }
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if path.extension().is_none_or(|extension| extension != "xz") {
        return Ok(bytes);
    }
    let mut module = Vec::new();
    XzReader::new(bytes.as_slice(), true)
        .read_to_end(&mut module)
        .with_context(|| format!("cannot decompress {}", path.display()))?;
    Ok(module)
}

fn depends(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let section = file.section_by_name(".modinfo").context("no .modinfo section")?;
    let entries = section.data()?.split(|byte| *byte == 0);
    let list = entries.filter_map(|entry| entry.strip_prefix(b"depends=")).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    Ok(list.split(',').filter(|name| !name.is_empty()).map(normal).collect())
}
