select lease_ids, session_ids, states
from settle_leases($1::int[], $2::uuid[], $3::int[], $4::int[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::timestamptz[],
                   $9::timestamptz[], $10::smallint[], $11::smallint[], $12::int[], $13::smallint[], $14::timestamptz[], $15::text[],
                   $16::int[], $17::int[], $18::text[], $19::jsonb[], $20::boolean, $21::timestamptz[], $22::text[])
