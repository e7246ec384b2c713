use super::*;

const DB: usize = 0;
const WEB: usize = 1;

fn policy() -> Policy {
    Policy { give_up_after: 3, restart_after: vec![None, Some(2)] }
}

/// Feeds the events, and gives the actions of each.
fn run(mut state: State, events: Vec<Event>) -> (State, Vec<Vec<Action>>) {
    let mut all = Vec::new();
    for event in events {
        let (next, actions) = step(state, event);
        state = next;
        all.push(actions);
    }
    (state, all)
}

fn running() -> State {
    run(State::new(policy()), vec![Event::Prepared(Ok(())), Event::Started(DB), Event::Started(WEB)]).0
}

fn tell(text: &str) -> Action {
    Action::Tell(text.to_owned())
}

#[test]
fn the_database_is_first_up_and_last_down() {
    let (state, actions) = run(
        State::new(policy()),
        vec![
            Event::Prepared(Ok(())),
            Event::Started(DB),
            Event::Started(WEB),
            Event::StopAsked,
            Event::StopAsked,
            Event::Stopped(WEB),
            Event::Stopped(DB),
        ],
    );
    assert_eq!(
        actions,
        vec![
            vec![Action::Start(DB)],
            vec![Action::Start(WEB)],
            vec![Action::HidePage, Action::NotifyReady, tell("running")],
            vec![Action::NotifyStopping, Action::Stop(WEB)],
            vec![],
            vec![Action::Stop(DB)],
            vec![Action::Finish(Outcome::Stopped)],
        ]
    );
    assert_eq!(state.phase, Phase::Stopped);
}

#[test]
fn a_stop_during_a_start_stops_what_starts() {
    let (_, actions) = run(
        State::new(policy()),
        vec![
            Event::Prepared(Ok(())),
            Event::Started(DB),
            Event::StopAsked,
            Event::StartFailed(WEB, "cancelled".into()),
            Event::Stopped(WEB),
            Event::Stopped(DB),
        ],
    );
    assert_eq!(actions[2], [Action::NotifyStopping, Action::Stop(WEB)]);
    assert!(actions[3].is_empty());
    assert_eq!(actions[4], [Action::Stop(DB)]);
    assert_eq!(actions[5], [Action::Finish(Outcome::Stopped)]);
}

#[test]
fn one_that_started_while_it_was_stopped_is_still_stopped() {
    let (state, _) = run(
        State::new(policy()),
        vec![Event::Prepared(Ok(())), Event::Started(DB), Event::StopAsked, Event::Started(WEB)],
    );
    assert_eq!(state.services[WEB].up, Up::Stopping);
    let (_, actions) = step(state, Event::Stopped(WEB));
    assert_eq!(actions, [Action::Stop(DB)]);
}

#[test]
fn it_gives_up_at_first_and_never_later() {
    let fail = || Event::StartFailed(WEB, "no".into());
    let (state, actions) = run(
        State::new(policy()),
        vec![
            Event::Prepared(Ok(())),
            Event::Started(DB),
            fail(),
            Event::BackOffOver(WEB),
            fail(),
            Event::BackOffOver(WEB),
            fail(),
            Event::Stopped(WEB),
            Event::Stopped(DB),
        ],
    );
    assert_eq!(actions[2], [tell("no; starting it again"), Action::Wait(WEB, Duration::ZERO)]);
    assert_eq!(actions[4], [tell("no; starting it again in 1 s"), Action::Wait(WEB, Duration::from_secs(1))]);
    assert_eq!(actions[6], [Action::NotifyStopping, Action::Stop(WEB)]);
    assert_eq!(actions[8], [Action::Finish(Outcome::Failed("no".into()))]);
    assert_eq!(state.phase, Phase::Failed);

    let mut state = step(running(), Event::Exited(WEB, "no".into())).0;
    for _ in 0..20 {
        let (next, actions) = run(state, vec![Event::BackOffOver(WEB), fail()]);
        assert!(matches!(actions[1].last(), Some(Action::Wait(WEB, _))), "{actions:?}");
        state = next;
    }
    assert_eq!(state.phase, Phase::Degraded);
}

