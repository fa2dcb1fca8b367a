//! Names of ids. Campaigns have two: the UUID that people know and the small number that hot rows carry.

use uuid::Uuid;

/// A campaign, as people know it.
pub type CampaignId = Uuid;
/// A campaign, as rows carry it; never leaves the process.
pub type CampaignKey = i32;
/// A lead. UUIDv7, so that order of ids is order of intake.
pub type LeadId = Uuid;
/// A lease, and the attempt under it. UUIDv7, so that ranges of ids are ranges of time.
pub type LeaseId = Uuid;
/// A dialer's session; made by the dialer.
pub type SessionId = Uuid;
/// Counts the streams of a session: of two, the later one has it.
pub type StreamNumber = i32;
/// A replica of the engine.
pub type ReplicaId = i32;
/// A time zone's number in the database; 0 is "none of its own".
pub type ZoneId = i16;

/// A new id, greater than every one that this process made before.
pub fn next_id() -> Uuid {
    Uuid::now_v7()
}
