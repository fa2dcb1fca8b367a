select count(s.session_id) as sessions, coalesce(sum(s.slots), 0)::bigint as slots,
    coalesce(sum(s.slots) filter (where s.replica_id <> $1::int), 0)::bigint as slots_elsewhere,
    (select count(*) from replica r where r.expires_at >= engine_now()) as replicas,
    (select g.dialing::bigint from gauge g where g.campaign_id = 0) as dialing,
    (select coalesce(sum(g.ready), 0)::bigint from gauge g) as ready
from dialer_session s join replica r on r.replica_id = s.replica_id and r.expires_at >= engine_now()
where s.closed_at is null
