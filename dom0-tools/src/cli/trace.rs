//! `tenon trace`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use hypercall_abi::trace::{ALL, SCHED};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::exit::Failure;
use super::new_file::NewFile;
use super::output;
use crate::host::Host;
use crate::trace::record::records;
use crate::trace::session::Recording;
use crate::trace::timeline::Timeline;
use crate::trace::{perfetto, session};

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Seconds to trace at most; Ctrl-C ends it earlier.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The file to write.
    #[arg(long, default_value = "trace.json")]
    out: PathBuf,
    /// Leaves out the guests' exits: fewer events, for longer traces.
    #[arg(long)]
    no_exits: bool,
    /// Only switches tracing off, in case a `tenon trace` was killed.
    #[arg(long, conflicts_with_all = ["seconds", "out", "no_exits"])]
    off: bool,
}

/// Traces, and writes a file for Perfetto.
pub fn run(args: &TraceArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let Some(_alone) = host.registry.trace_lock()? else {
        return Err(Failure::refused("another `tenon trace` runs"));
    };
    if args.off {
        host.xen.trace_off()?;
        return if json { output::json(&json!({ "done": "off" })) } else { Ok(()) };
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let named = |e| Failure::refused(format!("{}: {e}", args.out.display()));
    let mut file = NewFile::create(&args.out).map_err(named)?;
    let mask = if args.no_exits { SCHED } else { ALL };
    let recording = session::record(&host.xen, mask, Duration::from_secs(args.seconds), &stop)?;

    let records: Vec<_> = recording.words.iter().map(|words| records(words)).collect();
    let timeline = Timeline::new(&records);
    let hz = u64::from(host.xen.physinfo()?.cpu_khz) * 1000;
    let names = host.domains()?.into_iter().map(|domain| (domain.info.id, domain.name)).collect();
    perfetto::write(&mut file, &timeline, hz, &names).and_then(|()| file.finish()).map_err(named)?;
    report(&args.out, &timeline, hz, &recording, json)
}

fn report(
    out: &Path,
    timeline: &Timeline,
    hz: u64,
    recording: &Recording,
    json: bool,
) -> Result<(), Failure> {
    let seconds = |ticks: u64| ticks as f64 / hz as f64;
    let length = seconds(timeline.end - timeline.start);
    if json {
        let domains: Vec<_> = recording
            .used
            .iter()
            .map(|(id, used)| {
                let ran = seconds(timeline.run_time(*id));
                json!({ "id": id, "ran_seconds": ran, "cpu_seconds": *used as f64 / 1e9 })
            })
            .collect();
        return output::json(&json!({
            "file": out, "seconds": length, "cpus": timeline.cpus.len(), "records": timeline.records,
            "lost": timeline.lost, "account_seconds": recording.accounted.as_secs_f64(), "domains": domains,
        }));
    }
    let (records, cpus) = (timeline.records, timeline.cpus.len());
    output::line(&format!("{}: {length:.3} s of {cpus} CPUs, {records} records", out.display()))?;
    if timeline.lost > 0 {
        output::note(&format!("{} records were lost: the buffers were full", timeline.lost));
    }
    Ok(())
}
