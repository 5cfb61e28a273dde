//! Whether this guest was kept from running: a thread that sleeps a little, over and over, and keeps in a file by how
//! much the worst of its sleeps was too long. Time goes on while others have the CPU.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The longest delay so far, in milliseconds.
const FILE: &str = "/run/longest-stall";
const NAP: Duration = Duration::from_millis(10);

/// Starts the thread.
pub fn watch() {
    thread::spawn(|| {
        let mut longest = Duration::ZERO;
        loop {
            let before = Instant::now();
            thread::sleep(NAP);
            let late = before.elapsed().saturating_sub(NAP);
            if late > longest {
                longest = late;
                if let Err(error) = fs::write(FILE, format!("{}\n", late.as_millis())) {
                    println!("guest: {FILE}: {error}");
                }
            }
        }
    });
}
