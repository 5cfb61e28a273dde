//! A guest as its file describes it, with every value checked against its limits.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cpus::CpuList;
use super::disk::{self, Disk};
use super::error::ConfigErrorKind;
use super::keys::{self, Key, Lookup};
use super::nic::{self, Nic};
use super::uuid::Uuid;
use super::value::{Assignment, Located, Position, Value};

/// The most memory of one guest, MiB: what 46 bits of guest-physical address hold.
const MAX_MEMORY_MIB: u64 = 1 << 26;
/// The most vCPUs of one guest: `HVM_MAX_VCPUS` of Xen's interface (`public/hvm/hvm_info_table.h`).
const MAX_VCPUS: u64 = 128;
/// The longest command line, bytes: x86 Linux keeps 2048 with the terminating zero.
const MAX_CMDLINE: usize = 2047;
/// The longest guest name, bytes: it becomes a xenstore value and a file name.
const MAX_NAME: usize = 200;

/// What happens to a guest after it stopped. xl's dumping variants are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It goes.
    Destroy,
    /// It goes, and starts again from its guest file.
    Restart,
    /// It stays for inspection under another name, and starts again.
    RenameRestart,
    /// It stays for inspection.
    Preserve,
}

/// A guest to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestConfig {
    /// Its name, unique on the host.
    pub name: String,
    /// Its domain handle; a random one when absent.
    pub uuid: Option<Uuid>,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub ramdisk: Option<PathBuf>,
    /// The kernel command line.
    pub cmdline: String,
    /// Memory at start, MiB.
    pub memory: u64,
    /// Memory that it may balloon up to, MiB; at least `memory`.
    pub maxmem: u64,
    /// vCPUs online at start.
    pub vcpus: u32,
    /// vCPUs that may come online; at least `vcpus`.
    pub maxvcpus: u32,
    /// Which CPUs each vCPU may run on; those that the list does not reach, on all.
    #[serde(default)]
    pub cpus: Vec<CpuList>,
    /// Its share of CPU time, relative to the others'; where not the default.
    pub cpu_weight: Option<u16>,
    /// Its CPU pool, by name or number; where not the first.
    #[serde(default)]
    pub pool: Option<String>,
    /// Its disks.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Its network cards.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// The most CPU time of all its vCPUs together, percent of one CPU; 0 or nothing for no limit.
    pub cap: Option<u16>,
    /// After a power off.
    pub on_poweroff: Action,
    /// After a reboot.
    pub on_reboot: Action,
    /// After a crash.
    pub on_crash: Action,
    /// After its watchdog ran out.
    pub on_watchdog: Action,
    /// Grant table frames, where not the default.
    pub max_grant_frames: Option<u32>,
    /// Maptrack frames, where not the default.
    pub max_maptrack_frames: Option<u32>,
    /// Event channels, where not the default.
    pub event_channels: Option<u32>,
}

/// A guest file that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The guest.
    pub config: GuestConfig,
    /// What in the file has no effect, with its place.
    pub warnings: Vec<Located<String>>,
}

type Refusal = (Option<Position>, ConfigErrorKind);

/// The keys that a file gave, each once.
struct Given<'a>(Vec<(Key, &'static str, &'a Assignment)>);

/// Makes a guest of a file's assignments.
pub fn from_assignments(assignments: &[Assignment]) -> Result<Loaded, Refusal> {
    let given = Given::new(assignments)?;
    given.check_type()?;
    let memory = given.number(Key::Memory, 1, MAX_MEMORY_MIB)?.ok_or_else(|| missing("memory"))?;
    let maxmem = given.number(Key::Maxmem, memory, MAX_MEMORY_MIB)?.unwrap_or(memory);
    let (vcpus, maxvcpus) = given.vcpus()?;
    let mut warnings = Vec::new();
    let config = GuestConfig {
        name: given.name()?,
        uuid: given.uuid()?,
        kernel: given.path(Key::Kernel)?.ok_or_else(|| missing("kernel"))?,
        ramdisk: given.path(Key::Ramdisk)?,
        cmdline: given.cmdline(&mut warnings)?,
        memory,
        maxmem,
        vcpus,
        maxvcpus,
        cpus: given.cpus(maxvcpus, &mut warnings)?,
        cpu_weight: given.small(Key::CpuWeight, 1, u16::MAX.into())?.map(|weight| weight as u16),
        pool: given.pool()?,
        disks: given.disks()?,
        nics: given.nics()?,
        cap: given.small(Key::Cap, 0, 100 * maxvcpus)?.map(|cap| cap as u16),
        on_poweroff: given.action(Key::OnPoweroff, Action::Destroy)?,
        on_reboot: given.action(Key::OnReboot, Action::Restart)?,
        on_crash: given.action(Key::OnCrash, Action::Destroy)?,
        on_watchdog: given.action(Key::OnWatchdog, Action::Destroy)?,
        max_grant_frames: given.small(Key::MaxGrantFrames, 4, 4096)?,
        max_maptrack_frames: given.small(Key::MaxMaptrackFrames, 0, 65536)?,
        event_channels: given.small(Key::EventChannels, 16, 131_071)?,
    };
    Ok(Loaded { config, warnings })
}

