//! The private PostgreSQL keeps its data, goes when its owner goes, and is never shared.
//!
//! Runs as root and as a normal user; what differs is asked with `is_root`.

mod support;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use dialplane::embedded::{EmbeddedError, EmbeddedOptions, EmbeddedPostgres};
use nix::sys::signal::Signal;
use support::*;

#[test]
fn the_first_start_makes_a_durable_private_cluster() {
    let temp = TempDir::new();
    let dir = temp.join("a/b");
    let mut server = EmbeddedPostgres::start(&dir).unwrap();
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "4GB"),
        ("min_wal_size", "512MB"),
        ("max_connections", "200"),
        ("autovacuum_naptime", "10s"),
        ("random_page_cost", "1.1"),
        ("jit", "off"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(query(&server, &format!("SHOW {setting}")), value, "{setting}");
    }
    assert!(query(&server, "SHOW server_version").starts_with(server.version()));
    assert!(server.bin_dir().join("pg_dump").exists());
    assert!(server.is_running());
    assert!(fs::read_to_string(server.log_path()).unwrap().contains("ready to accept connections"));
    for private in [&dir, &dir.join("data"), &dir.join("socket")] {
        assert_eq!(fs::metadata(private).unwrap().mode() & 0o777, 0o700, "{private:?}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert!(!field("Uid:").starts_with('0'), "never root");
    if is_root() {
        assert_eq!(field("Groups:"), "", "none of root's groups");
        assert_eq!(field("CapEff:"), "0000000000000000");
    }
    let pid = server.pid();
    server.stop().unwrap();
    assert!(!is_alive(pid));
    assert!(!dir.join("socket").exists());
}

#[test]
fn data_is_kept_over_a_restart() {
    let temp = TempDir::new();
    let dir = temp.join("db");
    let server = start(&dir).unwrap();
    query(&server, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)");
    query(&server, "ALTER SYSTEM SET work_mem = '5MB'");
    query(&server, "ALTER SYSTEM SET jit = on");
    query(&server, "ALTER SYSTEM SET fsync = off");
    drop(server);
    let server = start(&dir).unwrap();
    assert_eq!(query(&server, "SELECT id FROM kept"), "7");
    assert_eq!(query(&server, "SHOW work_mem"), "5MB");
    assert_eq!(query(&server, "SHOW jit"), "on", "the operator beats the defaults");
    assert_eq!(query(&server, "SHOW fsync"), "on", "but not the promise");
    assert!(!fs::read_to_string(server.log_path()).unwrap().contains("not properly shut down"));
}

#[test]
fn tests_may_trade_durability_for_speed() {
    let temp = TempDir::new();
    let settings = [("max_connections", "300"), ("shared_buffers", "16MB"), ("fsync", "on"), ("listen_addresses", "*")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = EmbeddedOptions { durable: false, settings };
    let server = EmbeddedPostgres::start_with(&temp.join("db"), &options).unwrap();
    assert_eq!(query(&server, "SHOW fsync"), "off");
    assert_eq!(query(&server, "SHOW max_connections"), "300");
    assert_eq!(query(&server, "SHOW listen_addresses"), "");
}

#[test]
fn a_killed_owner_takes_its_server_with_it() {
    let temp = TempDir::new();
    let dir = temp.join("db");
    let owner = Owner::start(&dir);
    let (postmaster, connection_string) = (owner.postmaster, owner.connection_string.clone());
    query_on(&connection_string, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)").unwrap();
    // A client of another process must not hold the server.
    let busy = std::thread::spawn(move || query_on(&connection_string, "SELECT pg_sleep(60)"));
    sleep(Duration::from_millis(300));
    owner.kill();
    let gone = wait_for("the server goes", Duration::from_secs(10), || !is_alive(postmaster));
    println!("gone after {gone:?}");
    assert!(busy.join().unwrap().is_err());
    let server = start(&dir).unwrap();
    assert_eq!(query(&server, "SELECT id FROM kept"), "7");
}

#[test]
fn a_start_waits_for_the_orphan_of_a_killed_owner() {
    let temp = TempDir::new();
    let dir = temp.join("db");
    let mut rows = 0;
    for _ in 0..5 {
        let owner = Owner::start(&dir);
        let sql = "CREATE TABLE IF NOT EXISTS kept (id int); INSERT INTO kept VALUES (1)";
        query_on(&owner.connection_string, sql).unwrap();
        rows += 1;
        owner.kill();
        let server = start(&dir).unwrap();
        assert_eq!(query(&server, "SELECT count(*) FROM kept"), rows.to_string());
        server.stop().unwrap();
    }
}

#[test]
fn a_killed_postmaster_recovers_on_the_next_start() {
    let temp = TempDir::new();
    let dir = temp.join("db");
    let mut server = start(&dir).unwrap();
    query(&server, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)");
    // A backend that does not look up from its work for a while.
    let connection_string = server.connection_string("dialplane");
    let busy =
        std::thread::spawn(move || query_on(&connection_string, "SELECT count(*) FROM generate_series(1, 8000000)"));
    sleep(Duration::from_millis(300));
    signal(server.pid(), Signal::SIGKILL);
    wait_for("the end is seen", Duration::from_secs(5), || !server.is_running());
    drop(server);
    let server = start(&dir).unwrap();
    assert_eq!(query(&server, "SELECT id FROM kept"), "7");
    let _ = busy.join().unwrap();
}

#[test]
fn a_second_owner_is_refused() {
    let temp = TempDir::new();
    let dir = temp.join("db");
    let owner = Owner::start(&dir);
    match start(&dir) {
        Err(EmbeddedError::AlreadyRunning { pid, .. }) => assert_eq!(pid, Some(owner.process.id())),
        other => panic!("{other:?}"),
    }
    assert_eq!(query_on(&owner.connection_string, "SELECT 1").unwrap(), "1", "the first is not disturbed");
    owner.kill();

    let first = start(&dir).unwrap();
    assert!(matches!(start(&dir), Err(EmbeddedError::AlreadyRunning { .. })), "nor twice in one process");
    assert_eq!(query(&first, "SELECT 1"), "1");
}

#[test]
fn a_pid_file_that_names_a_stranger_does_not_stop_the_start() {
    let temp = TempDir::new();
    let dir = temp.join("db");
    let data_owner = {
        let server = start(&dir).unwrap();
        fs::copy(dir.join("data/postmaster.pid"), temp.join("pid")).unwrap();
        server.stop().unwrap();
        fs::metadata(dir.join("data")).unwrap()
    };
    // As in a container, where process numbers start again from 1.
    let mut sleeper = Command::new("sleep");
    if is_root() {
        std::os::unix::process::CommandExt::uid(&mut sleeper, data_owner.uid());
    }
    let mut sleeper = sleeper.arg("60").spawn().unwrap();
    let text = fs::read_to_string(temp.join("pid")).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    let pid_file = dir.join("data/postmaster.pid");
    fs::write(&pid_file, format!("{}\n{rest}", sleeper.id())).unwrap();
    std::os::unix::fs::chown(&pid_file, Some(data_owner.uid()), Some(data_owner.gid())).unwrap();
    let started = start(&dir);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(query(&started.unwrap(), "SELECT 1"), "1");
}

#[test]
fn a_long_or_odd_path_gets_a_short_socket_directory() {
    let temp = TempDir::new();
    for name in ["long".repeat(40), "sp ace, qu'ote \u{e4}".to_owned()] {
        let dir = temp.join(&name).join("db");
        let server = start_with(&dir, false).unwrap();
        let connection_string = server.connection_string("dialplane");
        let socket_dir = connection_string.split([' ', '=']).nth(1).map(PathBuf::from).unwrap();
        assert!(!socket_dir.starts_with(&temp.0));
        let metadata = fs::metadata(&socket_dir).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o700);
        assert_eq!(metadata.uid(), fs::metadata(dir.join("data")).unwrap().uid());
        assert_eq!(query(&server, "SELECT 1"), "1");
        server.stop().unwrap();
        assert!(!socket_dir.exists());

        let owner = Owner::start(&dir);
        let socket_dir = owner.connection_string.split([' ', '=']).nth(1).map(PathBuf::from).unwrap();
        owner.kill();
        wait_for("the directory goes with the server", Duration::from_secs(10), || !socket_dir.exists());
    }
}

#[test]
fn a_directory_out_of_reach_is_named_with_a_remedy() {
    let temp = TempDir::new();
    let barrier = temp.join("private");
    DirBuilder::new().mode(if is_root() { 0o700 } else { 0o500 }).create(&barrier).unwrap();
    let error = start(&barrier.join("x/db")).unwrap_err();
    println!("{error}");
    if is_root() {
        assert!(matches!(&error, EmbeddedError::NotTraversable { barrier: found, .. } if *found == barrier));
        assert!(error.to_string().contains(&format!("chmod a+x {}", barrier.display())));
    } else {
        assert!(matches!(&error, EmbeddedError::Io { .. }));
    }
    assert_eq!(fs::read_dir(&barrier).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_directory_with_other_files_keeps_its_owner_and_mode() {
    let temp = TempDir::new();
    fs::write(temp.join("file"), "").unwrap();
    let before = fs::metadata(&temp.0).unwrap();
    let server = start_with(&temp.0, false);
    let after = fs::metadata(&temp.0).unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
    drop(server.unwrap());

    let other = TempDir::new();
    fs::create_dir(other.join("data")).unwrap();
    assert!(matches!(start(&other.0), Err(EmbeddedError::ForeignData { .. })));
}

#[test]
fn a_failed_start_tells_the_end_of_the_log() {
    let temp = TempDir::new();
    let options = EmbeddedOptions { durable: false, settings: vec![("no_such_setting".to_owned(), "1".to_owned())] };
    let error = EmbeddedPostgres::start_with(&temp.join("db"), &options).unwrap_err();
    println!("{error}");
    assert!(matches!(&error, EmbeddedError::StartFailed { log, .. } if log.contains("no_such_setting")));
    drop(start_with(&temp.join("db"), false).unwrap());
}

#[test]
fn data_of_a_version_that_is_not_installed_is_named() {
    let temp = TempDir::new();
    drop(start_with(&temp.join("db"), false).unwrap());
    fs::write(temp.join("db/data/PG_VERSION"), "9\n").unwrap();
    let error = start(&temp.join("db")).unwrap_err();
    assert!(error.to_string().contains("sudo apt-get install postgresql-9"), "{error}");
}
