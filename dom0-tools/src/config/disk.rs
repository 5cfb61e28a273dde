//! A guest's disk, as xl-disk-configuration(5) spells it: `/dev/vg/web,raw,xvda,rw`, or `vdev=xvda,target=/web.img`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::parts::{self, Part};
use super::vdev::Vdev;

/// What is in the file or device behind a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The disk's own bytes.
    Raw,
    /// QEMU's format with clusters on demand.
    Qcow2,
}

/// Who serves a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Domain 0's kernel (xen-blkback); xl's `phy`.
    Kernel,
    /// A process of domain 0; xl's `qdisk`.
    Userland,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What the guest calls it.
    pub vdev: Vdev,
    /// The file or block device behind it.
    pub target: PathBuf,
    /// What is in there.
    pub format: Format,
    /// Who serves it.
    pub backend: Backend,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Whether it presents itself as a CD.
    pub cdrom: bool,
    /// Whether the guest may give back what it does not need.
    pub discard: bool,
    /// Whether the guest should trust whoever serves it.
    pub trusted: bool,
}

/// What a disk list's elements have to look like, for messages.
pub const SHAPE: &str = "disks like \"/path/disk.img,raw,xvda,rw\"";

/// The word whose value reaches to the end of the element.
const WHOLE: Option<&str> = Some("target");

impl Disk {
    /// A disk of one text.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of_parts(parts::split(text, WHOLE))
    }

    /// A disk of a list's element; `None` if the element is of the wrong kind.
    pub(super) fn of_element(
        element: &super::value::Located<super::value::Value>,
    ) -> Option<Result<Self, String>> {
        parts::of(element, WHOLE).map(Self::of_parts)
    }

    fn of_parts(parts: Vec<Part>) -> Result<Self, String> {
        let mut given = Given::default();
        for part in parts {
            match part.key {
                Some(key) => given.named(&key, part.value)?,
                None => given.positional(part.value)?,
            }
        }
        given.finish()
    }
}

/// What was said so far.
#[derive(Default)]
struct Given {
    target: Option<PathBuf>,
    format: Option<Format>,
    vdev: Option<Vdev>,
    read_only: Option<bool>,
    backend: Option<Backend>,
    cdrom: bool,
    discard: Option<bool>,
    trusted: Option<bool>,
    /// The next word without a key, as xl counts them: target, format, vdev, access.
    position: usize,
}

fn set<T>(what: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    match what.replace(value) {
        Some(_) => Err(format!("{name} is given twice")),
        None => Ok(()),
    }
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(format!("{key} is 0 or 1, not {value:?}")),
    }
}

