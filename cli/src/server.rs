//! What the commands that run roles share: the process, the listener, the roles themselves.

mod holder;
mod listener;
mod process;
mod roles;
mod set_up;

pub(crate) use self::listener::{bind, bind_next_free, reachable_url};
pub(crate) use self::process::Process;
pub(crate) use self::roles::{Role, spawn_consumer, spawn_gateway, spawn_life};
pub(crate) use self::set_up::{check, migrate, pending_migrations, set_up};
