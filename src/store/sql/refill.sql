select *
from refill($1::int, $2::int, $3::int, $4::int, $5::int, $6::timestamptz[], $7::timestamptz[], $8::uuid[], $9::uuid[],
            $10::timestamptz)
