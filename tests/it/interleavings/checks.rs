//! What must hold after any two mutations, and a picture of everything to compare the ways there.

use std::collections::HashSet;

use dialplane::domain::ids::LeaseId;

use super::stage::Stage;

/// Broken rules. $1: every lease that was ever granted here.
pub const BROKEN: &str = "
    select violation as rule, format('campaign %s: %s', campaign_id, detail) as detail from invariant_violation
    union all
    select 'a lease lives and is over', lease_id::text from lease join call_attempt using (lease_id)
    union all
    select 'a lease is gone without a trace', k.lease_id::text from unnest($1::uuid[]) as k (lease_id)
    where not exists (select from lease z where z.lease_id = k.lease_id)
        and not exists (select from call_attempt a where a.lease_id = k.lease_id)
    union all
    select 'a lease that nobody granted', z.lease_id::text from lease z where z.lease_id <> all ($1::uuid[])
    union all
    select 'an attempt without a grant', a.lease_id::text from call_attempt a where a.lease_id <> all ($1::uuid[])
    union all
    select 'slots in use are not those granted less those ended', format('%s of %s, %s ended', g.dialing,
        cardinality($1::uuid[]), (select count(*) from call_attempt))
    from gauge g where g.campaign_id = 0
        and g.dialing <> cardinality($1::uuid[]) - (select count(*) from call_attempt)
    union all
    select 'a campaign''s slots are not its leases', g.campaign_id::text from gauge g
    where g.campaign_id > 0 and g.dialing <> (select count(*) from lease z where z.campaign_id = g.campaign_id)
    union all
    select 'states do not add up to the leads', g.campaign_id::text from gauge g
    where g.campaign_id > 0 and (select count(*) from lead l where l.campaign_id = g.campaign_id) <> g.eligible + g.ready
        + g.dialing + g.intent_yes + g.intent_no + g.no_answer + g.failed + g.scheduled + g.consumed
    union all
    select 'attempts of a campaign are not counted', g.campaign_id::text from gauge g
    where g.campaign_id > 0
        and g.attempts <> (select count(*) from call_attempt a where a.campaign_id = g.campaign_id and a.counted)
    union all
    select 'attempts of a lead are not counted', l.number::text from lead l
    where l.attempts_total <> (select count(*) from call_attempt a
        where a.campaign_id = l.campaign_id and a.lead_id = l.lead_id and a.counted)
    union all
    select 'a suppressed number has a lease without a permit', z.number::text
    from lease z join suppression using (number) where z.begun_at is null
    union all
    select 'a campaign that does not run has a lease without a permit', z.number::text
    from lease z join campaign c using (campaign_id) where z.begun_at is null and c.state <> 2
    union all
    select 'a campaign has leases without a permit above its cap', c.campaign_id::text
    from campaign c join gauge g using (campaign_id) join lease z using (campaign_id)
    where z.begun_at is null and g.dialing > c.max_concurrency
    union all
    select 'a lead waits twice', format('%s lane %s', lead_id, lane) from due q
    where exists (select from due p where p.lead_id = q.lead_id and (p.lane, p.at) <> (q.lane, q.at)
        and p.epoch = q.epoch)
    union all
    select 'two leases of one number', number::text from lease group by number having count(*) > 1";

/// Everything that people or the engine could tell apart, but ids of new leases, instants, and bounds of searches.
pub const PICTURE: &str = "
    select line from (
        select format('lead %s/%s: state %s, attempts %s of %s, blocked %s, do_not_call %s, promise %s, waits %s for %s, '
            'last %s, conversation %s, returned %s, rank %s', campaign_id, l.number, v.state, v.attempts, v.attempts_total,
            l.blocked, l.do_not_call, l.callback_at is not null, v.not_before is not null, v.waiting_reason, l.last_outcome,
            l.conversation_outcome, l.returned_in_a_row, l.rank) as line
        from lead l join lead_view v using (campaign_id, lead_id)
        union all
        select format('ready %s/%s: owner %s, state %s', campaign_id, number, owner, r.state)
        from ready_lead r join lead using (campaign_id, lead_id)
        union all
        select format('due %s/%s: lane %s, state %s, reason %s', campaign_id, number, lane, d.state, reason)
        from due d join lead using (campaign_id, lead_id) join gauge g using (campaign_id)
        where d.epoch = g.epoch or lane = 0 or reason = 7
        union all
        select format('lease %s/%s: state %s, begun %s, seq %s, attempts %s', campaign_id, number, state, begun_at is not null,
            seq, attempts) from lease
        union all
        select format('attempt %s/%s %s: outcome %s, counted %s, by engine %s, begun %s', campaign_id, number, a.seq, outcome,
            counted, by_engine, begun_at is not null) from call_attempt a join lead using (campaign_id, lead_id)
        union all
        select format('report %s/%s %s: outcome %s, verdict %s', campaign_id, number, a.seq, r.outcome, verdict)
        from attempt_report r join call_attempt a using (lease_id) join lead using (campaign_id, lead_id)
        union all
        select format('gauge %s', to_jsonb(g) - array['cursor_rank', 'cursor_lead', 'promise_from', 'waiting_from'])
        from gauge g
        union all
        select format('campaign %s: state %s, cap %s, rules %s', campaign_id, state, max_concurrency, rules_version)
        from campaign
        union all select format('cap %s', max_concurrency) from setting
        union all select format('number rule of %s: %s for %s', campaign_id, at_most, lasts) from number_rule
        union all select format('suppressed %s: for good %s', number, expires_at is null) from suppression
        union all select format('imported through %s', through_seq) from import
        union all select format('replica %s', replica_id) from replica
        union all select format('session on %s: closed %s', replica_id, closed_at is not null) from dialer_session
    ) as p order by line";

impl Stage {
    /// Every broken rule; `granted` are the leases that the scene made.
    pub async fn broken(&self, granted: &[LeaseId]) -> Vec<String> {
        let built = self.earlier.values().chain(self.leases.values()).chain(&self.ended).chain(granted);
        let known: Vec<LeaseId> = built.copied().collect::<HashSet<_>>().into_iter().collect();
        let rows = self.database.sql.query(&self.looks[0], &[&known]).await.unwrap();
        rows.iter().map(|row| format!("{}: {}", row.get::<_, &str>(0), row.get::<_, &str>(1))).collect()
    }

    /// How everything stands, line by line.
    pub async fn picture(&self) -> Vec<String> {
        self.database.sql.query(&self.looks[1], &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// The lines that only one of two pictures has.
pub fn difference(one: &[String], other: &[String]) -> String {
    let only = |sign: &str, these: &[String], those: &[String]| {
        these.iter().filter(|line| !those.contains(line)).map(|line| format!("    {sign} {line}\n")).collect::<String>()
    };
    only("-", one, other) + &only("+", other, one)
}
