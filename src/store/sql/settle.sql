select lease_id, session_id, state
from settle_leases($1::uuid[], $2::int[], $3::smallint[], $4::smallint[], $5::timestamptz[], $6::timestamptz[], $7::smallint[],
                   $8::smallint[], $9::int[], $10::smallint[], $11::timestamptz[], $12::text[], $13::int[], $14::int[],
                   $15::text[], $16::jsonb[], $17::boolean)
