//! Where the workers of a pool come from.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use plait_engine::nursery::{Launch, Nursery};
use pyo3::prelude::*;

use crate::{program, terminal};

/// A nursery that is to be started, or one that runs.
pub enum Origin {
    /// The program's nursery of these settings.
    Launched(Launch),
    /// The one at the other end of this socket.
    Running(OwnedFd),
}

impl<'py> FromPyObject<'_, 'py> for Origin {
    type Error = PyErr;

    fn extract(origin: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(fd) = origin.extract::<RawFd>() {
            // SAFETY: used for this one call, while the caller holds the socket that it belongs to.
            let socket = unsafe { BorrowedFd::borrow_raw(fd) };
            return Ok(Origin::Running(socket.try_clone_to_owned()?));
        }
        let (program, args, env): (OsString, _, _) = origin.extract()?;
        Ok(Origin::Launched(Launch { program, args, env }))
    }
}

impl Origin {
    /// What gives the nursery, whenever a pool asks for it.
    pub fn nursery(self) -> io::Result<Box<dyn Fn() -> io::Result<Arc<Nursery>> + Send + Sync>> {
        match self {
            Origin::Launched(launch) => Ok(Box::new(move || program::nursery(&launch))),
            Origin::Running(socket) => {
                let nursery = Nursery::adopt(socket, terminal::ask)?;
                Ok(Box::new(move || match nursery.is_gone() {
                    // Nobody can make another one like it.
                    true => Err(io::ErrorKind::BrokenPipe.into()),
                    false => Ok(Arc::clone(&nursery)),
                }))
            }
        }
    }
}
