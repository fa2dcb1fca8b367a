with a as (
    update call_attempt set
        outcome = $2::smallint, counted = $3::boolean, callback_at = $4::timestamptz, by_engine = false,
        occurred_at = coalesce($5::timestamptz, engine_now()), provider_call_id = coalesce($6::text, provider_call_id),
        talk_ms = coalesce($7::int, talk_ms), ring_ms = coalesce($8::int, ring_ms), note = coalesce($9::text, note),
        metadata = coalesce($10::jsonb, metadata), callback_phrase = $11::text, callback_latest = $12::timestamptz
    where lease_id = $1::uuid
    returning campaign_id, lead_id, coalesce(begun_at, granted_at) as began_at
)
-- It may be of a lease that came back: then it rang without a permit. No attempt lies after last_attempt_at.
update lead l set last_attempt_at = a.began_at
from a where l.campaign_id = a.campaign_id and l.lead_id = a.lead_id and (l.last_attempt_at < a.began_at) is not false