#[test]
fn a_death_is_mended_at_once_and_the_page_shows_only_when_it_lasts() {
    let (state, actions) = run(
        running(),
        vec![
            Event::Exited(WEB, "killed".into()),
            Event::BackOffOver(WEB),
            Event::StartFailed(WEB, "bad".into()),
            Event::BackOffOver(WEB),
            Event::Started(WEB),
            Event::Probed(WEB, Ok(())),
        ],
    );
    assert_eq!(actions[0], [tell("killed; starting it again"), Action::Wait(WEB, Duration::ZERO)]);
    assert_eq!(actions[1], [Action::Start(WEB)]);
    assert_eq!(
        actions[2],
        [tell("bad; starting it again in 1 s"), Action::ShowPage, Action::Wait(WEB, Duration::from_secs(1))]
    );
    assert_eq!(actions[4], [Action::HidePage, tell("running")]);
    assert_eq!((state.phase, state.services[WEB].failures), (Phase::Running, 0));
}

#[test]
fn the_web_server_stays_when_the_database_dies() {
    let (state, actions) = run(
        running(),
        vec![
            Event::Exited(DB, "killed".into()),
            Event::BackOffOver(DB),
            Event::Probed(WEB, Err("500".into())),
            Event::Probed(WEB, Err("500".into())),
            Event::Probed(WEB, Err("500".into())),
            Event::Started(DB),
        ],
    );
    assert_eq!(actions[1], [Action::Start(DB)]);
    assert!(actions[2..5].iter().all(Vec::is_empty), "{actions:?}");
    assert_eq!(actions[5], [tell("running")]);
    assert_eq!(state.phase, Phase::Running);
}

#[test]
fn probes_restart_the_web_server_alone() {
    let bad = |index| Event::Probed(index, Err("slow".into()));
    let (_, actions) = run(running(), vec![bad(WEB), bad(WEB), bad(WEB), Event::Started(WEB)]);
    assert_eq!(actions[0], [tell("slow")]);
    assert_eq!(actions[1], [Action::Restart(WEB)]);
    assert!(actions[2].is_empty(), "it is starting");
    assert_eq!(actions[3], [tell("running")]);
    let (state, actions) = run(running(), vec![bad(DB); 50]);
    assert!(!actions.concat().contains(&Action::Restart(DB)));
    let (state, actions) = step(state, Event::Probed(DB, Ok(())));
    assert_eq!((state.phase, actions), (Phase::Running, vec![tell("running")]));
}

#[test]
fn restarts_and_replacements_are_answered() {
    let (state, actions) = run(
        running(),
        vec![
            Event::ReplaceAsked(WEB),
            Event::Exited(WEB, "the old one".into()),
            Event::ReplaceAsked(WEB),
            Event::Replaced(WEB, Ok(())),
            Event::RestartAsked,
            Event::Stopped(WEB),
            Event::Stopped(DB),
            Event::Started(DB),
            Event::Started(WEB),
        ],
    );
    assert_eq!(actions[0], [Action::Replace(WEB)]);
    assert!(actions[1].is_empty());
    assert_eq!(actions[2], [Action::Decline("it is running".into())]);
    assert_eq!(actions[3], [Action::Answer(Ok(()))]);
    assert_eq!(actions[4], [Action::ShowPage, Action::Stop(WEB)]);
    assert_eq!(actions[6], [Action::Start(DB)]);
    assert_eq!(actions[8], [Action::HidePage, tell("running"), Action::Answer(Ok(()))]);
    assert_eq!(state.then, Then::Stay);
}

#[test]
fn a_stop_overtakes_a_restart() {
    let (_, actions) =
        run(running(), vec![Event::RestartAsked, Event::StopAsked, Event::Stopped(WEB), Event::Stopped(DB)]);
    assert_eq!(actions[1], [Action::Answer(Err("it is stopping".into())), Action::NotifyStopping]);
    assert_eq!(actions[3], [Action::Finish(Outcome::Stopped)]);
}

