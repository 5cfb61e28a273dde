//! Bytes there and back, and streams in both directions.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::{appears, cheapest, wait_until};
use crate::agent;

/// Every byte comes back.
const ECHO: u16 = 5001;
/// Takes all; sends one byte back for each MiB.
const SINK: u16 = 5002;
/// Sends a MiB for each byte.
const SOURCE: u16 = 5003;

const MIB: usize = 1 << 20;

/// Serves one connection until it ends.
type Server = fn(TcpStream) -> std::io::Result<()>;

/// The other side: serves for ever.
///
/// # Errors
/// If a port cannot be had.
pub fn serve() -> Result<()> {
    let servers: [(u16, Server); 3] = [(ECHO, echo), (SINK, sink), (SOURCE, source)];
    let mut threads = Vec::new();
    for (port, server) in servers {
        let listener = TcpListener::bind(("0.0.0.0", port)).with_context(|| format!("port {port}"))?;
        threads.push(thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that goes away is done.
                thread::spawn(move || server(connection));
            }
        }));
    }
    for thread in threads {
        ensure!(thread.join().is_ok(), "a server ended");
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
    }
}

fn sink(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; MIB];
    loop {
        stream.read_exact(&mut buffer)?;
        stream.write_all(&[1])?;
    }
}

fn source(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (buffer, mut byte) = (vec![0x5a; MIB], [0]);
    loop {
        stream.read_exact(&mut byte)?;
        stream.write_all(&buffer)?;
    }
}

fn connect(address: &str, port: u16) -> Result<TcpStream> {
    let mut connected = None;
    wait_until(address, || {
        connected = TcpStream::connect((address, port)).ok();
        connected.is_some()
    })?;
    let stream = connected.context("not connected")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Packets that the first card has sent and received.
fn packets() -> Result<u64> {
    let count = |what: &str| -> Result<u64> {
        Ok(fs::read_to_string(format!("/sys/class/net/eth0/statistics/{what}_packets"))?.trim().parse()?)
    };
    Ok(count("rx")? + count("tx")?)
}

/// What it costs to talk to the servers at `address`.
pub fn measure(name: &str, address: &str) -> Result<()> {
    let mut stream = connect(address, ECHO)?;
    cheapest(&format!("net-round-trip-{name}"), "byte", 100, || {
        stream.write_all(&[1])?;
        Ok(stream.read_exact(&mut [0])?)
    })?;
    let (mut buffer, mut byte) = (vec![0x5a; MIB], [1]);
    let mut stream = connect(address, SINK)?;
    let before = packets()?;
    cheapest(&format!("net-stream-to-{name}"), "MiB", 4, || {
        stream.write_all(&buffer)?;
        Ok(stream.read_exact(&mut byte)?)
    })?;
    let sent = packets()? - before;
    crate::mark::line(&format!("bench: net-stream-to-{name}-packets {sent} packets"))?;
    let mut stream = connect(address, SOURCE)?;
    cheapest(&format!("net-stream-from-{name}"), "MiB", 4, || {
        stream.write_all(&byte)?;
        Ok(stream.read_exact(&mut buffer)?)
    })
}

/// Switches a card on and waits until it is connected.
pub fn up(card: &str) -> Result<()> {
    let name = card.rsplit('/').next().unwrap_or_default();
    configure(name, "0.0.0.0")?;
    wait_until(card, || fs::read_to_string(format!("{card}/carrier")).is_ok_and(|text| text.trim() == "1"))
}

/// Gives a card its address and switches it on, as soon as it is there.
///
/// # Errors
/// If it does not come.
pub fn configure(card: &str, address: &str) -> Result<()> {
    appears(&format!("/sys/class/net/{card}"))?;
    let status = Command::new("ifconfig").args([card, address, "up"]).env("PATH", agent::PATH).status();
    let status = status.context("cannot start ifconfig")?;
    ensure!(status.success(), "ifconfig {card} {address}: {status}");
    Ok(())
}
