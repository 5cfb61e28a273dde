//! Network cards of guests: to domain 0, to each other and to the outside; they come, carry data, and go.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::lifecycle::{gone, memory_is_back};
use crate::config::Config;
use crate::guest::Guest;
use crate::machine::Machine;

const SOON: Duration = Duration::from_secs(60);
/// For what may have to wait for a busy host.
const LATE: Duration = Duration::from_secs(240);
/// What a stream carries, bytes.
const STREAM: u64 = 8 << 20;

/// For a receiver's input: at the end of its input it would hang up, and the sender, too.
const QUIET: &str = "test -p /tmp/quiet || mkfifo /tmp/quiet";

/// Addresses on the bridge `xenbr0`: QEMU's user network, which answers at 10.0.2.2.
const OUTSIDE: &str = "10.0.2.2";
const DOMAIN_0: &str = "10.0.2.15";
const LEFT: &str = "10.0.2.21";
const RIGHT: &str = "10.0.2.22";

/// A command that is refused, its exit status, and why it is.
const REFUSED: [(&str, i32, &str); 8] = [
    ("tenon create /tmp/lost.cfg", 1, "domain 0 has no bridge \"nowhere\"; it has "),
    ("tenon network-attach left bridge=nowhere", 1, "domain 0 has no bridge \"nowhere\"; it has "),
    (
        "tenon network-attach left mac=00:16:3e:00:00:01",
        1,
        "the guest has a network card 00:16:3e:00:00:01 already",
    ),
    ("tenon network-attach left devid=0", 1, "the guest has a network card 0 already"),
    ("tenon network-attach left vifname=right0", 1, "domain 0 has an interface \"right0\" already"),
    ("tenon network-attach left script=/tmp/nowhere", 1, "/tmp/nowhere: No such file"),
    ("tenon network-attach left colour=red", 2, "\"colour\" is not known of network cards"),
    ("tenon network-detach left 5", 1, "the guest has no network card 5"),
];

/// The card of the machine that [`networks`] puts on the bridge.
pub fn with_card(config: Config) -> Config {
    config.qemu([
        "-netdev",
        "user,id=net0",
        "-device",
        "virtio-net-pci,netdev=net0,disable-legacy=on,romfile=",
    ])
}

/// Two guests on a bridge with the machine's own card.
pub fn networks(machine: &mut Machine) -> Result<()> {
    machine.ok("modprobe -a virtio_pci virtio_net bridge xen-netback")?;
    let card = "ls -d /sys/bus/*/drivers/virtio_net/*/net/* | sed s,.*/,,";
    machine.until(&format!("test -n \"$({card})\""), SOON)?;
    machine.ok(&format!("brctl addbr xenbr0 && brctl addif xenbr0 $({card}) && ifconfig $({card}) up"))?;
    machine.ok(&format!("ifconfig xenbr0 {DOMAIN_0} netmask 255.255.255.0 up"))?;
    machine.ok(
        "brctl addbr lan1 && ip link set lan1 mtu 1400 && ifconfig lan1 10.1.0.1 netmask 255.255.255.0 up",
    )?;
    let free = machine.free_kib()?;

    let lines = "vif = [\"mac=00:16:3e:00:00:01\"]";
    machine.create(&Guest { lines, vcpus: 2, ..Guest::with_devices("left") })?;
    let lines = "vif = [\"vifname=right0,rate=20Mb/s\"]";
    machine.create(&Guest { lines, ..Guest::with_devices("right") })?;
    let lost = "name = \"lost\"\ntype = \"pvh\"\nkernel = \"/guests/idle\"\nmemory = 32\nvif = [\"bridge=nowhere\"]\n";
    machine.write_file("/tmp/lost.cfg", lost)?;
    machine.guest_up("left", 1)?;
    machine.guest_up("right", 1)?;
    for (command, status, text) in REFUSED {
        let done = machine.run(command, SOON)?;
        let right = done.code == status && done.output.contains(text);
        ensure!(right, "{command}: status {}, not {status} with {text:?}:\n{}", done.code, done.output);
    }

    // As many queues as vCPUs; what cards are called and where they are is as the guest files say.
    for (guest, address, interface, queues) in [("left", LEFT, None, 2), ("right", RIGHT, Some("right0"), 1)]
    {
        machine.type_to_guest(guest, &format!("ifconfig eth0 {address} netmask 255.255.255.0 up"))?;
        machine.until_in_guest(guest, &format!("ping -c 2 -W 2 {DOMAIN_0}"), "domain-0")?;
        machine.until_in_guest(guest, &format!("ping -c 2 -W 2 {OUTSIDE}"), "outside")?;
        let card = only(cards(machine, guest)?)?;
        let is_right = card["queues"] == queues && card["bridge"] == "xenbr0" && card["state"] == "connected";
        ensure!(is_right && interface.is_none_or(|name| card["interface"] == name), "the card is {card}");
    }
    machine.until_in_guest("left", &format!("ping -c 2 -W 2 {RIGHT}"), "right")?;
    streams(machine)?;
    limited(machine)?;
    hot_plug(machine)?;
    scripts(machine)?;

    for guest in ["left", "right"] {
        machine.ok(&format!("tenon destroy {guest}"))?;
        gone(machine, guest)?;
    }
    machine.until("test -z \"$(ls /sys/bus/xen-backend/devices)\"", SOON)?;
    machine.ok("! ls /sys/class/net | grep -e vif -e right0")?;
    memory_is_back(machine, free)
}

