//! When a room is due, and for whom a round is.

use super::*;

#[test]
fn a_room_is_due_once_until_it_is_asked_and_again_while_there_is_more() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.say(0, 1).unwrap();
    assert_eq!([world.say(0, 1), world.say(0, 1)], [None; 2]);
    let (first, is_due) = world.shard.round(slot, 2, usize::MAX).unwrap();
    assert_eq!((first.entries.len(), is_due), (2, true));
    assert_eq!(world.say(0, 1), None);
    let (second, is_due) = world.shard.round(slot, 2, usize::MAX).unwrap();
    assert_eq!((second.entries.len(), is_due), (2, false));
    assert!(world.shard.round(slot, 2, usize::MAX).is_none());
    assert_eq!(world.say(0, 1), Some(slot));
}

#[test]
fn a_room_whose_round_was_lost_is_read_by_each_alone_and_due_again_with_the_next_event() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.say(0, 1).unwrap();
    world.shard.read_alone(slot);
    let woken = world.rooms[&0].members[&0].woken.0.lock().unwrap().len();
    assert_eq!(woken, 1);
    assert_eq!(world.say(0, 1), Some(slot));
    let (round, is_due) = world.shard.round(slot, 9, usize::MAX).unwrap();
    assert_eq!((round.entries.len(), is_due), (1, false));
}

#[test]
fn a_round_is_for_who_is_where_it_begins() {
    use Need::{All, Nothing, Other};
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    for _ in 0..6 {
        world.publish(0, 1);
    }
    let slot = world.due.pop_first().unwrap();
    let rounds = [(); 3].map(|()| world.shard.round(slot, 2, usize::MAX).unwrap().0);
    let needs = |cursor| {
        rounds
            .each_ref()
            .map(|round| round.need(History::default(), cursor))
    };

    assert_eq!(needs(1), [All, Other, Other]);
    assert_eq!(needs(2), [Other, Other, Other]);
    assert_eq!(needs(3), [Nothing, All, Other]);
    assert_eq!(needs(7), [Nothing; 3]);
    assert_eq!(rounds.each_ref().map(Round::next), [3, 5, 7]);
}