fn missing(key: &'static str) -> Refusal {
    (None, ConfigErrorKind::Missing { key })
}

fn bad(at: Position, key: &'static str, value: impl ToString, rule: impl Into<String>) -> Refusal {
    (Some(at), ConfigErrorKind::BadValue { key, value: value.to_string(), rule: rule.into() })
}

impl<'a> Given<'a> {
    fn new(assignments: &'a [Assignment]) -> Result<Self, Refusal> {
        let mut given: Vec<(Key, &'static str, &Assignment)> = Vec::new();
        for assignment in assignments {
            let Located { at, value: word } = &assignment.key;
            match keys::lookup(word) {
                Lookup::Key(name, key) => {
                    if let Some((_, _, first)) = given.iter().find(|(k, ..)| *k == key) {
                        let (key, first) = (name.to_owned(), first.key.at);
                        return Err((Some(*at), ConfigErrorKind::Repeated { key, first }));
                    }
                    given.push((key, name, assignment));
                }
                // An empty list asks for nothing, which is what the guest gets.
                Lookup::Later if assignment.value.value == Value::List(Vec::new()) => {}
                Lookup::Later => {
                    return Err((Some(*at), ConfigErrorKind::NotSupportedYet { what: word.clone() }));
                }
                Lookup::Unknown(suggestion) => {
                    let key = word.clone();
                    return Err((Some(*at), ConfigErrorKind::UnknownKey { key, suggestion }));
                }
            }
        }
        Ok(Self(given))
    }

    fn get(&self, key: Key) -> Option<(&'static str, &'a Located<Value>)> {
        self.0.iter().find(|(k, ..)| *k == key).map(|(_, name, a)| (*name, &a.value))
    }

    fn text(&self, key: Key) -> Result<Option<(&'static str, Position, &'a str)>, Refusal> {
        let Some((key, located)) = self.get(key) else { return Ok(None) };
        match &located.value {
            Value::Text(text) => Ok(Some((key, located.at, text))),
            other => Err((
                Some(located.at),
                ConfigErrorKind::WrongKind { key, wants: "text in quotes", found: other.kind() },
            )),
        }
    }

    fn number(&self, key: Key, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        let Some((key, located)) = self.get(key) else { return Ok(None) };
        let number = match &located.value {
            Value::Number(number) => *number,
            // xl takes a quoted number for a number, and people rely on it.
            Value::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| bad(located.at, key, format!("{text:?}"), "it must be a number"))?,
            other => {
                let found = other.kind();
                return Err((Some(located.at), ConfigErrorKind::WrongKind { key, wants: "a number", found }));
            }
        };
        if (least..=most).contains(&number) {
            return Ok(Some(number));
        }
        Err(bad(located.at, key, number, format!("it must be from {least} to {most}")))
    }

    fn small(&self, key: Key, least: u32, most: u32) -> Result<Option<u32>, Refusal> {
        let number = self.number(key, least.into(), most.into())?;
        Ok(number.and_then(|n| u32::try_from(n).ok()))
    }

    fn path(&self, key: Key) -> Result<Option<PathBuf>, Refusal> {
        match self.text(key)? {
            Some((key, at, "")) => Err(bad(at, key, "\"\"", "it must name a file")),
            found => Ok(found.map(|(.., path)| PathBuf::from(path))),
        }
    }

