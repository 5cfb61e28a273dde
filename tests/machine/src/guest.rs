//! Guests, as domain 0's tools see them.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::machine::Machine;

/// From creation to userspace, with everything that an emulated 4-CPU machine on 2 CPUs may need.
const UP: Duration = Duration::from_secs(240);

/// A guest file.
#[derive(Clone, Debug)]
pub struct Guest {
    pub name: &'static str,
    /// "6.1", "6.12" or "686-pae".
    pub kernel: &'static str,
    pub vcpus: u32,
    pub memory_mib: u32,
    /// What its initrd is called after the kernel's name: nothing, or `-devices` for the one with drivers.
    pub initrd: &'static str,
    /// Words for the kernel's command line, after the console's.
    pub words: &'static str,
    /// More lines of the guest file.
    pub lines: &'static str,
}

impl Guest {
    pub fn new(name: &'static str) -> Self {
        Self { name, kernel: "6.1", vcpus: 1, memory_mib: 256, initrd: "", words: "", lines: "" }
    }

    /// A guest with the drivers of disks and network cards.
    pub fn with_devices(name: &'static str) -> Self {
        let words = "guest.modules=xen-blkfront,xen-netfront,crc32c_generic,ext4";
        Self { initrd: "-devices", words, ..Self::new(name) }
    }

    fn file(&self) -> String {
        let Self { name, kernel, vcpus, memory_mib, initrd, words, lines } = self;
        format!(
            "name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/guests/vmlinuz-{kernel}\"\n\
             ramdisk = \"/guests/initrd-{kernel}{initrd}\"\ncmdline = \"console=hvc0 {words}\"\n\
             memory = {memory_mib}\nvcpus = {vcpus}\n{lines}\n"
        )
    }
}

impl Machine {
    /// Creates a guest from a file written for it.
    pub fn create(&mut self, guest: &Guest) -> Result<()> {
        self.create_with("", guest)
    }

    /// Creates a guest that does not run yet.
    pub fn create_paused(&mut self, guest: &Guest) -> Result<()> {
        self.create_with("-p", guest)
    }

    fn create_with(&mut self, flag: &str, guest: &Guest) -> Result<()> {
        let path = format!("/tmp/{}.cfg", guest.name);
        self.write_file(&path, &guest.file())?;
        self.ok(&format!("tenon create {flag} {path}"))?;
        Ok(())
    }

    /// Waits until the console of `name` has said for the `times`th time that userspace is up.
    pub fn guest_up(&mut self, name: &str, times: u32) -> Result<()> {
        self.guest_says(name, "guest: userspace up", times)
    }

    /// Waits until the console log of `name` has `text` in `times` of its lines.
    pub fn guest_says(&mut self, name: &str, text: &str, times: u32) -> Result<()> {
        let log = format!("/var/log/tenon/console/{name}.log");
        let result = self.until(&format!("test $(grep -c \"{text}\" {log} || true) -ge {times}"), UP);
        if result.is_err() {
            let tail = self.run(&format!("tail -n 30 {log}; tenon list"), Duration::from_secs(30));
            let tail = tail.map_or_else(|e| e.to_string(), |done| done.output);
            return result.map_err(|error| error.context(format!("guest {name}:\n{tail}")));
        }
        result
    }

    /// Types a line on a guest's console.
    pub fn type_to_guest(&mut self, name: &str, line: &str) -> Result<()> {
        let console = self.json(&format!("tenon console --json {name}"))?;
        let terminal = console["terminal"].as_str().unwrap_or_default();
        ensure!(!terminal.is_empty(), "guest {name} has no console terminal: {console}");
        self.ok(&format!("echo '{line}' > {terminal}"))?;
        Ok(())
    }

    /// Waits until a condition is true in a guest's shell; `word` tells it from others.
    pub fn until_in_guest(&mut self, name: &str, condition: &str, word: &str) -> Result<()> {
        self.type_to_guest(name, &format!("until {condition}; do sleep 1; done; echo {word}-$((40+2))"))?;
        self.guest_says(name, &format!("^{word}-42"), 1)
    }

    /// What `tenon list` tells of a guest, if there is one of this name.
    pub fn listed(&mut self, name: &str) -> Result<Option<Value>> {
        let list = self.json("tenon list --json")?;
        let found = list.as_array().and_then(|list| list.iter().find(|guest| guest["name"] == name));
        Ok(found.cloned())
    }

    /// KiB that no domain has.
    pub fn free_kib(&mut self) -> Result<u64> {
        let info = self.json("tenon info --json")?;
        info["free_memory_kib"].as_u64().ok_or_else(|| anyhow::anyhow!("no free_memory_kib in {info}"))
    }
}
