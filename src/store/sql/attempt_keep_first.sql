-- As it was told: what stands for the attempt is overwritten by later reports. Its number moves along.
with first as (
    insert into attempt_report (lease_id, nth, received_at, outcome, verdict, callback_at, accepted_no, occurred_at, talk_ms,
        ring_ms, provider_call_id, note, metadata, callback_phrase)
    select a.lease_id, 0, a.ended_at, a.outcome, $2::smallint, a.callback_at, a.accepted_no, a.occurred_at, a.talk_ms,
        a.ring_ms, a.provider_call_id, a.note, a.metadata, a.callback_phrase
    from call_attempt a
    where a.lease_id = $1::uuid and a.accepted_no is not null
    returning lease_id
)
update call_attempt a set accepted_no = null from first where a.lease_id = first.lease_id
