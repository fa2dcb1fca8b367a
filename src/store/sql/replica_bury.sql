-- Waits for grants and refills of the dead, which hold their replica's key.
delete from replica r where r.expires_at < engine_now() and r.replica_id <> $1::int