    fn check_type(&self) -> Result<(), Refusal> {
        let refuse = |key: &str, at, value: &str| {
            let what = format!("{key} = {value:?} (only type = \"pvh\")");
            Err((Some(at), ConfigErrorKind::NotSupportedYet { what }))
        };
        if let Some((key, at, value)) = self.text(Key::Type)? {
            return match value.to_ascii_lowercase().as_str() {
                "pvh" => Ok(()),
                "pv" | "hvm" => refuse(key, at, value),
                _ => Err(bad(at, key, format!("{value:?}"), "it must be \"pvh\"")),
            };
        }
        if let Some((key, at, value)) = self.text(Key::Builder)?.filter(|(.., value)| *value != "generic") {
            return refuse(key, at, value);
        }
        match self.number(Key::Pvh, 0, 1)? {
            Some(1) => Ok(()),
            _ => Err(missing("type")),
        }
    }

    fn name(&self) -> Result<String, Refusal> {
        let (key, at, name) = self.text(Key::Name)?.ok_or_else(|| missing("name"))?;
        let rule = if name.is_empty() || name.len() > MAX_NAME {
            format!("it must have 1 to {MAX_NAME} bytes")
        } else if name.contains('/') || name.starts_with('.') || name.chars().any(char::is_control) {
            "it becomes a file name: no '/', no control character, no leading '.'".into()
        } else {
            return Ok(name.to_owned());
        };
        Err(bad(at, key, format!("{name:?}"), rule))
    }

