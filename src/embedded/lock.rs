//! One owner per directory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg, OFlag};

use super::error::EmbeddedError;

/// An owner that was just killed may still be letting go of its files.
const GRACE: Duration = Duration::from_secs(1);

/// Takes the lock of `dir` for as long as the guard lives. The file is close-on-exec, so neither the
/// server nor its watchdog holds it: a held lock means a live owner.
pub(super) fn acquire(dir: &Path) -> Result<Flock<File>, EmbeddedError> {
    let path = dir.join("dialplane.lock");
    let mut file = open_private(&path, OpenOptions::new().read(true).write(true))?;
    let deadline = Instant::now() + GRACE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let written = lock.set_len(0).and_then(|()| writeln!(*lock, "{}", std::process::id()));
                written.map_err(EmbeddedError::io("write", &path))?;
                return Ok(lock);
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() >= deadline => {
                let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                return Err(EmbeddedError::AlreadyRunning { dir: dir.to_owned(), pid });
            }
            Err((back, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(EmbeddedError::io("lock", &path)(errno.into())),
        }
        sleep(Duration::from_millis(20));
    }
}

/// Opens or creates a 0600 file. The server's user may own the directory, so root must not be led through
/// a link of its making.
pub(super) fn open_private(path: &Path, options: &mut OpenOptions) -> Result<File, EmbeddedError> {
    let options = options.create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options.open(path).map_err(EmbeddedError::io("open", path))
}
