select lease_id, session_id, state
from settle_leases($1::uuid[], $2::int[], $3::smallint[], $4::smallint[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
                   $8::smallint[], $9::smallint[], $10::int[], $11::smallint[], $12::timestamptz[], $13::text[], $14::int[],
                   $15::int[], $16::text[], $17::jsonb[], $18::boolean, $19::timestamptz[], $20::text[])
