select campaign_id, lead_id, number, rank, zone_id, attempts, epoch, attempts_total, external_id, variables, version, seq,
    last_outcome, streak, rang_at, conversation_seq, conversation_outcome, callback_at, callback_latest, callbacks
from queued_leads($1::int, $2::uuid[])
