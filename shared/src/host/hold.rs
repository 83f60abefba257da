//! One platform a data folder.

use std::fs::{File, TryLockError};

use secrecy::ExposeSecret as _;

use super::{Definition, StartError};
use crate::{config::Config, db};

/// Holds the data folder for as long as the value lives, if one of the services has its data there:
/// two platforms that run on the same files would each say their messages to nobody but themselves.
/// Commands beside one do not run, and hold nothing.
pub(super) fn hold_data(config: &Config, definitions: &[Definition]) -> Result<Option<File>, StartError> {
    let is_there = |definition: &Definition| {
        let file = config.data.join(format!("{}.db", definition.name));
        config.database_url(definition.name).expose_secret() == db::url_of_file(&file)
    };
    if !definitions.iter().any(is_there) {
        return Ok(None);
    }
    let folder = config.data.display().to_string();
    let made = std::fs::create_dir_all(&config.data);
    // The folder itself: no file is left behind, and none can be removed under whoever holds it.
    let opened = match made.and_then(|()| File::open(&config.data)) {
        Ok(opened) => opened,
        Err(source) => return Err(StartError::Data { folder, source }),
    };
    match opened.try_lock() {
        Ok(()) => Ok(Some(opened)),
        Err(TryLockError::WouldBlock) => Err(StartError::DataInUse { folder }),
        // Some file systems know no locks.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, folder, "the data folder can't be locked: nothing keeps a second platform out of it");
            Ok(None)
        }
    }
}
