select verdicts, granted_at, free_at
from grant_leases($1::int, $2::int[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::int[], $8::smallint[],
                  $9::int[], $10::timestamptz[], $11::timestamptz[], $12::int[], $13::timestamptz)
