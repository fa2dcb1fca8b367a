-- Facts after a cursor ($1 number, $2 lease, $3 nth report) in their order, as they were told, up to where the order is final. Those
-- of other campaigns than $4 come empty: they only move the cursor. An attempt has its only report in call_attempt, or all of
-- them in attempt_report: the first one moves there with its number, and its place is the same.
with head as materialized (
    (
        select a.accepted_no, a.lease_id, 0 as nth, 1::smallint as verdict, a.outcome, a.ended_at as accepted_at,
            a.callback_at, a.occurred_at, a.talk_ms, a.ring_ms, a.provider_call_id, a.note, a.metadata
        from call_attempt a
        where a.accepted_no is not null and (a.accepted_no, a.lease_id) > ($1::bigint, $2::uuid)
            and a.accepted_no < (select facts_until())
        order by a.accepted_no, a.lease_id limit 200
    )
    union all
    (
        select r.accepted_no, r.lease_id, r.nth, r.verdict, r.outcome, r.received_at,
            r.callback_at, r.occurred_at, r.talk_ms, r.ring_ms, r.provider_call_id, r.note, r.metadata
        from attempt_report r
        where (r.accepted_no, r.lease_id, r.nth) > ($1::bigint, $2::uuid, $3::int)
            and r.accepted_no < (select facts_until())
        order by r.accepted_no, r.lease_id, r.nth limit 200
    )
    order by 1, 2, 3 limit 200
)
select (select n.numbering_id from fact_numbering n order by n.first_no desc limit 1) as numbering_id,
    f.accepted_no, f.lease_id, f.nth, w.wanted, f.verdict, f.outcome, f.accepted_at, f.callback_at, f.occurred_at, f.talk_ms,
    f.ring_ms, f.provider_call_id, case when w.wanted then f.note end as note, case when w.wanted then f.metadata end as metadata,
    a.lead_id, a.attempt_number, a.dialer_id, a.begun_at, c.public_id, l.number, l.external_id
from head f
join call_attempt a on a.lease_id = f.lease_id
join campaign c on c.campaign_id = a.campaign_id
cross join lateral (select $4::int is null or a.campaign_id = $4::int as wanted) as w
left join lead l on w.wanted and l.campaign_id = a.campaign_id and l.lead_id = a.lead_id
order by f.accepted_no, f.lease_id, f.nth
