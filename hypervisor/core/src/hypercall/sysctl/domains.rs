//! The list of domains.

use hypercall_abi::abi::Word;
use hypercall_abi::sysctl::GetDomainInfoList;

use super::{Call, Machine, Result};
use crate::hypercall::domctl::describe;
use crate::ids::DomId;

pub(super) fn list<M: Machine>(call: &Call<'_, M>, op: &mut GetDomainInfoList) -> Result<()> {
    call.hv.bury_the_dead();
    op.num_domains = 0;
    for domain in call.hv.domains_from(DomId(op.first_domain)).take(op.max_domains as usize) {
        let info = describe(call.hv, &domain);
        call.write_element(op.buffer.get(), op.num_domains.into(), &info)?;
        op.num_domains += 1;
    }
    Ok(())
}
