//! A guest's network card, as xl-network-configuration(5) spells it: `mac=00:16:3e:00:00:01,bridge=xenbr0`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::parts::{self, Part};

/// The bridge of a card that names none: what xl takes.
pub const DEFAULT_BRIDGE: &str = "xenbr0";
/// Where scripts are that are named without a directory: where xl looks.
const SCRIPTS: &str = "/etc/xen/scripts";
/// The longest name of a network interface, bytes (`IFNAMSIZ` less the terminating zero).
const MAX_INTERFACE: usize = 15;

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

/// A hardware address that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAMac(String);

impl fmt::Display for NotAMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no hardware address of one card, such as 00:16:3e:00:00:01", self.0)
    }
}

impl std::error::Error for NotAMac {}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let refusal = || NotAMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(refusal)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| refusal())?;
        }
        // An odd first byte is a group of cards, and zeros are none.
        if parts.next().is_some() || bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(refusal());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

/// The most that a card may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Bytes in each interval.
    pub bytes: u64,
    /// The interval, microseconds.
    pub interval_us: u64,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its number among the guest's cards; the first free one if absent.
    pub id: Option<u32>,
    /// Its hardware address; one of Xen's own range, made of the guest's UUID and the number, if absent.
    pub mac: Option<Mac>,
    /// The bridge that its other end is put on.
    pub bridge: String,
    /// What its other end is called in domain 0; `vifDOMAIN.NUMBER` if absent.
    pub vifname: Option<String>,
    /// What sets its other end up, in the way of Xen's hotplug scripts, instead of the tools themselves; an absolute path.
    pub script: Option<PathBuf>,
    /// The addresses that a script gives to routes, as they stand.
    pub ip: Option<String>,
    /// The largest packet, bytes; the bridge's if absent.
    pub mtu: Option<u32>,
    /// The most that the guest may send.
    pub rate: Option<Rate>,
    /// Whether the guest should trust whoever serves it.
    pub trusted: bool,
}

/// What a card list's elements have to look like, for messages.
pub const SHAPE: &str = "network cards like \"mac=00:16:3e:00:00:01,bridge=xenbr0\"";

impl Nic {
    /// A card of one text.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of_parts(parts::split(text, None))
    }

    /// A card of a list's element; `None` if the element is of the wrong kind.
    pub(super) fn of_element(
        element: &super::value::Located<super::value::Value>,
    ) -> Option<Result<Self, String>> {
        parts::of(element, None).map(Self::of_parts)
    }

    fn of_parts(parts: Vec<Part>) -> Result<Self, String> {
        let mut nic = Self {
            id: None,
            mac: None,
            bridge: DEFAULT_BRIDGE.into(),
            vifname: None,
            script: None,
            ip: None,
            mtu: None,
            rate: None,
            trusted: true,
        };
        let mut seen: Vec<String> = Vec::new();
        for Part { key, value } in parts {
            let Some(key) = key else {
                // `vif = ['']` is a card with nothing special about it; xl passes over empty parts of others, too.
                if value.is_empty() {
                    continue;
                }
                return Err(format!("{value:?} is no KEY=VALUE"));
            };
            match key.as_str() {
                "mac" => nic.mac = Some(value.parse().map_err(|e: NotAMac| e.to_string())?),
                "bridge" => nic.bridge = interface(&key, value.clone())?,
                "vifname" => nic.vifname = Some(interface(&key, value.clone())?),
                "script" => nic.script = Some(Path::new(SCRIPTS).join(&value)),
                "ip" => nic.ip = Some(value.clone()),
                "mtu" => nic.mtu = Some(number(&key, &value, 68, 65_535)?),
                "devid" => nic.id = Some(number(&key, &value, 0, 255)?),
                "rate" => nic.rate = Some(rate(&value)?),
                "trusted" | "untrusted" => {
                    nic.trusted = match value.as_str() {
                        "1" => key == "trusted",
                        "0" => key != "trusted",
                        _ => return Err(format!("{key} is 0 or 1, not {value:?}")),
                    }
                }
                "type" if value == "vif" => {}
                "type" => {
                    return Err(format!("type {value:?} is an emulated card; only type=vif is supported"));
                }
                "backend" if ["0", "Domain-0"].contains(&value.as_str()) => {}
                "backend" => return Err(format!("backend = {value}: cards are served by domain 0")),
                // Of emulated cards only, which a PVH guest has not.
                "model" => {}
                _ => return Err(format!("{key:?} is not known of network cards")),
            }
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            seen.push(key);
        }
        Ok(nic)
    }
}

