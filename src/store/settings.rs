//! The engine's settings: one row.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;

use super::{Store, StoreError, number_rules};
use crate::domain::{number_rules::NumberRules, settings::SchedulerSettings};

const SELECT: &str = "select max_concurrency, tick_interval_ms, buffer_factor, batch_size, session_ttl_ms, receipt_within_ms, \
     dial_within_ms, max_calls_per_second, number_rules, etag from setting";

/// Milliseconds of a bounded duration; every setting's bound fits.
fn ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Reads the settings.
///
/// # Errors
/// [`StoreError`].
pub async fn read(client: &impl GenericClient) -> Result<SchedulerSettings, StoreError> {
    let statement = client.prepare_cached(SELECT).await?;
    let row = client.query_one(&statement, &[]).await?;
    let duration = |name: &str| -> Result<Duration, StoreError> {
        Ok(Duration::from_millis(u64::try_from(row.try_get::<_, i32>(name)?).unwrap_or(0)))
    };
    Ok(SchedulerSettings {
        max_concurrency: row.try_get("max_concurrency")?,
        tick_interval: duration("tick_interval_ms")?,
        buffer_factor: row.try_get("buffer_factor")?,
        batch_size: row.try_get("batch_size")?,
        session_ttl: duration("session_ttl_ms")?,
        receipt_within: duration("receipt_within_ms")?,
        dial_within: duration("dial_within_ms")?,
        max_calls_per_second: row.try_get("max_calls_per_second")?,
        number_rules: row.try_get::<_, Json<NumberRules>>("number_rules")?.0,
        etag: row.try_get("etag")?,
    })
}

/// Writes the settings when `etag` is the one stored (or none is given). `None`: it was not. The caller holds the fences of all
/// campaigns when number rules change.
///
/// # Errors
/// [`StoreError`].
pub async fn update(
    client: &impl GenericClient,
    settings: &SchedulerSettings,
    etag: Option<i64>,
) -> Result<Option<SchedulerSettings>, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/setting_update.sql")).await?;
    // Turns are given under these: afterwards none by the old limit is under way. Before gauges, which grants wait for.
    let turns = client
        .prepare_cached(
            "select from pace where exists (\
                 select from setting s where s.one and s.max_calls_per_second is distinct from $1::float8) \
             order by campaign_id for update",
        )
        .await?;
    client.execute(&turns, &[&settings.max_calls_per_second]).await?;
    // The engine's gauge is what grants lock before they read the cap: none that read the old one can follow.
    client.execute("select lock_gauges(array[0])", &[]).await?;
    let written = client
        .execute(
            &statement,
            &[
                &settings.max_concurrency,
                &ms(settings.tick_interval),
                &settings.buffer_factor,
                &settings.batch_size,
                &ms(settings.session_ttl),
                &ms(settings.receipt_within),
                &ms(settings.dial_within),
                &Json(&settings.number_rules),
                &etag,
                &settings.max_calls_per_second,
            ],
        )
        .await?;
    if written == 0 {
        return Ok(None);
    }
    number_rules::write(client, number_rules::ENGINE, settings.number_rules.limits()).await?;
    Ok(Some(read(client).await?))
}

impl Store {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settings(&self) -> Result<SchedulerSettings, StoreError> {
        read(&self.client().await?).await
    }

    /// Fills an empty database with settings; one that has some keeps them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fill_settings(&self, settings: &SchedulerSettings) -> Result<(), StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/setting_fill.sql")).await?;
        let filled = client
            .execute(
                &statement,
                &[
                    &settings.max_concurrency,
                    &ms(settings.tick_interval),
                    &settings.buffer_factor,
                    &settings.batch_size,
                    &ms(settings.session_ttl),
                    &ms(settings.receipt_within),
                    &ms(settings.dial_within),
                    &Json(&settings.number_rules),
                    &settings.max_calls_per_second,
                ],
            )
            .await?;
        if filled > 0 {
            number_rules::write(&client, number_rules::ENGINE, settings.number_rules.limits()).await?;
        }
        Ok(())
    }
}
