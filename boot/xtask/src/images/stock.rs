//! Debian's own Xen tools, with the libraries that they need, as an archive to put behind domain 0's
//! initrd: Linux unpacks one after the other. They are dynamic, so the closure over the needed
//! libraries is made here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader};

use super::cpio::Archive;
use crate::apt::{Apt, Arch};
use crate::step;
use crate::workspace::Workspace;

/// Where the programs and their libraries come from.
const PACKAGES: [&str; 20] = [
    "xen-utils-4.17",
    "xenstore-utils",
    "libxenmisc4.17",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libyajl2",
    "libnl-3-200",
    "libnl-route-3-200",
    "libuuid1",
    "libc6",
    "zlib1g",
    "liblzma5",
    "libzstd1",
];

/// Compression and terminal libraries of the builder, beside those above.
const MORE_PACKAGES: [&str; 6] =
    ["libbz2-1.0", "liblzo2-2", "libncurses6", "libtinfo6", "libfdt1", "libgcc-s1"];

/// The C library opens this one by name when a thread is cancelled.
const CANCELLATION: &str = "libgcc_s.so.1";

/// Programs of xen-utils; `xenstore` serves its many names.
const PROGRAMS: [&str; 9] = [
    "xl",
    "xenstored",
    "xenconsoled",
    "xenconsole",
    "xen-init-dom0",
    "xentrace",
    "test-resource",
    "test-xenstore",
    "test-cpu-policy",
];
const XENSTORE_NAMES: [&str; 5] =
    ["xenstore-ls", "xenstore-read", "xenstore-write", "xenstore-rm", "xenstore-list"];

/// What xl runs to connect devices: no more than what is needed, where Debian's own scripts want bash and take long.
const BLOCK_SCRIPT: &str = "\
#!/bin/sh
[ $1 = add ] || exit 0
path=$(xenstore-read $XENBUS_PATH/params)
xenstore-write $XENBUS_PATH/physical-device $(stat -L -c %t:%T $path) $XENBUS_PATH/physical-device-path $path \
$XENBUS_PATH/hotplug-status connected
";
const BRIDGE_SCRIPT: &str = "\
#!/bin/sh
[ $1 = online ] || exit 0
ifconfig $vif up
brctl addif $(xenstore-read $XENBUS_PATH/bridge) $vif
xenstore-write $XENBUS_PATH/hotplug-status connected
";

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Makes the archive.
pub fn archive(ws: &Workspace) -> Result<Vec<u8>> {
    let roots = unpack(ws)?;
    step::say("packing Debian's Xen tools");
    let mut archive = Archive::default();
    let mut queue: Vec<PathBuf> = Vec::new();
    for name in PROGRAMS {
        queue.push(find(&roots, &[&format!("usr/lib/xen-4.17/bin/{name}")])?);
    }
    for name in XENSTORE_NAMES {
        queue.push(find(&roots, &[&format!("usr/bin/{name}")])?);
    }
    for program in &queue {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        archive.program(&format!("usr/bin/{name}"), &read(program)?);
    }
    let loader = find(&roots, &["lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"])?;
    archive.program("lib64/ld-linux-x86-64.so.2", &read(&loader)?);
    let mut done = BTreeSet::new();
    let mut wanted = vec![CANCELLATION.to_owned()];
    while let Some(file) = queue.pop() {
        wanted.extend(needed(&read(&file)?).with_context(|| format!("cannot read {}", file.display()))?);
        for library in wanted.drain(..) {
            if library.starts_with("ld-linux") || !done.insert(library.clone()) {
                continue;
            }
            let places = [format!("{LIBRARIES}/{library}"), format!("lib/x86_64-linux-gnu/{library}")];
            let path = find(&roots, &[&places[0], &places[1]])?;
            archive.program(&format!("{LIBRARIES}/{library}"), &read(&path)?);
            queue.push(path);
        }
    }
    for directory in ["var/lib/xenstored", "var/log/xen/console", "var/lib/xen", "etc/xen"] {
        archive.directory(directory);
    }
    // xl starts its helpers from where the package has them.
    archive.link("usr/lib/xen-4.17/bin", "/usr/bin");
    archive.link("var/run", "/run");
    archive.program("etc/xen/scripts/block", BLOCK_SCRIPT.as_bytes());
    archive.program("etc/xen/scripts/vif-bridge", BRIDGE_SCRIPT.as_bytes());
    archive.file("etc/xen/xl.conf", b"autoballoon=0\n");
    Ok(archive.finish())
}

fn unpack(ws: &Workspace) -> Result<Vec<PathBuf>> {
    let apt = Apt::open(&ws.cache(), Arch::Amd64)?;
    let mut roots = Vec::new();
    for package in PACKAGES.iter().chain(&MORE_PACKAGES) {
        let root = ws.cache().join("stock").join(package);
        apt.unpack(package, &root)?;
        roots.push(root);
    }
    Ok(roots)
}

/// The first of `places` that any of the packages has. Links inside a package are followed.
fn find(roots: &[PathBuf], places: &[&str]) -> Result<PathBuf> {
    let candidates = roots.iter().flat_map(|root| places.iter().map(|place| root.join(place)));
    let found = candidates.into_iter().find(|path| path.exists());
    found.with_context(|| format!("none of the packages unpacked has {}", places.join(" or ")))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The names in the dynamic section's NEEDED entries.
fn needed(elf: &[u8]) -> Result<Vec<String>> {
    let header = FileHeader64::<Endianness>::parse(elf)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, elf)?;
    let Some((entries, strings)) = sections.dynamic(endian, elf)? else { return Ok(Vec::new()) };
    let strings = sections.strings(endian, elf, strings)?;
    let mut names = Vec::new();
    for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
        let name = entry.string(endian, strings)?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Ok(names)
}