    fn uuid(&self) -> Result<Option<Uuid>, Refusal> {
        let Some((key, at, text)) = self.text(Key::Uuid)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|e: super::uuid::NotUuid| bad(at, key, format!("{text:?}"), e.to_string()))
    }

    fn vcpus(&self) -> Result<(u32, u32), Refusal> {
        let most = self.number(Key::Maxvcpus, 1, MAX_VCPUS)?;
        let vcpus = self.number(Key::Vcpus, 1, most.unwrap_or(MAX_VCPUS))?.unwrap_or(1);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(1);
        Ok((narrow(vcpus), narrow(most.unwrap_or(vcpus))))
    }

    /// One list for all vCPUs, or one for each of the first ones.
    fn cpus(&self, vcpus: u32, warnings: &mut Vec<Located<String>>) -> Result<Vec<CpuList>, Refusal> {
        let Some((key, located)) = self.get(Key::Cpus) else { return Ok(Vec::new()) };
        let one = |item: &Located<Value>| match &item.value {
            Value::Number(cpu) => {
                let cpu = u32::try_from(*cpu).map_err(|_| bad(item.at, key, cpu, "there are fewer CPUs"))?;
                Ok(CpuList::one(cpu))
            }
            Value::Text(text) => text
                .parse()
                .map_err(|e: super::CpuListError| bad(item.at, key, format!("{text:?}"), e.to_string())),
            other => {
                let (wants, found) = ("CPUs like \"0-3,^2\"", other.kind());
                Err((Some(item.at), ConfigErrorKind::WrongKind { key, wants, found }))
            }
        };
        let vcpus = vcpus as usize;
        match &located.value {
            Value::List(items) => {
                if let Some(first) = items.get(vcpus) {
                    let rest = format!("{key} has more elements than the guest has vCPUs ({vcpus})");
                    warnings.push(Located::new(first.at, rest));
                }
                items.iter().take(vcpus).map(one).collect()
            }
            _ => Ok(vec![one(located)?; vcpus]),
        }
    }

    /// A name or a number: which pools there are shows when the guest is created.
    fn pool(&self) -> Result<Option<String>, Refusal> {
        match self.get(Key::Pool) {
            Some((_, Located { value: Value::Number(number), .. })) => Ok(Some(number.to_string())),
            _ => match self.text(Key::Pool)? {
                Some((key, at, "")) => Err(bad(at, key, "\"\"", "it must name a CPU pool")),
                found => Ok(found.map(|(.., name)| name.to_owned())),
            },
        }
    }

    /// The elements of a list, each as `read` takes it: `None` for one of the wrong kind.
    fn list<T>(
        &self,
        key: Key,
        shape: &'static str,
        read: impl Fn(&Located<Value>) -> Option<Result<T, String>>,
    ) -> Result<Vec<T>, Refusal> {
        let Some((key, located)) = self.get(key) else { return Ok(Vec::new()) };
        let wrong = |at, value: &Value| {
            (Some(at), ConfigErrorKind::WrongKind { key, wants: shape, found: value.kind() })
        };
        let Value::List(elements) = &located.value else { return Err(wrong(located.at, &located.value)) };
        let one = |element: &Located<Value>| {
            let at = element.at;
            read(element).ok_or_else(|| wrong(at, &element.value))?.map_err(|rule| {
                let value = match &element.value {
                    Value::Text(text) => format!("{text:?}"),
                    other => other.kind().to_owned(),
                };
                bad(at, key, value, rule)
            })
        };
        elements.iter().map(one).collect()
    }

    fn disks(&self) -> Result<Vec<Disk>, Refusal> {
        let disks = self.list(Key::Disk, disk::SHAPE, Disk::of_element)?;
        for (i, disk) in disks.iter().enumerate() {
            if disks[..i].iter().any(|earlier| earlier.vdev.number() == disk.vdev.number()) {
                let at = self.element(Key::Disk, i);
                return Err((at, ConfigErrorKind::Twice { key: "disk", what: disk.vdev.to_string() }));
            }
        }
        Ok(disks)
    }

    /// The cards, each with its number: the one it wants, or the first that nobody wants.
    fn nics(&self) -> Result<Vec<Nic>, Refusal> {
        let mut nics = self.list(Key::Vif, nic::SHAPE, Nic::of_element)?;
        for i in 0..nics.len() {
            let twice = |what| (self.element(Key::Vif, i), ConfigErrorKind::Twice { key: "vif", what });
            let (earlier, rest) = nics.split_at(i);
            let Some(nic) = rest.first() else { break };
            if nic.mac.is_some() && earlier.iter().any(|other| other.mac == nic.mac) {
                return Err(twice(nic.mac.map(|mac| mac.to_string()).unwrap_or_default()));
            }
            match nic.id {
                Some(id) if earlier.iter().any(|other| other.id == Some(id)) => {
                    return Err(twice(format!("devid={id}")));
                }
                Some(_) => {}
                None => nics[i].id = (0..).find(|id| nics.iter().all(|other| other.id != Some(*id))),
            }
        }
        Ok(nics)
    }

    /// Where the `index`th element of a list stands.
    fn element(&self, key: Key, index: usize) -> Option<Position> {
        match &self.get(key)?.1.value {
            Value::List(elements) => elements.get(index).map(|element| element.at),
            _ => None,
        }
    }

    /// `cmdline`, or else `root=ROOT EXTRA` as xl puts it together.
    fn cmdline(&self, warnings: &mut Vec<Located<String>>) -> Result<String, Refusal> {
        let (whole, root, extra) = (self.text(Key::Cmdline)?, self.text(Key::Root)?, self.text(Key::Extra)?);
        let (key, at, line) = if let Some((key, at, line)) = whole {
            for (name, at, _) in [root, extra].into_iter().flatten() {
                warnings.push(Located::new(at, format!("{name} has no effect beside cmdline")));
            }
            (key, at, line.to_owned())
        } else {
            let root = root.map(|(key, at, root)| (key, at, format!("root={root}")));
            match (root, extra) {
                (Some((key, at, root)), Some((.., extra))) => (key, at, format!("{root} {extra}")),
                (Some(root), None) => root,
                (None, Some((key, at, extra))) => (key, at, extra.to_owned()),
                (None, None) => return Ok(String::new()),
            }
        };
        if line.len() > MAX_CMDLINE {
            let rule = format!("the command line has at most {MAX_CMDLINE} bytes");
            return Err(bad(at, key, format!("({} bytes)", line.len()), rule));
        }
        Ok(line)
    }

    fn action(&self, key: Key, default: Action) -> Result<Action, Refusal> {
        let Some((key, at, word)) = self.text(key)? else { return Ok(default) };
        match word {
            "destroy" => Ok(Action::Destroy),
            "restart" => Ok(Action::Restart),
            "rename-restart" => Ok(Action::RenameRestart),
            "preserve" => Ok(Action::Preserve),
            "coredump-destroy" | "coredump-restart" | "soft-reset" => {
                let what = format!("{key} = {word:?}");
                Err((Some(at), ConfigErrorKind::NotSupportedYet { what }))
            }
            _ => {
                let rule = "it must be destroy, restart, rename-restart or preserve";
                Err(bad(at, key, format!("{word:?}"), rule))
            }
        }
    }
}
