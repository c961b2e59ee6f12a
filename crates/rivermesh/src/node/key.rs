//! The file that keeps a node's identity.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use iroh::SecretKey;
use thiserror::Error;

/// A key file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or made.
    #[error("cannot read or make the key file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is a file already.
    #[error("the file {} is there already; nothing was changed", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error("the key file {} can be read by others than its owner: run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold a key.
    #[error("the key file {} does not hold 64 hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the key in a file, or makes one and the file with it, for its owner only.
pub(super) fn load_or_make(path: &Path) -> Result<SecretKey, KeyFileError> {
    match make_key(path) {
        Err(KeyFileError::Exists { .. }) => read_key(path),
        made => made,
    }
}

/// Makes a key, and a file with it that only its owner can read: of a node, or of an authority.
///
/// # Errors
/// When the file is there already, or cannot be made.
pub fn make_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    match open_new(path) {
        Ok(mut file) => {
            let key = SecretKey::generate();
            let text = format!("{}\n", hex(&key.to_bytes()));
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyFileError::Exists {
            path: path.to_owned(),
        }),
        Err(error) => Err(failed(error)),
    }
}

/// Reads the key in a file, as [`make_key`] makes it.
///
/// # Errors
/// When the file cannot be read, can be read by others than its owner, or has no key.
pub fn read_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    if is_exposed(&file.metadata().map_err(failed)?) {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
        });
    }
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).map_err(failed)?;
    let malformed = || KeyFileError::Malformed {
        path: path.to_owned(),
    };
    let bytes = unhex(text.trim()).ok_or_else(malformed)?;
    Ok(SecretKey::from_bytes(&bytes))
}

fn open_new(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let made = load_or_make(&path).unwrap();
        let kept = load_or_make(&path).unwrap();
        assert_eq!(made.to_bytes(), kept.to_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(
                load_or_make(&path),
                Err(KeyFileError::Exposed { .. })
            ));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32)] {
            let _ = fs::remove_file(&path);
            let mut file = open_new(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert!(
                matches!(load_or_make(&path), Err(KeyFileError::Malformed { .. })),
                "{text:?}"
            );
        }
    }
}
