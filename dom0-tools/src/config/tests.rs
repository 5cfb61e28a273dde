//! Both spellings, their messages, and that no input whatever makes the parser panic.

use proptest::prelude::*;

use super::*;

fn xl(text: &str) -> Result<Loaded, String> {
    parse(text.as_bytes(), Syntax::Xl).map_err(shown)
}

fn toml(text: &str) -> Result<Loaded, String> {
    parse(text.as_bytes(), Syntax::Toml).map_err(shown)
}

fn shown((position, kind): (Option<Position>, ConfigErrorKind)) -> String {
    ConfigError { file: "g.cfg".into(), position, kind }.to_string()
}

const GUEST: &str = r#"
# A guest as people write them.
name = "web"; type = 'pvh'
kernel = "/boot/vmlinuz"   # the host's own
ramdisk = "/boot/initrd"
extra = "console=hvc0 quiet"
root = "/dev/xvda1"
memory = 256
maxmem = 0x200
vcpus = 2
maxvcpus = "4"
cpus = ["2", 3, "0-3,^2"]
cpu_weight = 512; cap = 250
pool = "Pool-0"
vif = [ ]
disk = [
]
on_reboot = "rename-restart"
uuid = "4f7d2b8a-0000-4000-8000-0123456789ab"
"#;

#[test]
fn an_xl_file_becomes_a_guest() {
    let guest = xl(GUEST).unwrap().config;
    assert_eq!(guest.name, "web");
    assert_eq!(guest.cmdline, "root=/dev/xvda1 console=hvc0 quiet");
    assert_eq!((guest.memory, guest.maxmem), (256, 512));
    assert_eq!((guest.vcpus, guest.maxvcpus), (2, 4));
    let cpus: Vec<String> = guest.cpus.iter().map(ToString::to_string).collect();
    assert_eq!(cpus, ["2", "3", "0-3,^2"]);
    assert_eq!((guest.cpu_weight, guest.cap), (Some(512), Some(250)));
    assert_eq!(guest.pool.as_deref(), Some("Pool-0"));
    assert_eq!(guest.on_poweroff, Action::Destroy);
    assert_eq!(guest.on_reboot, Action::RenameRestart);
    assert_eq!(guest.uuid.unwrap().to_string(), "4f7d2b8a-0000-4000-8000-0123456789ab");
}

#[test]
fn a_pool_has_a_name_or_a_number() {
    let pool = |line| xl(&format!("name='a';type='pvh';kernel='k';memory=1;{line}")).unwrap().config.pool;
    assert_eq!(
        [pool("pool = 0"), pool("pool = 'fast'"), pool("")],
        [Some("0".into()), Some("fast".into()), None]
    );
}

#[test]
fn toml_says_the_same() {
    let text = GUEST.replace("; ", "\n").replace("# A", "#A").replace("vif = [ ]", "vif = []");
    assert_eq!(toml(&text).unwrap(), xl(GUEST).unwrap());
}

#[test]
fn devices_are_texts_or_tables() {
    let lines = "name='a'\ntype='pvh'\nkernel='k'\nmemory=1\n";
    let text =
        "disk = ['/a.img,raw,xvda', 'vdev=xvdb,access=r,target=/b,c']\nvif = ['', 'mac=00:16:3e:00:00:01']";
    let tables = "disk = ['/a.img,raw,xvda', { vdev = 'xvdb', access = 'r', target = '/b,c' }]\n\
                  [[vif]]\n[[vif]]\nmac = '00:16:3e:00:00:01'";
    let guest = xl(&format!("{lines}{text}")).unwrap();
    assert_eq!(toml(&format!("{lines}{tables}")).unwrap(), guest);
    let disks: Vec<String> = guest.config.disks.iter().map(|d| d.target.display().to_string()).collect();
    let ids: Vec<Option<u32>> = guest.config.nics.iter().map(|nic| nic.id).collect();
    assert_eq!((disks, ids), (vec!["/a.img".into(), "/b,c".into()], vec![Some(0), Some(1)]));
    let text = ::toml::to_string(&guest.config).unwrap();
    assert_eq!(::toml::from_str::<GuestConfig>(&text).unwrap(), guest.config);
}

#[test]
fn a_guest_survives_its_record() {
    let guest = xl(GUEST).unwrap().config;
    let text = ::toml::to_string(&guest).unwrap();
    assert_eq!(::toml::from_str::<GuestConfig>(&text).unwrap(), guest);
}

