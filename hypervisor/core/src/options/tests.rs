use super::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

const M: u64 = 1 << 20;

fn parse(line: &str) -> (Options<'_>, Vec<String>) {
    let mut warnings = Vec::new();
    let options = Options::parse(line, &mut |w| warnings.push(w.to_string()));
    (options, warnings)
}

#[test]
fn a_usual_line_is_understood_whole() {
    let (o, w) =
        parse("console=com1,vga com1=115200,8n1 dom0_mem=1024M dom0_max_vcpus=2 loglvl=all noreboot");
    assert_eq!(w, Vec::<String>::new());
    assert_eq!(o.console, ConsoleSelection { com1: true, com2: false, vga: true });
    assert_eq!(o.com[0].baud, Some(115_200));
    assert_eq!(o.dom0_mem.size, Some(MemoryAmount::Bytes(1024 * M)));
    assert_eq!(o.dom0_max_vcpus, (Some(2), Some(2)));
    assert_eq!(o.loglvl, LogLevel::All);
    assert!(o.noreboot);
}

#[test]
fn dom0_mem_takes_bounds_and_relative_amounts() {
    let (o, _) = parse("dom0_mem=min:512M,max:2G,25%+64M");
    assert_eq!(o.dom0_mem.min, Some(MemoryAmount::Bytes(512 * M)));
    assert_eq!(o.dom0_mem.max, Some(MemoryAmount::Bytes(2048 * M)));
    assert_eq!(o.dom0_mem.size, Some(MemoryAmount::Share { percent: 25, plus: 64 * M }));
    assert_eq!(o.dom0_mem.resolve(1024 * M, 0), 512 * M, "a quarter and 64 MiB are less than the least");
    assert_eq!(o.dom0_mem.resolve(64 * 1024 * M, 0), 2048 * M);
    assert_eq!(parse("dom0_mem=max:1G").0.dom0_mem.resolve(8192 * M, 7000 * M), 1024 * M);
    assert_eq!(MemoryAmount::parse("4096"), Some(MemoryAmount::Bytes(4 * M)));
    assert_eq!(MemoryAmount::parse("-1G").map(|a| a.resolve(4096 * M)), Some(3072 * M));
    assert_eq!(MemoryAmount::Bytes(5000 * M).resolve(4096 * M), 4096 * M);
    assert_eq!(MemoryAmount::parse("101%"), None);
}

#[test]
fn serial_formats() {
    let (o, w) = parse("com2=9600,7e2,0x3e8,5 com1=auto");
    assert!(w.is_empty());
    assert_eq!(
        o.com[1],
        SerialConfig {
            baud: Some(9600),
            data_bits: 7,
            parity: Parity::Even,
            stop_bits: 2,
            io_base: 0x3e8,
            irq: 5
        }
    );
    assert_eq!(o.com[0].baud, None);
}

#[test]
fn unknown_and_bad_parts_are_named() {
    let (o, w) = parse("frobnicate=1 dom0_mem=lots console=com9 no-watchdog smep=maybe dom0_max_vcpus=4-2");
    assert_eq!(
        w,
        [
            "unknown option \"frobnicate\" ignored",
            "option dom0_mem: bad value \"lots\" ignored",
            "option console: bad value \"com9\" ignored",
            "option smep: bad value \"maybe\" ignored",
            "option dom0_max_vcpus: bad value \"4-2\" ignored",
        ]
    );
    assert_eq!(o, Options::default());
}

#[test]
fn a_watchdog_with_a_time_is_on() {
    let watchdog = |line| parse(line).0.watchdog.then_some(parse(line).0.watchdog_timeout);
    assert_eq!(watchdog("watchdog"), Some(5));
    assert_eq!(watchdog("watchdog=force"), Some(5));
    assert_eq!(watchdog("watchdog_timeout=20"), Some(20));
    assert_eq!(watchdog("watchdog watchdog_timeout=0"), None);
    assert_eq!(watchdog(""), None);
}

#[test]
fn schedulers_and_what_keeps_domains_apart() {
    let (o, w) = parse("sched=null sched-gran=core");
    assert_eq!((o.sched, o.sched_gran, w.len()), (SchedulerName::Null, SchedGranularity::Core, 0));
    assert_eq!(parse("sched=credit2").0.sched, SchedulerName::Credit2);
    let (o, w) = parse("sched=rtds sched-gran=thread");
    assert_eq!(o, Options::default());
    assert_eq!(
        w,
        [
            "option sched: \"rtds\" ignored: known are credit, credit2, null",
            "option sched-gran: \"thread\" ignored: known are cpu, core, socket",
        ]
    );
}

#[test]
fn vcpu_ranges_may_be_open() {
    assert_eq!(parse("dom0_max_vcpus=2-").0.dom0_max_vcpus, (Some(2), None));
    assert_eq!(parse("dom0_max_vcpus=-4").0.dom0_max_vcpus, (None, Some(4)));
    assert_eq!(parse("dom0_max_vcpus=-").1.len(), 1);
}

#[test]
fn iommu_parts_combine() {
    let (o, w) = parse("iommu=no-sharept,no-intremap,verbose");
    assert!(w.is_empty());
    assert_eq!(o.iommu, IommuOptions { on: true, required: false, verbose: true });
    assert!(parse("iommu=on,force,verbose").0.iommu.required);
    assert!(!parse("iommu=force,no-required").0.iommu.required);
    let (o, w) = parse("iommu=strict,off");
    assert!(w.is_empty() && !o.iommu.on);
    assert_eq!(parse("iommu=sometimes").1.len() + parse("iommu=no-strict").1.len(), 2);
}

proptest! {
    #[test]
    fn no_line_panics(line in "\\PC{0,80}") {
        parse(&line);
    }

    #[test]
    fn no_value_panics(name in "dom0_mem|com1|console|iommu|dom0_max_vcpus|loglvl", value in "[0-9a-zA-Z%+:,/-]{0,12}") {
        let line = alloc::format!("{name}={value}");
        parse(&line);
    }
}
