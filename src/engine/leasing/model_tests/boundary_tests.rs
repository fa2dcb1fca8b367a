//! The boundaries by name; most of them the model has found to be wrong once.

use super::{
    super::messages::{Effect, Ending},
    *,
};
use crate::store::queue::Refill;

const WHO: u8 = 0;

fn open(slots: u8) -> Step {
    Step::Open { who: WHO, slots, named: 255, here: true }
}

fn ticks(times: u8, serving: bool) -> Step {
    Step::Ticks { times, millis: 250, serving }
}

impl Play {
    /// A session with all the leases it has slots for.
    fn with(slots: u8) -> Play {
        let mut play = Play::new();
        play.steps(&[open(slots), Step::RunAll, Step::RunAll, Step::RunAll]);
        play
    }

    /// A session that waits for its first grant.
    fn granting(slots: u8) -> Play {
        let mut play = Play::new();
        play.steps(&[open(slots), Step::RunAll, Step::RunAll]);
        assert!(matches!(play.world.jobs[..], [Job::Grant(..)]));
        play
    }

    fn is_open(&self) -> bool {
        self.world.model.open.contains_key(&session(WHO))
    }

    fn holds(&self) -> usize {
        self.world.floor.leases().len()
    }

    /// Where the newest job is; refills wait.
    fn newest(&self) -> usize {
        self.world.jobs.iter().rposition(|job| !matches!(job, Job::Refill(..))).expect("a job")
    }

    /// The newest job, and what follows from it.
    fn run_newest(&mut self, times: u8) {
        for _ in 0..times {
            self.world.run(self.newest(), 0);
        }
    }
}

#[test]
fn a_session_gets_as_many_leases_as_it_has_slots() {
    for slots in 0..6 {
        assert_eq!(Play::with(slots).holds(), usize::from(slots));
    }
}

#[test]
fn leases_that_end_together_are_told_in_one_message_before_their_drained_session_ends() {
    let mut play = Play::with(5);
    play.step(Step::Drain { who: WHO });
    let leases = play.world.floor.leases();
    let effects = play.world.floor.ended(&leases, Some(RevokeReason::ByOperator));
    let [Effect::Send(_, Message::Revoked(told, _)), Effect::Close(_, Ending::Done)] = &effects[..] else {
        panic!("{} effects", effects.len())
    };
    assert_eq!(told, &leases);
}

#[test]
fn a_process_that_slept_loses_no_session() {
    let mut play = Play::with(2);
    for _ in 0..5 {
        play.steps(&[Step::Sleep { millis: 60_000 }, ticks(1, true)]);
        assert!(play.is_open());
        play.step(Step::Talk { who: WHO });
    }
    assert_eq!(play.holds(), 2);
}

#[test]
fn nobody_is_lost_while_the_database_is_away() {
    let mut play = Play::with(2);
    play.step(Step::Talk { who: WHO });
    for _ in 0..20 {
        play.steps(&[ticks(20, false), Step::Read { who: WHO }]);
    }
    assert!(play.is_open());
    // From the next tick on, and for longer than the ttl.
    play.step(ticks(12, true));
    assert!(play.is_open());
    play.step(ticks(1, true));
    assert!(!play.is_open());
}

#[test]
fn what_is_heard_between_two_ticks_counts_from_the_next() {
    let mut play = Play::new();
    play.steps(&[open(0), Step::Sleep { millis: 400 }, Step::RunAll, ticks(12, true)]);
    assert!(play.is_open());
    play.end();
}

#[test]
fn a_grant_under_way_goes_to_the_later_stream() {
    let mut play = Play::granting(2);
    play.step(open(2));
    play.run_newest(3);
    assert_eq!(play.world.floor.stream_of(session(WHO)), Some(2));
    play.step(Step::RunAll);
    let (stream, outbox) = &play.world.outboxes[&session(WHO)];
    assert_eq!(*stream, 2);
    assert!(matches!(outbox.get(1), Some(Message::Granted(leases)) if leases.len() == 2));
    play.end();
}

#[test]
fn a_grant_under_way_when_its_session_drains_goes_back_and_ends_it() {
    let mut play = Play::granting(2);
    play.step(Step::Drain { who: WHO });
    assert!(play.is_open());
    play.run_newest(2);
    assert!(!play.is_open());
    play.step(Step::RunAll);
    assert!(play.world.db.leases.is_empty());
}

#[test]
fn a_drained_session_ends_when_its_last_grant_fails() {
    for fault in 10..13 {
        let mut play = Play::granting(2);
        play.steps(&[Step::Drain { who: WHO }, Step::Run { job: 0, fault }, Step::RunAll]);
        assert!(!play.is_open());
        play.end();
    }
}

