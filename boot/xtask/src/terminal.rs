//! The user's terminal as the machine's console.

use std::io::{Read, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use machine_tests::Machine;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::step;

/// Ctrl-A, then x: as QEMU and screen have it.
const PREFIX: u8 = 0x01;

/// Connects the terminal until the machine ends or the user types Ctrl-A x.
pub fn hand_over(mut machine: Machine) -> Result<()> {
    step::say("domain 0's shell is yours; `poweroff` switches off, Ctrl-A x ends the emulator at once");
    let raw = Raw::enter()?;
    let mut console = machine.keyboard();
    // The thread ends with the process: nothing can interrupt a read of the terminal.
    let keys = thread::spawn(move || type_keys(&mut console));
    // A prompt to look at: the last one has been taken by the script that ran before.
    machine.type_in("\n")?;
    while !keys.is_finished() && !machine.pump(Duration::from_millis(200))? {}
    drop(raw);
    println!();
    Ok(())
}

/// Copies the keyboard to the console. Returns when the user wants to leave.
fn type_keys(console: &mut impl Write) {
    let mut prefixed = false;
    let mut keys = [0; 64];
    while let Ok(count @ 1..) = stdin().lock().read(&mut keys) {
        for key in &keys[..count] {
            match (prefixed, *key) {
                (false, PREFIX) => {
                    prefixed = true;
                    continue;
                }
                (true, b'x') => return,
                _ => prefixed = false,
            }
            if console.write_all(&[*key]).is_err() {
                return;
            }
        }
    }
}

/// The terminal in raw mode, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Self> {
        let stdin = stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing more can be done about a terminal that is gone.
        let _ = tcsetattr(stdin().as_fd(), OptionalActions::Flush, &self.0);
        let _ = stdout().flush();
    }
}