fn interface(key: &str, name: String) -> Result<String, String> {
    let is_one = (1..=MAX_INTERFACE).contains(&name.len())
        && !name.contains(['/', ':'])
        && ![".", ".."].contains(&name.as_str())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    if is_one { Ok(name) } else { Err(format!("{key} = {name:?} is no name of a network interface")) }
}

fn number(key: &str, text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{key} is a number from {least} to {most}, not {text:?}"))
}

/// `10Mb/s`, `250KB/s@20ms`: as xl reads it.
fn rate(text: &str) -> Result<Rate, String> {
    let refusal = || format!("rate = {text:?} is no rate such as 10Mb/s or 250KB/s@20ms");
    let (amount, interval) = text.split_once('@').unwrap_or((text, "50ms"));
    let amount = amount.strip_suffix("/s").ok_or_else(refusal)?;
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = amount.split_at(digits(amount));
    let count: u64 = count.parse().map_err(|_| refusal())?;
    let (factor, unit) = match unit.as_bytes() {
        [b'K' | b'k', rest @ ..] => (1_000, rest),
        [b'M' | b'm', rest @ ..] => (1_000_000, rest),
        [b'G' | b'g', rest @ ..] => (1_000_000_000, rest),
        rest => (1, rest),
    };
    let bits_each = match unit {
        b"B" => 8,
        b"b" => 1,
        _ => return Err(refusal()),
    };
    let per_second = count.checked_mul(factor * bits_each).ok_or_else(refusal)? / 8;
    let (count, unit) = interval.split_at(digits(interval));
    let interval_us = count
        .parse::<u64>()
        .ok()
        .and_then(|count| {
            count.checked_mul(match unit {
                "us" => 1,
                "ms" => 1_000,
                "s" => 1_000_000,
                _ => return None,
            })
        })
        .filter(|us| (1..=4_000_000).contains(us))
        .ok_or_else(refusal)?;
    let bytes =
        u64::try_from(u128::from(per_second) * u128::from(interval_us) / 1_000_000).map_err(|_| refusal())?;
    if bytes == 0 || bytes > u64::from(u32::MAX) {
        return Err(format!(
            "rate = {text:?} comes to {bytes} bytes in {interval_us} us: 1 to {} are possible",
            u32::MAX
        ));
    }
    Ok(Rate { bytes, interval_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read() {
        let nic = Nic::parse("mac=00:16:3E:00:00:01, bridge=lan0,rate=10Mb/s,mtu=9000,vifname=web0").unwrap();
        assert_eq!(nic.mac.unwrap().to_string(), "00:16:3e:00:00:01");
        assert_eq!(
            (nic.bridge.as_str(), nic.mtu, nic.vifname.as_deref()),
            ("lan0", Some(9000), Some("web0"))
        );
        assert_eq!(nic.rate, Some(Rate { bytes: 62_500, interval_us: 50_000 }));
        assert_eq!(Nic::parse("").unwrap().bridge, DEFAULT_BRIDGE);
    }

    #[test]
    fn rates_are_xls() {
        let bytes = |text| rate(text).unwrap().bytes;
        assert_eq!([bytes("1MB/s"), bytes("1Mb/s@1s"), bytes("250KB/s@20ms")], [50_000, 125_000, 5_000]);
        for text in
            ["", "1", "1Mb", "Mb/s", "1Mb/s@", "1Mb/s@0s", "0Mb/s", "1b/s@1us", "99999999999Gb/s", "1X/s"]
        {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refusals_name_the_rule() {
        let refusal = |text| Nic::parse(text).unwrap_err();
        assert!(refusal("mac=01:00:00:00:00:00").contains("no hardware address of one card"));
        assert!(refusal("mac=00:16:3e:00:00").contains("no hardware address"));
        assert_eq!(refusal("bridge=a/b"), "bridge = \"a/b\" is no name of a network interface");
        assert_eq!(refusal("bridge=a,bridge=b"), "bridge is given twice");
        assert_eq!(refusal("type=ioemu"), "type \"ioemu\" is an emulated card; only type=vif is supported");
        assert_eq!(refusal("mtu=5"), "mtu is a number from 68 to 65535, not \"5\"");
        assert_eq!(refusal("xenbr0"), "\"xenbr0\" is no KEY=VALUE");
        assert_eq!(refusal("colour=red"), "\"colour\" is not known of network cards");
    }
}