#[test]
fn a_session_that_moved_is_open_here_until_its_streams_were_looked_for() {
    let mut play = Play::granting(2);
    play.step(Step::Open { who: WHO, slots: 2, named: 0, here: false });
    let newest = play.newest();
    let Job::OpenRow(opening, _) = play.world.jobs.remove(newest) else { panic!("no row is opened") };
    play.world.db.open(opening.session, false);
    play.run_newest(2);
    assert!(play.is_open(), "not done: moved");
    play.step(Step::RunAll);
    assert!(!play.is_open());
}

#[test]
fn a_session_that_moved_and_came_back_gets_leases_again() {
    let mut play = Play::granting(2);
    play.world.db.open(session(WHO), false);
    // Refused as moved; before that is told here, the session is back.
    play.run_newest(1);
    let newest = play.newest();
    let answer = play.world.jobs.remove(newest);
    play.world.ask(Job::OpenRow(
        Opening { session: session(WHO), stream: 0, campaigns: None, slots: 2, own: Vec::new(), held: Vec::new() },
        true,
    ));
    play.run_newest(3);
    play.world.jobs.push(answer);
    play.steps(&[Step::RunAll, Step::RunAll, Step::RunAll]);
    assert_eq!(play.holds(), 2);
}

#[test]
fn a_plan_keeps_to_the_room_under_the_cap() {
    let mut play = Play::new();
    play.world.db.engine_cap = 1;
    play.steps(&[open(4), Step::RunAll, Step::RunAll, Step::RunAll]);
    assert_eq!(play.holds(), 1);
    // One lease ends: there is room for one, though two campaigns have leads. The model looks at the plan.
    play.steps(&[Step::Revoke { which: 0 }, Step::RunAll]);
    assert!(matches!(&play.world.jobs[..], [.., Job::Grant(planned, _)] if planned.len() == 1));
}

#[test]
fn a_begun_lease_is_not_given_back_when_its_stream_breaks() {
    let mut play = Play::with(2);
    play.steps(&[Step::Talk { who: WHO }, Step::Begin { who: WHO, which: 0 }, Step::RunAll]);
    play.steps(&[Step::Cut { who: WHO }, Step::RunAll, Step::RunAll]);
    assert!(!play.is_open());
    assert_eq!(play.world.db.leases.values().filter(|live| live.begun).count(), 1);
    assert_eq!(play.world.db.leases.len(), 1);
}

#[test]
fn a_lease_without_a_receipt_goes_back_and_its_session_gets_no_more_for_a_while() {
    let mut play = Play::with(1);
    play.step(ticks(4, true));
    assert_eq!(play.world.db.leases.len(), 1);
    play.steps(&[ticks(1, true), Step::RunAll, Step::RunAll, Step::RunAll]);
    assert_eq!((play.holds(), play.world.db.leases.len()), (0, 0));
    for _ in 0..40 {
        play.steps(&[Step::Heartbeat { who: WHO }, ticks(1, true), Step::Read { who: WHO }, Step::RunAll]);
    }
    play.steps(&[Step::RunAll, Step::RunAll]);
    assert_eq!(play.holds(), 1);
}

#[test]
fn a_fenced_floor_has_nothing_left() {
    let mut play = Play::with(3);
    play.step(Step::Fence);
    play.step(Step::RunAll);
    assert_eq!((play.is_open(), play.holds()), (false, 0));
}

#[test]
fn room_for_which_no_lead_was_found_is_left() {
    let mut play = Play::new();
    play.world.floor.hurry_from = 1;
    play.steps(&[Step::Pause { campaign: 1 }, Step::RunAll, Step::RunAll, open(4)]);
    play.world.floor.room.met();
    (0..3).for_each(|_| play.world.floor.room.one_more());
    play.step(Step::RunAll);
    let Some(Job::Refill(ask, _)) = play.world.jobs.pop() else { panic!("nothing is looked for") };
    assert_eq!((ask.slots.len(), play.world.floor.room.at_most(500)), (3, 0));
    let now = play.world.now;
    play.world.floor.refilled(&ask, Refill::default(), now);
    assert_eq!(play.world.floor.room.at_most(500), 3);
}

#[test]
fn an_answer_for_an_earlier_session_frees_no_slot_of_its_successor() {
    let mut play = Play::granting(2);
    let free = |play: &Play| play.world.floor.sessions[&session(WHO)].free(play.world.floor.served, 0);
    play.world.floor.arrived(session(WHO), Uuid::nil(), CAMPAIGNS[0], false);
    assert_eq!(free(&play), 0);
    play.step(Step::RunAll);
    assert_eq!((free(&play), play.holds()), (0, 2));
    play.end();
}
