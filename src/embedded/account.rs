//! The user that the server runs as. PostgreSQL refuses root, so root's server runs as another user.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::{Gid, Uid, User};

use super::error::{EmbeddedError, last_lines};

/// Who runs `initdb`, the server and its watchdog.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    name: String,
    /// We are root and it is not us.
    pub(super) is_other: bool,
}

impl Account {
    /// The caller; for root the owner of the cluster in `dir`, or `postgres` if there is none yet.
    pub(super) fn for_dir(dir: &Path) -> Result<Self, EmbeddedError> {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        if !uid.is_root() {
            return Ok(Self { uid, gid, name: name_of(uid), is_other: false });
        }
        let data = fs::symlink_metadata(dir.join("data")).ok();
        if let Some(data) = data.filter(|data| data.uid() != 0) {
            let (uid, gid) = (Uid::from_raw(data.uid()), Gid::from_raw(data.gid()));
            return Ok(Self { uid, gid, name: name_of(uid), is_other: true });
        }
        let user = User::from_name("postgres").ok().flatten().ok_or(EmbeddedError::NoServerUser)?;
        Ok(Self { uid: user.uid, gid: user.gid, name: user.name, is_other: true })
    }

    /// Makes sure that `dir` exists and that this user can reach it; returns its canonical path.
    ///
    /// Only a new or empty directory is given to the user: `--embedded /srv` must not take /srv over.
    pub(super) fn prepare(&self, dir: &Path) -> Result<PathBuf, EmbeddedError> {
        let dir = std::path::absolute(dir).map_err(EmbeddedError::io("resolve", dir))?;
        let dir = dir.as_path();
        // Before anything is created, so that a refusal leaves nothing behind.
        self.check_entry(dir.parent().unwrap_or(dir))?;
        create_with_parents(dir).map_err(EmbeddedError::io("create", dir))?;
        let dir = dir.canonicalize().map_err(EmbeddedError::io("resolve", dir))?;
        if dir.join("PG_VERSION").exists() {
            return Err(EmbeddedError::ForeignData { path: dir });
        }
        let (is_empty, owner) = look_at(&dir).map_err(EmbeddedError::io("read", &dir))?;
        // A volume may belong to another user and be ours by its group: then its mode is not ours to change.
        if is_empty && (self.is_other || owner == self.uid) {
            self.own(&dir)?;
            fs::set_permissions(&dir, Permissions::from_mode(0o700)).map_err(EmbeddedError::io("chmod", &dir))?;
        }
        self.check_entry(&dir)?;
        Ok(dir)
    }

    /// Gives `path` to this user; a link is not followed.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        if !self.is_other {
            return Ok(());
        }
        let chowned = lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()));
        chowned.map_err(EmbeddedError::io("chown", path))
    }

    /// A command that runs as this user, in `/`, blind to the caller's PG* variables and locale.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.is_other {
            // With `uid` std also drops root's supplementary groups (setgroups(0)), in the right order.
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    /// Runs a command of [`Self::command`] to its end with `input`; its output is in the error.
    pub(super) fn run(&self, command: &mut Command, input: &str) -> Result<(), EmbeddedError> {
        let program = PathBuf::from(command.get_program());
        let output = feed(command, input).map_err(EmbeddedError::io("run", &program))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(EmbeddedError::CommandFailed {
            program: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            output: last_lines(&String::from_utf8_lossy(&text)),
        })
    }

    /// Asks the kernel, by trying as that user, as mode bits do not tell all (access lists, mounts).
    fn check_entry(&self, dir: &Path) -> Result<(), EmbeddedError> {
        if !self.is_other {
            return Ok(());
        }
        let existing: Vec<&Path> = dir.ancestors().filter(|path| path.exists()).collect();
        let can_enter = |path: &Path| -> Result<bool, EmbeddedError> {
            let mut command = self.command(Path::new("/bin/sh"));
            command.args(["-c", r#"cd "$1""#, "sh"]).arg(path);
            let output = command.output().map_err(EmbeddedError::io("run", Path::new("/bin/sh")))?;
            Ok(output.status.success())
        };
        match existing.first() {
            Some(deepest) if !can_enter(deepest)? => {}
            _ => return Ok(()),
        }
        let mut barrier = dir;
        for path in existing.into_iter().rev() {
            barrier = path;
            if !can_enter(path)? {
                break;
            }
        }
        Err(EmbeddedError::NotTraversable { barrier: barrier.to_owned(), user: self.name.clone() })
    }
}

/// A container's user may have a number only.
fn name_of(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Only the last directory is private; its parents get the usual mode.
fn create_with_parents(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(dir)
}

/// Whether `dir` is empty, and its owner.
fn look_at(dir: &Path) -> io::Result<(bool, Uid)> {
    Ok((fs::read_dir(dir)?.next().is_none(), Uid::from_raw(fs::metadata(dir)?.uid())))
}

fn feed(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended early says why in its output.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
