//! Several clients work while the daemon is killed again and again. What it acknowledged must be there; what it did
//! not may be there, but whole.

use crate::daemon::{Client, Daemon};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const CLIENTS: u64 = 4;
const KILLS: u32 = 60;

/// What one client did to its own nodes, and to the counter that all share.
struct Worker {
    socket: PathBuf,
    number: u64,
    /// The last value that it tried to write to its nodes.
    tried: u64,
    /// The last value that was acknowledged.
    done: u64,
    counted: u64,
    /// Commits of the counter whose outcome the kill left open.
    unknown: u64,
}

impl Worker {
    fn path(&self, name: &str) -> String {
        format!("/work/{}/{name}", self.number)
    }

    fn run(&mut self, stop: &AtomicBool, acknowledged: &AtomicU64) {
        while !stop.load(Ordering::Relaxed) {
            let mut client = Client::connect(&self.socket);
            if self.check(&mut client).is_err() {
                continue;
            }
            while !stop.load(Ordering::Relaxed) {
                if self.step(&mut client).is_err() {
                    break;
                }
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A single write, two writes in a transaction, and a count.
    fn step(&mut self, client: &mut Client) -> io::Result<()> {
        self.tried += 1;
        client.write(0, &self.path("single"), self.tried)?.unwrap();
        loop {
            let tx = client.begin()?;
            for name in ["one", "two"] {
                client.write(tx, &self.path(name), self.tried)?.unwrap();
            }
            if client.commit(tx)? {
                break;
            }
        }
        self.done = self.tried;
        loop {
            let tx = client.begin()?;
            let count = client.read(tx, "/work/counter")?;
            client.write(tx, "/work/counter", count + 1)?.unwrap();
            self.unknown += 1;
            let committed = client.commit(tx)?;
            self.unknown -= 1;
            if committed {
                self.counted += 1;
                return Ok(());
            }
        }
    }

    fn check(&self, client: &mut Client) -> io::Result<()> {
        let single = client.read(0, &self.path("single"))?;
        let (one, two) = (client.read(0, &self.path("one"))?, client.read(0, &self.path("two"))?);
        assert!((self.done..=self.tried).contains(&single), "{single}: {} to {}", self.done, self.tried);
        assert!((self.done..=self.tried).contains(&one), "{one}: {} to {}", self.done, self.tried);
        assert_eq!(one, two, "a transaction is whole");
        Ok(())
    }
}

/// Milliseconds between two kills.
fn pause() -> Duration {
    Duration::from_millis(3 + RandomState::new().build_hasher().finish() % 60)
}

#[test]
fn nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(directory.path());
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut workers: Vec<Worker> = (0..CLIENTS)
        .map(|number| {
            let socket = daemon.socket();
            Worker { socket, number, tried: 0, done: 0, counted: 0, unknown: 0 }
        })
        .collect();
    std::thread::scope(|scope| {
        let (stop, acknowledged) = (&stop, &acknowledged);
        for worker in &mut workers {
            scope.spawn(move || worker.run(stop, acknowledged));
        }
        for _ in 0..KILLS {
            std::thread::sleep(pause());
            daemon.kill();
        }
        // Let everybody through once more.
        let before = acknowledged.load(Ordering::Relaxed);
        while acknowledged.load(Ordering::Relaxed) < before + CLIENTS {
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut client = Client::connect(&daemon.socket());
    workers.iter().for_each(|worker| worker.check(&mut client).unwrap());
    let count = client.read(0, "/work/counter").unwrap();
    let counted: u64 = workers.iter().map(|worker| worker.counted).sum();
    let unknown: u64 = workers.iter().map(|worker| worker.unknown).sum();
    assert!((counted..=counted + unknown).contains(&count), "{count}: {counted} and perhaps {unknown}");
    assert!(counted > 0);
    println!("{KILLS} kills, {} rounds, {count} counted", acknowledged.load(Ordering::Relaxed));
}

#[test]
fn a_second_daemon_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path());
    Client::connect(&daemon.socket()).read(0, "/none").unwrap();
    let state = directory.path().join("state");
    let refused = dom0_tools::xenstore::journal::Journal::open(&state, Duration::from_millis(20));
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("another daemon (process "), "{message}");
}
