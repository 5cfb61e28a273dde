//! CPU pools with their names. A name is in xenstore, where libxl has it: `/local/pool/NUMBER/name`.

use std::fmt;

use crate::config::Uuid;
use crate::xen::error::XenError;
use crate::xen::hypercall::Xen;
use crate::xen::pools::PoolInfo;
use crate::xs_client::{Client, StoreError, Tx, with_daemon};

/// A pool and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The hypervisor's account.
    pub info: PoolInfo,
    /// Its name: from xenstore, or else `Pool-NUMBER`.
    pub name: String,
}

/// Why a pool was not found.
#[derive(Debug)]
pub enum PoolError {
    /// There is none of that name or number.
    NoSuchPool {
        /// What was asked for.
        wanted: String,
        /// The names of those that there are.
        known: Vec<String>,
    },
    /// The hypervisor or the way to it.
    Xen(XenError),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPool { wanted, known } => {
                write!(f, "there is no CPU pool {wanted:?}; there is {}", known.join(", "))
            }
            Self::Xen(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for PoolError {}

impl From<XenError> for PoolError {
    fn from(e: XenError) -> Self {
        Self::Xen(e)
    }
}

/// Every pool, by number. A missing xenstore daemon is no error.
///
/// # Errors
/// As the hypervisor says.
pub fn all(xen: &Xen) -> Result<Vec<Pool>, XenError> {
    let mut store = Client::connect().ok();
    let named = |info: PoolInfo| {
        let path = format!("{}/name", node(info.id));
        let stored = store.as_mut().and_then(|store| store.find(Tx::NONE, &path).ok()?);
        let name = stored.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("Pool-{}", info.id));
        Pool { info, name }
    };
    Ok(xen.pools()?.into_iter().map(named).collect())
}

/// The pool that is meant by a number or, if it is none, by a name.
///
/// # Errors
/// [`PoolError`].
pub fn find(xen: &Xen, wanted: &str) -> Result<Pool, PoolError> {
    let pools = all(xen)?;
    let is_meant = |pool: &&Pool| match wanted.parse::<u32>() {
        Ok(id) => pool.info.id == id,
        Err(_) => pool.name == wanted,
    };
    pools.iter().find(is_meant).cloned().ok_or_else(|| PoolError::NoSuchPool {
        wanted: wanted.to_owned(),
        known: pools.iter().map(|pool| pool.name.clone()).collect(),
    })
}

/// Gives a pool its name. False if no xenstore daemon is there to keep it.
///
/// # Errors
/// As the daemon says.
pub fn publish(pool: u32, name: &str, uuid: Uuid) -> Result<bool, StoreError> {
    let told = with_daemon(|client| {
        client.transaction(|client, tx| {
            client.write(tx, &format!("{}/uuid", node(pool)), &uuid.to_string())?;
            client.write(tx, &format!("{}/name", node(pool)), name)
        })
    })?;
    Ok(told.is_some())
}

/// Forgets the name of a pool that is gone.
///
/// # Errors
/// As the daemon says.
pub fn withdraw(pool: u32) -> Result<(), StoreError> {
    with_daemon(|client| client.remove(Tx::NONE, &node(pool))).map(drop)
}

fn node(pool: u32) -> String {
    format!("/local/pool/{pool}")
}
