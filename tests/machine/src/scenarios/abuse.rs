//! Bad input: everything is refused with its cause, nothing is leaked, everybody else goes on.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::bystander;
use super::lifecycle::memory_is_back;
use crate::machine::Machine;

/// The system or the hypervisor refused; the guest file is wrong.
const REFUSED: i32 = 1;
const WRONG: i32 = 3;

/// A guest file's line that is wrong, how to make the files it needs, and how it is refused: the status and the cause,
/// which stands after the file (and its line and column if the file is wrong).
struct Bad {
    prepare: &'static str,
    line: &'static str,
    status: i32,
    cause: &'static str,
}

const fn refused(prepare: &'static str, line: &'static str, cause: &'static str) -> Bad {
    Bad { prepare, line, status: REFUSED, cause }
}

const fn wrong(line: &'static str, cause: &'static str) -> Bad {
    Bad { prepare: "", line, status: WRONG, cause }
}

const BAD: [Bad; 16] = [
    refused("", "kernel = \"/nowhere\"", "kernel /nowhere: No such file or directory"),
    refused("", "kernel = \"/guests\"", "kernel /guests: not a regular file"),
    refused("", "ramdisk = \"/nowhere\"", "ramdisk /nowhere: No such file or directory"),
    refused(
        "echo no kernel > /tmp/text",
        "kernel = \"/tmp/text\"",
        "kernel /tmp/text: neither a bzImage nor an ELF file: starts with [6e, 6f, 20, 6b]",
    ),
    refused(
        "head -c 3000000 /guests/vmlinuz-6.1 > /tmp/half",
        "kernel = \"/tmp/half\"",
        "kernel /tmp/half: truncated at byte 3000000 of ",
    ),
    refused(
        "cp /guests/vmlinuz-6.1 /tmp/rotten; \
         dd if=/dev/zero of=/tmp/rotten bs=1k seek=2000 count=500 conv=notrunc 2>/dev/null",
        "kernel = \"/tmp/rotten\"",
        "kernel /tmp/rotten: corrupt xz data: ",
    ),
    refused(
        "",
        "kernel = \"/bin/busybox\"",
        "kernel /bin/busybox: not a PVH kernel: no XEN_ELFNOTE_PHYS32_ENTRY",
    ),
    refused("", "memory = 1000000", "memory = 1000000: the host has "),
    refused("", "memory = 16", "memory = 16: the kernel has to be loaded at 0x1000000 to "),
    wrong("memory = \"much\"", "memory = \"much\": it must be a number"),
    wrong("memory = 0", "memory = 0: it must be from 1 to 67108864"),
    wrong("vpcus = 2", "unknown key \"vpcus\"; did you mean \"vcpus\"?"),
    wrong("vcpus = 129", "vcpus = 129: it must be from 1 to 128"),
    wrong("type = \"hvm\"", "not supported yet: type = \"hvm\" (only type = \"pvh\")"),
    wrong("pci = [\"00:1f.0\"]", "not supported yet: pci"),
    wrong(
        "on_crash = \"explode\"",
        "on_crash = \"explode\": it must be destroy, restart, rename-restart or preserve",
    ),
];

/// Every bad file is refused for its own reason, and a guest that is up notices nothing.
pub fn bad_input(machine: &mut Machine) -> Result<()> {
    bystander::up(machine)?;
    let free = machine.free_kib()?;
    for bad in &BAD {
        let line = bad.line;
        if !bad.prepare.is_empty() {
            machine.ok(bad.prepare)?;
        }
        let good = ["name = \"bad\"", "type = \"pvh\"", "kernel = \"/guests/vmlinuz-6.1\"", "memory = 128"];
        let key = line.split(' ').next().unwrap_or_default();
        let lines: Vec<&str> = good.into_iter().filter(|line| !line.starts_with(key)).chain([line]).collect();
        let expected = match bad.status {
            WRONG => format!("tenon: /tmp/bad.cfg:{}:", lines.len()),
            _ => "tenon: /tmp/bad.cfg: ".to_owned(),
        };
        machine.write_file("/tmp/bad.cfg", &lines.join("\n"))?;
        let done = machine.run("tenon create /tmp/bad.cfg", Duration::from_secs(60))?;
        let told = done.output.starts_with(&expected) && done.output.contains(bad.cause);
        ensure!(
            told && done.code == bad.status,
            "{line}: status {}, not {} with {:?}:\n{}",
            done.code,
            bad.status,
            bad.cause,
            done.output
        );
        ensure!(machine.listed("bad")?.is_none(), "{line}: refused, but a domain is left");
    }
    memory_is_back(machine, free)?;
    bystander::is_fine(machine, "bad-input")
}