impl Given {
    fn named(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "target" => self.target(&value),
            "format" => self.format(&value),
            "vdev" => self.vdev(&value),
            "access" => self.access(&value),
            "devtype" => self.kind(&value),
            "backendtype" => match value.as_str() {
                "phy" => set(&mut self.backend, key, Backend::Kernel),
                "qdisk" => set(&mut self.backend, key, Backend::Userland),
                _ => Err(format!("backendtype is phy or qdisk, not {value:?}")),
            },
            "backend" if ["0", "Domain-0"].contains(&value.as_str()) => Ok(()),
            "backend" => Err(format!("backend = {value}: disks are served by domain 0")),
            "cdrom" | "direct-io-safe" | "discard" | "no-discard" | "trusted" | "untrusted" => {
                let on = switch(key, &value)?;
                match key {
                    "no-discard" => set(&mut self.discard, "discard", !on),
                    "untrusted" => set(&mut self.trusted, "trusted", !on),
                    _ if on => self.flag(key).unwrap_or(Ok(())),
                    "discard" => set(&mut self.discard, key, false),
                    "trusted" => set(&mut self.trusted, key, false),
                    _ => Ok(()),
                }
            }
            "script" => Err("scripts for disks are not supported: target has to be there already".into()),
            _ => Err(format!("{key:?} is not known of disks")),
        }
    }

    /// A word that is its own value, wherever it stands.
    fn flag(&mut self, word: &str) -> Option<Result<(), String>> {
        Some(match word {
            "cdrom" => self.kind(word),
            "discard" => set(&mut self.discard, word, true),
            "no-discard" => set(&mut self.discard, "discard", false),
            "trusted" => set(&mut self.trusted, word, true),
            "untrusted" => set(&mut self.trusted, "trusted", false),
            // The kernel's back end never writes later than it says.
            "direct-io-safe" => Ok(()),
            _ => return None,
        })
    }

    fn positional(&mut self, value: String) -> Result<(), String> {
        if self.position > 0
            && let Some(done) = self.flag(&value)
        {
            return done;
        }
        // An old prefix of the target stands for the format, which then has no place of its own.
        loop {
            let position = self.position;
            self.position += 1;
            return match position {
                0 if self.target.is_some() => continue,
                1 if self.format.is_some() => continue,
                2 if self.vdev.is_some() => continue,
                3 if self.read_only.is_some() => continue,
                1..=3 if value.is_empty() => Ok(()),
                0 => self.old_target(&value),
                1 => self.format(&value),
                2 => self.vdev(&value),
                3 => self.access(&value),
                _ => Err(format!("{value:?} is one word too many")),
            };
        }
    }

    fn old_target(&mut self, value: &str) -> Result<(), String> {
        for (prefix, format) in [
            ("phy:", "raw"),
            ("file:", "raw"),
            ("raw:", "raw"),
            ("qcow2:", "qcow2"),
            ("qcow:", "qcow"),
            ("vhd:", "vhd"),
        ] {
            if let Some(target) = value.strip_prefix(prefix) {
                self.format(format)?;
                // A device is named without its directory.
                let device = prefix == "phy:" && !target.starts_with('/');
                return self.target(&if device { format!("/dev/{target}") } else { target.to_owned() });
            }
        }
        self.target(value)
    }

    fn target(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err("it must name a file or a block device (target)".into());
        }
        set(&mut self.target, "target", value.into())
    }

    fn format(&mut self, value: &str) -> Result<(), String> {
        match value {
            "raw" => set(&mut self.format, "format", Format::Raw),
            "qcow2" => set(&mut self.format, "format", Format::Qcow2),
            "qcow" | "vhd" | "qed" => Err(format!("format {value} is not supported; raw and qcow2 are")),
            _ => Err(format!("{value:?} is no format; raw and qcow2 are")),
        }
    }

    fn vdev(&mut self, value: &str) -> Result<(), String> {
        let (name, kind) = value.split_once(':').unwrap_or((value, "disk"));
        self.kind(kind)?;
        set(&mut self.vdev, "vdev", name.parse().map_err(|e: super::vdev::NotADisk| e.to_string())?)
    }

    fn access(&mut self, value: &str) -> Result<(), String> {
        match value {
            "r" | "ro" => set(&mut self.read_only, "access", true),
            "w" | "rw" => set(&mut self.read_only, "access", false),
            _ => Err(format!("access is r, ro, w or rw, not {value:?}")),
        }
    }

    fn kind(&mut self, value: &str) -> Result<(), String> {
        match value {
            "disk" => Ok(()),
            "cdrom" => {
                self.cdrom = true;
                Ok(())
            }
            _ => Err(format!("devtype is disk or cdrom, not {value:?}")),
        }
    }

    fn finish(self) -> Result<Disk, String> {
        let target = self.target.ok_or("it must name a file or a block device (target)")?;
        let vdev = self.vdev.ok_or("it must say what the guest calls the disk (vdev), such as xvda")?;
        let format = self.format.unwrap_or(Format::Raw);
        let backend = match (format, self.backend) {
            (Format::Qcow2, Some(Backend::Kernel)) => {
                return Err("backendtype phy serves no qcow2; qdisk does".into());
            }
            (Format::Qcow2, _) => Backend::Userland,
            (Format::Raw, backend) => backend.unwrap_or(Backend::Kernel),
        };
        if self.cdrom && self.read_only == Some(false) {
            return Err("a CD is read only".into());
        }
        Ok(Disk {
            vdev,
            target,
            format,
            backend,
            read_only: self.read_only.unwrap_or(self.cdrom),
            cdrom: self.cdrom,
            discard: self.discard.unwrap_or(true),
            trusted: self.trusted.unwrap_or(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_xls_spellings_are_read() {
        let plain = Disk {
            vdev: "xvda".parse().unwrap(),
            target: "/a.img".into(),
            format: Format::Raw,
            backend: Backend::Kernel,
            read_only: false,
            cdrom: false,
            discard: true,
            trusted: true,
        };
        for text in [
            "/a.img,raw,xvda,rw",
            "/a.img,,xvda",
            " /a.img , raw , xvda , w ",
            "format=raw, vdev=xvda, access=rw, target=/a.img",
            "vdev=xvda,target=/a.img",
            "file:/a.img,xvda,w",
            "phy:/a.img,xvda,w",
            "raw:/a.img,xvda,rw,discard",
            "/a.img,raw,xvda,backendtype=phy,devtype=disk,direct-io-safe,backend=0",
            "/a.img,vdev=xvda",
        ] {
            assert_eq!(Disk::parse(text), Ok(plain.clone()), "{text}");
        }
        let read_only = Disk { read_only: true, ..plain.clone() };
        assert_eq!(Disk::parse("/a.img,,xvda,r"), Ok(read_only));
        assert_eq!(Disk::parse("/a.img,,xvda,no-discard"), Ok(Disk { discard: false, ..plain.clone() }));
        assert_eq!(Disk::parse("/a.img,,xvda,untrusted"), Ok(Disk { trusted: false, ..plain.clone() }));
        assert_eq!(Disk::parse("phy:vg/web,xvda,w").unwrap().target, PathBuf::from("/dev/vg/web"));
        let cd = Disk { read_only: true, cdrom: true, ..plain.clone() };
        assert_eq!(Disk::parse("file:/a.img,xvda:cdrom,r"), Ok(cd));
        let qcow2 = Disk { format: Format::Qcow2, backend: Backend::Userland, ..plain };
        assert_eq!(Disk::parse("/a.img,qcow2,xvda"), Ok(qcow2));
        assert_eq!(Disk::parse("vdev=xvda,target=/a,b=c").unwrap().target, PathBuf::from("/a,b=c"));
    }

    #[test]
    fn refusals_name_the_rule() {
        let refusal = |text| Disk::parse(text).unwrap_err();
        assert_eq!(refusal(""), "it must name a file or a block device (target)");
        assert_eq!(refusal("/a"), "it must say what the guest calls the disk (vdev), such as xvda");
        assert_eq!(refusal("/a,vhd,xvda"), "format vhd is not supported; raw and qcow2 are");
        assert_eq!(refusal("/a,raw,vda"), "\"vda\" names no disk; xvda, xvdb, xvdc1, sda or hda do");
        assert_eq!(refusal("/a,raw,xvda,x"), "access is r, ro, w or rw, not \"x\"");
        assert_eq!(refusal("/a,raw,xvda,r,y"), "\"y\" is one word too many");
        assert_eq!(refusal("/a,raw,xvda,vdev=xvdb"), "vdev is given twice");
        assert_eq!(refusal("/a,raw,xvda,colo"), "access is r, ro, w or rw, not \"colo\"");
        assert_eq!(refusal("/a,raw,xvda,backend=4"), "backend = 4: disks are served by domain 0");
        assert_eq!(refusal("/a,qcow2,xvda,backendtype=phy"), "backendtype phy serves no qcow2; qdisk does");
        assert_eq!(refusal("/a,raw,xvda:cdrom,w"), "a CD is read only");
        assert_eq!(refusal("/a,raw,xvda,colour=red"), "\"colour\" is not known of disks");
    }
}
