//! Where a system tells nothing about files, there is no [`Watch`] and files are polled.

use std::{convert::Infallible, future::Ready, io, path::Path};

/// Never made.
#[derive(Debug)]
pub(crate) struct Watch(Infallible);

impl Watch {
    pub(crate) fn new(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn watch_file(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn changed(&mut self) -> Ready<io::Result<()>> {
        match self.0 {}
    }

    pub(crate) fn take_signs(&mut self) -> bool {
        match self.0 {}
    }
}
