//! Files with secrets: a node's identity, a network's key.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use iroh::SecretKey;
use rivermesh_proto::NetworkKey;
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
    /// Others may read or change the file.
    #[error(
        "the permissions {mode:04o} of {path} let others than its owner at the secret in it: run `chmod 600 {path}`, and \
         make a new secret if somebody may have read it",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions, as `chmod` takes them.
        mode: u32,
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
/// When the file cannot be read, has no key, or, on Unix, can be read or changed by others than its owner.
pub fn read_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let bytes = unhex(read_secret(path)?.trim());
    let bytes = bytes.ok_or_else(|| KeyFileError::Malformed {
        path: path.to_owned(),
    })?;
    Ok(SecretKey::from_bytes(&bytes))
}

/// Reads a network's key from a file of 64 hexadecimal digits.
///
/// # Errors
/// As of [`read_key`].
pub fn read_network_key(path: &Path) -> Result<NetworkKey, KeyFileError> {
    let key = read_secret(path)?.trim().parse();
    key.map_err(|_| KeyFileError::Malformed {
        path: path.to_owned(),
    })
}

/// Refuses a file that is to be kept secret, such as an invite with the network's key, if others than its
/// owner can read or change it. Only Unix tells; elsewhere every file passes.
///
/// # Errors
/// When they can, or the file cannot be looked at.
pub fn check_private(path: &Path) -> Result<(), KeyFileError> {
    let metadata = fs::metadata(path).map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    })?;
    check_mode(path, &metadata)
}

/// The text of a file that only its owner can get at.
fn read_secret(path: &Path) -> Result<String, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    // Of the opened file: another one may have the name by now.
    check_mode(path, &file.metadata().map_err(failed)?)?;
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn open_new(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    // A pipe, such as a shell's process substitution, is gone once it was read.
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
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
        assert_eq!(mode(&path), 0o600);
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_read_or_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        make_key(&path).unwrap();
        for exposed in [0o644, 0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
            let refused = [
                load_or_make(&path).map(drop),
                read_key(&path).map(drop),
                read_network_key(&path).map(drop),
                check_private(&path),
            ];
            for refused in refused {
                let error = refused.unwrap_err();
                assert!(
                    matches!(error, KeyFileError::Exposed { mode, .. } if mode == exposed),
                    "{exposed:o}: {error:?}"
                );
                let said = error.to_string();
                let name = path.display();
                assert!(said.contains(&format!("{exposed:04o}")), "{said}");
                assert!(said.contains(&format!("chmod 600 {name}")), "{said}");
            }
        }
        for private in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(private)).unwrap();
            read_key(&path).unwrap();
            check_private(&path).unwrap();
            // The form of both is the same.
            let key = read_network_key(&path).unwrap();
            assert_eq!(
                key.to_secret_hex(),
                hex(&read_key(&path).unwrap().to_bytes())
            );
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
