//! Event channels against an honest guest, a model, and a hostile guest.

mod fifo;
mod guest;
mod lifecycle;
mod model;
mod two_level;

use std::vec::Vec;

use super::{Config, EventChannels, Layout, State, Status, Virq};
use crate::ids::{DomId, Port};
use crate::page::TestPage;
use crate::pair::Pair;

type Table = EventChannels<TestPage>;

const VCPUS: u32 = 3;
/// Global lines that tests bind and raise.
const LINES: u32 = 4;

fn table(dom: u16, layout: Layout) -> Table {
    table_with(dom, layout, VCPUS, 4095)
}

fn table_with(dom: u16, layout: Layout, vcpus: u32, max_port: u32) -> Table {
    let config =
        Config { dom: DomId(dom), max_port: Port(max_port), vcpus, shared_info: TestPage::default() };
    let mut table = EventChannels::new(config).unwrap();
    table.set_layout(layout);
    table
}

fn open_ports(table: &Table) -> impl Iterator<Item = (Port, Status)> {
    let all = (0..table.ports.end()).map(|port| (Port(port), table.status(Port(port)).unwrap()));
    all.filter(|(_, status)| !matches!(status.state, State::Free | State::Reserved))
}

/// One of the [`LINES`].
fn line(number: u32) -> Virq {
    Virq::from_raw(hypercall_abi::xen::VIRQ_ARCH_0 + number).unwrap()
}

/// The pair that a caller with both locks builds.
fn pair(tables: &mut [Table], local: usize, remote: usize) -> Pair<'_, Table> {
    if local == remote {
        return Pair::Same(&mut tables[local]);
    }
    let [local, remote] = tables.get_disjoint_mut([local, remote]).unwrap();
    Pair::Two { local, remote }
}

fn tables(n: u16, layout: Layout) -> Vec<Table> {
    (0..n).map(|dom| table(dom, layout)).collect()
}
