select number, reason, created_at, expires_at from suppression
where number > $1::bigint and ($2::text is null or reason = $2::text)
    and ($3::timestamptz is null or created_at < $3::timestamptz)
    and ($4::timestamptz is null or expires_at < $4::timestamptz)
order by number limit $5::bigint
