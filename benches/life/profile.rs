//! With PROFILE=1: which statements took the time, those inside of functions too. Costs some of it, so off otherwise.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use tokio_postgres::Client;

use super::{Fallible, set};

const STATEMENTS: usize = 24;

fn wanted() -> bool {
    set("PROFILE")
}

/// What the server must be started with.
pub fn settings() -> Vec<(String, String)> {
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // A quarter of a small machine, as is usual, so that a list of a million leads is in it.
    let memory = setting("shared_buffers", "2GB");
    if wanted() {
        vec![
            memory,
            setting("shared_preload_libraries", "pg_stat_statements"),
            setting("pg_stat_statements.track", "all"),
            setting("track_io_timing", "on"),
        ]
    } else {
        vec![memory]
    }
}

/// Makes the statistics visible.
pub async fn prepare(sql: &Client) -> Fallible<()> {
    if wanted() {
        sql.batch_execute("create extension if not exists pg_stat_statements").await?;
    }
    Ok(())
}

/// Forgets statements that were before. What tables count goes on: autovacuum goes by it.
pub async fn reset(sql: &Client) -> Fallible<()> {
    if wanted() {
        sql.batch_execute("select pg_stat_statements_reset()").await?;
    }
    Ok(())
}

/// Prints what has run since.
pub async fn show(sql: &Client) -> Fallible<()> {
    if !wanted() {
        return Ok(());
    }
    let query = format!(
        "select toplevel, calls, total_exec_time::bigint as ms, (total_exec_time / calls)::numeric(10, 3)::text as each,
             rows, wal_bytes::bigint as wal, shared_blks_hit as hits, shared_blks_dirtied as dirtied,
             left(regexp_replace(query, '\\s+', ' ', 'g'), 90) as query
         from pg_stat_statements where calls > 0 order by total_exec_time desc limit {STATEMENTS}"
    );
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "top",
        "calls",
        "ms",
        "ms each",
        "rows",
        "WAL",
        "hits",
        "dirtied",
        "statement",
    ]);
    for row in sql.query(&query, &[]).await? {
        let number = |name: &str| row.try_get::<_, i64>(name).map(|number| number.to_string());
        let top = if row.try_get("toplevel")? { "*" } else { "" };
        table.add_row([
            top.to_owned(),
            number("calls")?,
            number("ms")?,
            row.try_get("each")?,
            number("rows")?,
            number("wal")?,
            number("hits")?,
            number("dirtied")?,
            row.try_get("query")?,
        ]);
    }
    println!("{table}");
    let hot = "select relname::text, n_tup_upd, n_tup_hot_upd, n_tup_ins, n_tup_del from pg_stat_user_tables
               where schemaname = 'public' and n_tup_upd + n_tup_ins + n_tup_del > 0 order by 2 desc";
    for row in sql.query(hot, &[]).await? {
        let [updated, hot, inserted, deleted] =
            [row.try_get::<_, i64>(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
        let table: String = row.try_get(0)?;
        println!("  {table}: {updated} updated, {hot} of them HOT, {inserted} inserted, {deleted} deleted");
    }
    Ok(())
}
