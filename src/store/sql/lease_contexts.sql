select lease_id, lease_seq, begun_at, granted_at, campaign_id, lead_id, version, state, seq, last_outcome, streak, rang_at,
    conversation_seq, conversation_outcome, callback_at, callback_latest, callbacks, attempts, epoch
from lease_contexts($1::uuid[])