#[test]
fn messages_name_the_place_and_the_rule() {
    let with = |line: &str| xl(&format!("name='a'\ntype='pvh'\nkernel='k'\nmemory=64\n{line}")).unwrap_err();
    assert_eq!(with("memroy = 5"), "g.cfg:5:1: unknown key \"memroy\"; did you mean \"memory\"?");
    assert_eq!(with("  pci = ['00:1f.0']"), "g.cfg:5:3: not supported yet: pci");
    assert_eq!(with("memory = 5"), "g.cfg:5:1: \"memory\" was already given at line 4");
    assert_eq!(with("maxmem = 63"), "g.cfg:5:10: maxmem = 63: it must be from 64 to 67108864");
    assert_eq!(with("vcpus = 'ä"), "g.cfg:5:9: the string does not end on this line");
    assert_eq!(with("vcpus = two"), "g.cfg:5:9: expected a value (text needs quotes), found \"two\"");
    assert_eq!(with("vcpus = 2 3"), "g.cfg:5:11: expected the end of the line or ';', found the number 3");
    assert_eq!(with("vcpus = []"), "g.cfg:5:9: vcpus takes a number, not a list");
    assert_eq!(
        with("on_crash = 'coredump-destroy'"),
        "g.cfg:5:12: not supported yet: on_crash = \"coredump-destroy\""
    );
    assert_eq!(with("cpu_weight = 0"), "g.cfg:5:14: cpu_weight = 0: it must be from 1 to 65535");
    assert_eq!(with("vcpus = 2; cap = 201"), "g.cfg:5:18: cap = 201: it must be from 0 to 200");
    assert_eq!(with("cpus = '0,3-1'"), "g.cfg:5:8: cpus = \"0,3-1\": 3-1 is no range");
    assert_eq!(with("cpus = [['1']]"), "g.cfg:5:9: cpus takes CPUs like \"0-3,^2\", not a list");
    assert_eq!(with("pool = ''"), "g.cfg:5:8: pool = \"\": it must name a CPU pool");
    assert_eq!(with("pool = ['a']"), "g.cfg:5:8: pool takes text in quotes, not a list");
    assert_eq!(
        with("disk = '/a'"),
        "g.cfg:5:8: disk takes disks like \"/path/disk.img,raw,xvda,rw\", not text"
    );
    assert_eq!(with("disk = ['/a,raw,xvda', 5]").split(", not").nth(1), Some(" a number"));
    assert_eq!(with("disk = ['/a,raw,xvda', '/b,raw,xvda']"), "g.cfg:5:24: disk has xvda twice");
    assert_eq!(
        with("disk = ['/a,raw,vda']"),
        "g.cfg:5:9: disk = \"/a,raw,vda\": \"vda\" names no disk; xvda, xvdb, xvdc1, sda or hda do"
    );
    assert_eq!(with("vif = ['devid=1', 'devid=1']"), "g.cfg:5:19: vif has devid=1 twice");
    assert_eq!(
        with("vif = ['colour=red']").split(": ").last(),
        Some("\"colour\" is not known of network cards")
    );
    assert_eq!(with("vif = [\n'a'\n"), "g.cfg:7:1: expected ',' or ']', found the end of the line");
    assert_eq!(with("extra = '\\q'"), "g.cfg:5:10: unknown escape \"\\\\q\" in a string");
    assert_eq!(with("vcpus = 0b1"), "g.cfg:5:9: \"0b1\" is not a number from 0 to 2^64 - 1");
    assert_eq!(xl("name='a'").unwrap_err(), "g.cfg: \"type\" is missing");
    assert_eq!(
        xl("type='hvm'").unwrap_err(),
        "g.cfg:1:6: not supported yet: type = \"hvm\" (only type = \"pvh\")"
    );
    assert_eq!(toml("name = 1.5").unwrap_err().split(':').nth(1), Some("1"));
    assert!(toml("name = ").unwrap_err().starts_with("g.cfg:1:"));
}

#[test]
fn cmdline_overrides_and_says_so() {
    let loaded = xl("name='a';type='pvh';kernel='k';memory=1;cmdline='c';extra='e'").unwrap();
    assert_eq!(loaded.config.cmdline, "c");
    assert_eq!(loaded.warnings[0].value, "extra has no effect beside cmdline");
}

#[test]
fn cpus_are_one_list_for_all_vcpus_or_one_for_each() {
    let with = |line: &str| xl(&format!("name='a';type='pvh';kernel='k';memory=1;vcpus=2\n{line}")).unwrap();
    let all = |cpus: &str| vec![cpus.parse().unwrap(); 2];
    assert_eq!(with("").config.cpus, []);
    assert_eq!(with("cpus = 'all,^0'").config.cpus, all("all,^0"));
    assert_eq!(with("cpus = 1").config.cpus, all("1"));
    assert_eq!(with("cpus = []").config.cpus, []);
    let loaded = with("cpus = ['1', '1', '2']");
    assert_eq!(loaded.config.cpus, all("1"));
    assert_eq!(loaded.warnings[0].value, "cpus has more elements than the guest has vCPUs (2)");
}

#[test]
fn escapes_and_appending() {
    let text = "name='a';type='pvh';kernel='k';memory=1;extra=\"a\\x41\\101\\\"\"\nextra += ' b'";
    assert_eq!(xl(text).unwrap().config.cmdline, "aAA\" b");
}

fn quoted(text: &str) -> String {
    text.chars().fold(
        String::from("'"),
        |s, c| if "'\\".contains(c) { s + "\\" } else { s } + c.encode_utf8(&mut [0; 4]),
    ) + "'"
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, Syntax::Xl);
        let _ = parse(&bytes, Syntax::Toml);
    }

    #[test]
    fn any_words_are_answered(text in "([a-z_]{1,9}|[0-9]{1,22}|[\\[\\]=,;#\n'\"\\\\ +]|'[a-z]*'|memory|name|vcpus){0,80}") {
        if let Err((Some(at), _)) = parse(text.as_bytes(), Syntax::Xl) {
            prop_assert!(at.line as usize <= text.matches('\n').count() + 1);
        }
        let _ = parse(text.as_bytes(), Syntax::Toml);
    }

    #[test]
    fn what_is_written_is_read(
        name in "[a-zA-Z0-9][a-zA-Z0-9 ._-]{0,30}",
        extra in "[ -~äöü]{0,80}",
        memory in 1u64..1 << 26,
        vcpus in 1u32..=128,
    ) {
        let text = format!(
            "name={}\ntype='pvh'\nkernel='/k'\nextra={}\nmemory={memory}\nvcpus={vcpus}",
            quoted(&name), quoted(&extra),
        );
        let guest = xl(&text).unwrap().config;
        prop_assert_eq!((guest.name, guest.cmdline), (name, extra));
        prop_assert_eq!((guest.memory, guest.vcpus, guest.maxvcpus), (memory, vcpus, vcpus));
    }

    #[test]
    fn uuids_survive(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(Uuid(bytes).to_string().parse::<Uuid>().unwrap(), Uuid(bytes));
    }
}
