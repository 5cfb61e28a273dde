//! Services: started in the foreground, started again whenever they end. Everything else that ends
//! as our child is an orphan to be reaped.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, wait};

/// A service that ends sooner than this after its start is broken: it is started again after a pause.
const SOON: Duration = Duration::from_secs(1);

/// One service and how to start it.
pub struct Service {
    name: &'static str,
    command: Command,
    running: Option<(Pid, Instant)>,
}

impl Service {
    pub fn new(name: &'static str, command: Command) -> Self {
        Self { name, command, running: None }
    }

    fn start(&mut self) {
        match self.command.spawn() {
            Ok(child) => {
                self.running = Pid::from_raw(child.id().cast_signed()).map(|pid| (pid, Instant::now()));
            }
            Err(error) => println!("init: cannot start {}: {error}", self.name),
        }
    }
}

/// The services of this machine.
#[derive(Default)]
pub struct Supervisor {
    services: Vec<Service>,
}

impl Supervisor {
    pub fn start(&mut self, mut service: Service) {
        service.start();
        self.services.push(service);
    }

    /// Keeps the services running, for ever.
    pub fn run(mut self) -> ! {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => self.ended(pid, status.as_raw()),
                Ok(None) => {}
                // No child at all: nothing will ever happen here again.
                Err(_) => thread::park(),
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: i32) {
        let found = self.services.iter_mut().find(|s| s.running.is_some_and(|(running, _)| running == pid));
        let Some(service) = found else { return };
        let lived = service.running.take().map_or(SOON, |(_, since)| since.elapsed());
        if service.name != SHELL {
            println!("init: {} ended (status {status:#x}), starting it again", service.name);
        }
        if lived < SOON {
            thread::sleep(SOON);
        }
        service.start();
    }
}

const SHELL: &str = "shell";

/// A login shell with job control on a terminal such as `hvc0`.
pub fn shell(terminal: &str) -> std::io::Result<Service> {
    let device = std::fs::File::options().read(true).write(true).open(format!("/dev/{terminal}"))?;
    let mut command = Command::new("setsid");
    command.args(["-c", "/bin/sh", "-l"]).env("TERM", "vt100").env("HOME", "/root").current_dir("/");
    command.env("PATH", crate::agent::PATH);
    // The files are kept by the command, so every restart gets them again.
    command.stdin(device.try_clone()?).stdout(device.try_clone()?).stderr(device);
    Ok(Service::new(SHELL, command))
}
