//! Debian's own tools (package xenstore-utils) against the daemon.

use crate::daemon::{Client, Daemon};
use std::path::Path;
use std::process::Command;

fn tool(socket: &Path, name: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(name).args(args).env("XENSTORED_PATH", socket).output();
    let output = output.unwrap_or_else(|error| panic!("{name} (package xenstore-utils): {error}"));
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn debians_tools_work() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path());
    Client::connect(&daemon.socket()).read(0, "/none").unwrap();
    let run = |name: &str, args: &[&str]| tool(&daemon.socket(), name, args);
    let ok = |name: &str, args: &[&str]| {
        let (success, output) = run(name, args);
        assert!(success, "{name} {args:?}");
        output
    };
    ok("xenstore-write", &["/a/b", "hello", "/a/c", "world"]);
    assert_eq!(ok("xenstore-read", &["/a/b", "/a/c"]), "hello\nworld\n");
    assert_eq!(ok("xenstore-list", &["/a"]), "b\nc\n");
    ok("xenstore-chmod", &["/a/b", "r0", "b3"]);
    assert_eq!(ok("xenstore-ls", &["-fp", "/a"]), "/a/b = \"hello\"   (r0,b3)\n/a/c = \"world\"   (n0)\n");
    assert_eq!(ok("xenstore-watch", &["-n", "1", "/a"]), "/a\n");
    assert!(ok("xenstore-ls", &[]).contains("name = \"Domain-0\""));
    ok("xenstore-rm", &["/a"]);
    assert!(!run("xenstore-exists", &["/a"]).0);
    for number in 0..400 {
        let path = format!("/many/a-rather-long-name-{number:05}");
        Client::connect(&daemon.socket()).write(0, &path, number).unwrap().unwrap();
    }
    assert_eq!(ok("xenstore-list", &["/many"]).lines().count(), 400, "in pieces");
}
