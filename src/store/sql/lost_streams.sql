select i.session_id, i.stream, coalesce(s.stream > i.stream, false) as taken_over
from unnest($1::uuid[], $2::int[]) as i (session_id, stream)
left join dialer_session s on s.session_id = i.session_id
where s.session_id is null or s.stream > i.stream or s.closed_at is not null