fn cards(machine: &mut Machine, guest: &str) -> Result<Vec<Value>> {
    let listed = machine.json(&format!("tenon network-list --json {guest}"))?;
    listed.as_array().cloned().with_context(|| format!("no list: {listed}"))
}

fn only(mut cards: Vec<Value>) -> Result<Value> {
    ensure!(cards.len() == 1, "not one card, but {cards:?}");
    cards.pop().context("one card")
}

/// The same data goes from domain 0 to one guest, to the other, back to the first and to domain 0. Guests send it in
/// large pieces, which nobody has cut up or summed.
fn streams(machine: &mut Machine) -> Result<()> {
    machine.ok(&format!("head -c {STREAM} /dev/urandom > /tmp/data && cp /tmp/data /tmp/sent"))?;
    let sum = machine.ok("md5sum < /tmp/sent | cut -c 1-32")?;
    let interface = only(cards(machine, "left")?)?;
    let packets = format!(
        "cat /sys/class/net/{}/statistics/rx_packets",
        interface["interface"].as_str().unwrap_or("?")
    );
    stream(machine, None, Some("left"), LEFT, &sum)?;
    stream(machine, Some("left"), Some("right"), RIGHT, &sum)?;
    stream(machine, Some("right"), Some("left"), LEFT, &sum)?;
    let before: u64 = machine.ok(&packets)?.trim().parse()?;
    stream(machine, Some("left"), None, DOMAIN_0, &sum)?;
    let sent = machine.ok(&packets)?.trim().parse::<u64>()? - before;
    ensure!(sent < STREAM / 1500 / 2, "{STREAM} bytes came in {sent} packets: no segmentation offload");
    machine.ok("cmp /tmp/data /tmp/sent")?;
    Ok(())
}

/// Sends /tmp/data from one party (`None`: domain 0) to another, where it is in the same file then, with the sum `sum`.
fn stream(
    machine: &mut Machine,
    from: Option<&str>,
    to: Option<&str>,
    address: &str,
    sum: &str,
) -> Result<()> {
    let word = format!("from-{}", from.unwrap_or("domain-0"));
    let listens = "netstat -lnt | grep -q :5000";
    let receive =
        "(nc -l -p 5000 0<> /tmp/quiet > /tmp/in; mv /tmp/in /tmp/data; rm -f /tmp/waits) > /dev/null 2>&1 &";
    let receive = format!("touch /tmp/waits; {QUIET}; {receive}");
    match to {
        Some(guest) => {
            machine.type_to_guest(guest, &receive)?;
            machine.until_in_guest(guest, listens, &format!("listens-{word}"))?;
        }
        None => {
            machine.ok(&receive)?;
            machine.until(listens, SOON)?;
        }
    }
    let send = format!("nc {address} 5000 < /tmp/data");
    match from {
        Some(guest) => machine.type_to_guest(guest, &send)?,
        None => _ = machine.ok(&send)?,
    }
    match to {
        Some(guest) => {
            machine.until_in_guest(guest, "test ! -e /tmp/waits", &format!("received-{word}"))?;
            machine.type_to_guest(
                guest,
                &format!("echo sum-{word} $(md5sum < /tmp/data | cut -c 1-32) $(wc -c < /tmp/data)"),
            )?;
            machine.guest_says(guest, &format!("^sum-{word} {sum}"), 1)
        }
        None => {
            if machine.until("test ! -e /tmp/waits", LATE).is_err() {
                bail!(
                    "the stream {word} does not end: {}",
                    machine.ok("ls -l /tmp/in; netstat -nt; ifconfig")?
                );
            }
            let found = machine.ok("md5sum < /tmp/data | cut -c 1-32")?;
            ensure!(found == sum, "from {from:?} came other data");
            Ok(())
        }
    }
}

