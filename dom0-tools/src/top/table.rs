//! Rates as lines of text.

use super::rates::{DomainRates, Rates, name};

/// Lines before the first domain.
pub const HEADING: usize = 2;

/// What the table shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Each domain, with the kinds of exits that it has most of.
    #[default]
    Domains,
    /// Exits per second, kind by kind, of the kinds that there are any of.
    Exits,
}

/// Longer names are cut.
const NAME: usize = 24;
/// How many kinds of exits a line of [`View::Domains`] names.
const BUSIEST: usize = 3;

/// A column: its title, its cells, and to which side they go.
struct Column {
    title: String,
    cells: Vec<String>,
    left: bool,
}

/// A line about the machine, a line of titles, and one for each domain.
#[must_use]
pub fn lines(rates: &Rates, view: View) -> Vec<String> {
    let domains = &rates.domains;
    let mut columns = vec![
        right("ID", domains, |domain| domain.id.to_string()),
        left("NAME", domains, |domain| printable(&domain.name)),
    ];
    match view {
        View::Domains => columns.extend([
            left("STATE", domains, |domain| domain.state.to_owned()),
            right("VCPUS", domains, |domain| domain.vcpus.to_string()),
            right("CPU%", domains, |domain| format!("{:.1}", domain.cpu_percent)),
            right("WAIT%", domains, |domain| format!("{:.1}", domain.waiting_percent)),
            right("MiB", domains, |domain| domain.memory_mib.to_string()),
            right("MAX", domains, |domain| {
                domain.max_memory_mib.map_or_else(|| "-".to_owned(), |mib| mib.to_string())
            }),
            right("EXITS/s", domains, |domain| format!("{:.0}", domain.exits_per_second)),
            left("BUSIEST", domains, busiest),
        ]),
        View::Exits => {
            columns.push(right("EXITS/s", domains, |domain| format!("{:.0}", domain.exits_per_second)));
            let kinds = domains.iter().map(|domain| domain.exits.len()).max().unwrap_or(0);
            let rate =
                |domain: &DomainRates, kind: usize| domain.exits.get(kind).map_or(0.0, |e| e.per_second);
            for kind in (0..kinds).filter(|kind| domains.iter().any(|domain| rate(domain, *kind) > 0.0)) {
                columns.push(right(&name(kind), domains, |domain| format!("{:.0}", rate(domain, kind))));
            }
        }
    }
    let mut lines = vec![machine(rates), row(&columns, |column| &column.title)];
    lines.extend((0..domains.len()).map(|place| row(&columns, |column| &column.cells[place])));
    lines
}

fn machine(rates: &Rates) -> String {
    let host = &rates.host;
    format!(
        "{} CPUs, {:.1} % used; {} of {} MiB free; {} domains; {:.1} s",
        host.cpus,
        host.cpu_percent,
        host.free_memory_mib,
        host.memory_mib,
        rates.domains.len(),
        rates.interval_seconds
    )
}

fn busiest(domain: &DomainRates) -> String {
    let kinds = domain.busiest();
    let kinds: Vec<String> =
        kinds.iter().take(BUSIEST).map(|(kind, rate)| format!("{kind} {rate:.0}")).collect();
    kinds.join(", ")
}

fn right(title: &str, domains: &[DomainRates], cell: impl FnMut(&DomainRates) -> String) -> Column {
    Column { title: title.to_owned(), cells: domains.iter().map(cell).collect(), left: false }
}

fn left(title: &str, domains: &[DomainRates], cell: impl FnMut(&DomainRates) -> String) -> Column {
    Column { left: true, ..right(title, domains, cell) }
}

fn row<'a>(columns: &'a [Column], cell: impl Fn(&'a Column) -> &'a String) -> String {
    let cells: Vec<String> = columns
        .iter()
        .map(|column| {
            let all = column.cells.iter().chain([&column.title]);
            let width = all.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let cell = cell(column);
            if column.left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        })
        .collect();
    cells.join("  ").trim_end().to_owned()
}

/// A name that does nothing to a terminal and leaves room for the rest.
fn printable(name: &str) -> String {
    name.chars().take(NAME).map(|c| if c.is_control() { '?' } else { c }).collect()
}