#[test]
fn what_cannot_be_prepared_ends_it() {
    let (state, actions) = step(State::new(policy()), Event::Prepared(Err("no network".into())));
    let failed = Outcome::Failed("no network".into());
    assert_eq!(actions, [Action::NotifyStopping, Action::Finish(failed)]);
    assert_eq!(state.phase, Phase::Failed);
}

#[test]
fn a_stop_while_preparing_ends_it() {
    let (state, actions) = step(State::new(policy()), Event::StopAsked);
    assert_eq!(actions, [Action::NotifyStopping, Action::Finish(Outcome::Stopped)]);
    assert!(step(state, Event::Prepared(Ok(()))).1.is_empty());
}

#[test]
fn back_off_grows_to_a_minute() {
    let seconds: Vec<u64> = (0..12).map(|failures| back_off(failures).as_secs()).collect();
    assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    assert_eq!(back_off(u32::MAX).as_secs(), 60);
}

#[test]
fn held_it_is_all_down_until_it_may_go_on() {
    let (state, actions) = run(running(), vec![Event::HoldAsked, Event::Stopped(WEB), Event::Stopped(DB)]);
    assert_eq!(actions[0], [Action::ShowPage, Action::Stop(WEB)]);
    assert_eq!(actions[2], [Action::Answer(Ok(()))]);
    assert_eq!((state.phase, state.phase.name()), (Phase::Held, "preparing"));
    // Nobody restarts it behind the back of whoever holds it.
    let (state, actions) =
        run(state, vec![Event::RestartAsked, Event::ReplaceAsked(WEB), Event::BackOffOver(WEB)]);
    assert!(matches!(actions[0][..], [Action::Decline(_)]), "{actions:?}");
    assert!(matches!(actions[1][..], [Action::Decline(_)]), "{actions:?}");
    assert!(actions[2].is_empty());
    let (state, actions) = run(state, vec![Event::ResumeAsked, Event::Started(DB), Event::Started(WEB)]);
    assert_eq!(actions[0], [Action::Start(DB)]);
    assert_eq!(actions[2], [Action::HidePage, tell("running"), Action::Answer(Ok(()))]);
    assert_eq!(state.phase, Phase::Running);
}

#[test]
fn a_stop_ends_a_hold() {
    let (_, actions) =
        run(running(), vec![Event::HoldAsked, Event::StopAsked, Event::Stopped(WEB), Event::Stopped(DB)]);
    assert!(matches!(actions[1][..], [Action::Answer(Err(_)), Action::NotifyStopping]), "{actions:?}");
    assert_eq!(actions[3], [Action::Finish(Outcome::Stopped)]);
    let (_, actions) =
        run(running(), vec![Event::HoldAsked, Event::Stopped(WEB), Event::Stopped(DB), Event::StopAsked]);
    assert_eq!(actions[3], [Action::NotifyStopping, Action::Finish(Outcome::Stopped)]);
}

#[test]
fn what_cannot_be_held_says_why() {
    let (_, actions) = run(State::new(policy()), vec![Event::HoldAsked, Event::ResumeAsked]);
    assert_eq!(actions[0], [Action::Decline("it is preparing".into())]);
    assert_eq!(actions[1], [Action::Decline("it is preparing".into())]);
}

/// What a restart is refused for says the first that went wrong, and takes its place in no message.
#[test]
fn what_is_degraded_says_by_what() {
    let events = vec![
        Event::Exited(WEB, "gunicorn ended with 1".into()),
        Event::StartFailed(WEB, "it does not answer".into()),
        Event::ReplaceAsked(WEB),
        Event::BackOffOver(WEB),
        Event::Started(WEB),
        Event::Probed(WEB, Err("it answers 500".into())),
        Event::ResumeAsked,
    ];
    let (state, actions) = run(running(), events);
    assert_eq!(actions[2], [Action::Decline("it is degraded: gunicorn ended with 1".into())]);
    assert_eq!(actions[6], [Action::Decline("it is degraded: it answers 500".into())]);
    let (_, actions) = run(state, vec![Event::Probed(WEB, Ok(())), Event::ResumeAsked]);
    assert_eq!(actions[1], [Action::Decline("it is running".into())]);
}
