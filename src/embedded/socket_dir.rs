//! The directory of the server's socket: 0700, its path short and plain.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::error::EmbeddedError;

/// Names the socket, no more: the server listens on no network.
pub(super) const PORT: u16 = 5432;

/// `sun_path` holds 107 bytes and a NUL; the socket is `.s.PGSQL.5432`.
const PATH_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();

/// A socket directory; removed when dropped.
#[derive(Debug)]
pub(super) struct SocketDir {
    path: PathBuf,
    is_elsewhere: bool,
}

impl SocketDir {
    /// Makes `dir/socket`, or a short directory elsewhere if that path is too long for a socket or would
    /// need quoting in a connection string or in `unix_socket_directories`.
    pub(super) fn create(dir: &Path, account: &Account) -> Result<Self, EmbeddedError> {
        let inside = dir.join("socket");
        if is_usable(&inside) {
            // Left by a crash: no server lives here, as the caller has made sure.
            match fs::remove_dir_all(&inside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EmbeddedError::io("remove", &inside)(error));
                }
                _ => return make(inside, false, account),
            }
        }
        let name = format!("dialplane-{:016x}", random());
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(|base| PathBuf::from(base).join(&name));
        if let Some(path) = runtime_dir.filter(|path| !account.is_other && path.is_absolute() && is_usable(path))
            && let Ok(socket_dir) = make(path, true, account)
        {
            return Ok(socket_dir);
        }
        make(Path::new("/tmp").join(name), true, account)
    }

    /// The path: absolute, ASCII, without spaces, quotes or commas.
    pub(super) fn as_str(&self) -> &str {
        self.path.to_str().unwrap_or_default()
    }

    /// What the watchdog has to remove if we cannot: a directory outside DIR, or nothing (empty). Never
    /// `DIR/socket`: by then it may be the next server's.
    pub(super) fn scratch(&self) -> &str {
        if self.is_elsewhere { self.as_str() } else { "" }
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        // The watchdog may have been faster; what stays is an empty private directory.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Fails if `path` exists: in /tmp someone else may have made it.
fn make(path: PathBuf, is_elsewhere: bool, account: &Account) -> Result<SocketDir, EmbeddedError> {
    DirBuilder::new().mode(0o700).create(&path).map_err(EmbeddedError::io("create", &path))?;
    let socket_dir = SocketDir { path, is_elsewhere };
    account.own(&socket_dir.path)?;
    Ok(socket_dir)
}

fn is_usable(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= PATH_BYTES_MAX && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte))
}

/// A number that nobody foresees: `RandomState` is seeded by the system.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::is_usable;
    use std::path::Path;

    #[test]
    fn only_short_and_plain_paths_carry_the_socket() {
        assert!(is_usable(Path::new(&format!("/{}", "a".repeat(92)))));
        assert!(!is_usable(Path::new(&format!("/{}", "a".repeat(93)))));
        for odd in ["/a b", "/a,b", "/a'b", "/a\\b", "/\u{e4}", "/a\"b", "/@b"] {
            assert!(!is_usable(Path::new(odd)), "{odd}");
        }
    }
}