/// A guest that may send 2.5 MB in a second needs most of one for 2 MiB.
fn limited(machine: &mut Machine) -> Result<()> {
    machine.ok(&format!("{QUIET}; (nc -l -p 5001 0<> /tmp/quiet > /dev/null) > /dev/null 2>&1 &"))?;
    machine.until("netstat -lnt | grep -q :5001", SOON)?;
    let now = "$(cut -d \" \" -f 1 /proc/uptime | tr -d .)";
    let send = format!("head -c 2097152 /tmp/data | nc {DOMAIN_0} 5001");
    let line = format!(
        "a={now}; {send}; b={now}; test $((b - a)) -ge 60 && echo limited-$((40+2)) || echo took $((b - a))"
    );
    machine.type_to_guest("right", &line)?;
    machine.guest_says("right", "^limited-42", 1)
}

/// A card comes to a running guest, is there after a reboot, and goes.
fn hot_plug(machine: &mut Machine) -> Result<()> {
    machine.ok("tenon network-attach left bridge=lan1")?;
    let [first, second] = <[Value; 2]>::try_from(cards(machine, "left")?).ok().context("two cards")?;
    let mac = second["mac"].as_str().unwrap_or_default().to_owned();
    ensure!(mac.starts_with("00:16:3e:") && second["bridge"] == "lan1", "the second card is {second}");
    ensure!(first["mac"] == "00:16:3e:00:00:01", "the first card is {first}");
    machine.until_in_guest("left", &format!("grep -q {mac} /sys/class/net/eth1/address"), "eth1")?;
    machine.type_to_guest("left", "ifconfig eth1 10.1.0.2 netmask 255.255.255.0 up")?;
    machine.until_in_guest("left", "ping -c 2 -W 2 10.1.0.1", "lan1")?;
    let interface = second["interface"].as_str().unwrap_or_default();
    machine.ok(&format!("test $(cat /sys/class/net/{interface}/mtu) = 1400"))?;

    machine.run("tenon reboot --wait --timeout 120 left", Duration::from_secs(150))?;
    machine.guest_up("left", 2)?;
    let after = cards(machine, "left")?;
    let macs: Vec<&str> = after.iter().filter_map(|card| card["mac"].as_str()).collect();
    ensure!(macs == ["00:16:3e:00:00:01", mac.as_str()], "after the reboot the cards are {after:?}");
    machine.until_in_guest("left", "test -e /sys/class/net/eth1", "again")?;
    machine.ok(&format!("tenon network-detach left {mac}"))?;
    machine.until_in_guest("left", "test ! -e /sys/class/net/eth1", "detached")?;
    let interface = after[1]["interface"].as_str().unwrap_or_default();
    machine.until(&format!("test ! -e /sys/class/net/{interface}"), SOON)?;
    only(cards(machine, "left")?)?;
    Ok(())
}

/// A guest file's script sets the card up and is told when it goes; what it complains of is told.
fn scripts(machine: &mut Machine) -> Result<()> {
    let script = "#!/bin/sh\necho $1 $XENBUS_PATH >> /tmp/told\n[ $1 = offline ] || { brctl addif lan1 $vif && ifconfig $vif up; }\n";
    machine.write_file("/tmp/vif-good", script)?;
    machine.write_file("/tmp/vif-bad", "#!/bin/sh\necho out of order >&2\nexit 3\n")?;
    machine.ok("chmod +x /tmp/vif-good /tmp/vif-bad")?;
    let bad = machine.run("tenon network-attach left script=/tmp/vif-bad", SOON)?;
    ensure!(bad.code == 1 && bad.output.contains("exit status: 3; it said: out of order"), "{}", bad.output);
    only(cards(machine, "left")?)?;
    machine.ok("tenon network-attach left script=/tmp/vif-good")?;
    let card = cards(machine, "left")?.pop().context("a card")?;
    ensure!(card["bridge"] == "lan1" && card["state"] == "connected", "the card is {card}");
    machine.ok("tenon network-detach --force left 1")?;
    machine.until_in_guest("left", "test ! -e /sys/class/net/eth1", "taken")?;
    let told = machine.ok("cut -d / -f 1,2,4 /tmp/told")?;
    ensure!(told == "online backend/vif/1\noffline backend/vif/1", "the script was told {told:?}");
    Ok(())
}
