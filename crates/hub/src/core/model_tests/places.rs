//! Which rooms there are: how many, how big together, and which are forgotten.

use super::*;

#[test]
fn the_quietest_room_gives_up_its_ring_when_all_together_are_too_big() {
    let mut world = World::new(4);
    for room in 0..4 {
        world.join(0, room, 0, 0, 4);
        for _ in 0..3 {
            world.publish(room, 300);
        }
    }
    let kept: Vec<_> = (0..4)
        .map(|room| {
            let slot = world.member(0, room).unwrap().slot;
            let head = world.bounds(room).head.seq;
            world.shard.lag(slot, head).is_some()
        })
        .collect();
    // 3 events of 300 bytes weigh 5 KiB, the shard may keep 9 KiB.
    assert_eq!(kept, [false, false, false, true]);
}

#[test]
fn an_empty_room_makes_place_for_a_new_one() {
    let mut world = World::new(2);
    world.join(0, 0, 0, 0, 2);
    world.join(0, 1, 0, 0, 2);
    world.join(1, 2, 0, 0, 2);
    assert!(!world.shard.reclaim(world.now));
    world.leave(0, 0, false);
    assert!(!world.shard.reclaim(world.now), "it may be come back to");
    world.now += LIMITS.empty_room_grace;
    assert!(world.shard.reclaim(world.now));
    world.rooms.remove(&0);
    world.join(1, 2, 0, 0, 2);
    assert!(world.member(1, 2).is_some());
}

#[test]
fn a_room_that_was_opened_and_nobody_joined_is_forgotten() {
    let mut world = World::new(1);
    let open = |world: &mut World| match world.shard.open("room 0", Some(ADDRESS), 3) {
        Ok(Opened::Lacks(birth)) => birth,
        opened => panic!("{opened:?}"),
    };
    let birth = open(&mut world);
    assert_eq!(world.quota.used(), 1);
    let bounds = world.bounds(0);
    let fill = world.shard.fill(
        "room 0",
        birth,
        Newest::whole(&bounds, Vec::new()),
        0,
        world.now,
    );
    assert!(!fill);
    world.shard.sweep(LIMITS.empty_room_ttl);
    assert_eq!(world.quota.used(), 0);
    // Nor is one kept that could not be filled.
    let birth = open(&mut world);
    world.shard.give_up("room 0", birth);
    assert_eq!(world.quota.used(), 0);
}

#[test]
fn rooms_are_listed_by_their_names_while_they_are_there() {
    let mut world = World::new(4);
    let open = |world: &mut World, name: &str| {
        let Ok(Opened::Lacks(birth)) = world.shard.open(name, Some(ADDRESS), 0) else {
            panic!("it has to be filled");
        };
        let bounds = Bounds::empty("epoch".into());
        let now = world.now;
        let is_old = world
            .shard
            .fill(name, birth, Newest::whole(&bounds, Vec::new()), 0, now);
        assert!(!is_old);
    };
    let listed = |world: &World, first: &str, after: Option<&str>| {
        let rooms = world.shard.list(first, after);
        let names: Vec<_> = rooms.map(|(name, _)| name.to_string()).collect();
        names.join(" ")
    };
    for name in ["b", "a", "c"] {
        open(&mut world, name);
    }
    world.shard.open("not filled", Some(ADDRESS), 0).unwrap();
    assert_eq!(listed(&world, "", None), "a b c");
    assert_eq!(listed(&world, "b", None), "b c");
    assert_eq!(listed(&world, "a", Some("b")), "c");
    assert_eq!(listed(&world, "b", Some("a")), "b c");
    world.shard.sweep(LIMITS.empty_room_ttl);
    open(&mut world, "d");
    assert_eq!(
        listed(&world, "", None),
        "d",
        "in the place of one that is gone"
    );
}

#[test]
fn a_room_that_is_kept_costs_nobody_a_place_and_outlives_its_members() {
    let mut world = World::new(1);
    world.shard.keep("general");
    let member = |id| Member::new(SessionId(id), Woken::default(), None, Watch::Nothing);
    let birth = world.shard.open("general", Some(ADDRESS), 0).unwrap();
    let Opened::Lacks(birth) = birth else {
        panic!("it has to be filled")
    };
    let bounds = Bounds::empty("epoch".into());
    let fill = |shard: &mut Shard<(), Woken>| {
        let is_old = shard.fill(
            "general",
            birth,
            Newest::whole(&bounds, Vec::new()),
            0,
            Duration::ZERO,
        );
        assert!(!is_old);
    };
    assert!(
        world
            .shard
            .join("general", member(0), Begin::Newest { count: 0, from: 0 })
            .is_none()
    );
    world.shard.give_up("general", birth);
    fill(&mut world.shard);
    let slot = world
        .shard
        .join("general", member(0), Begin::Newest { count: 0, from: 0 })
        .unwrap()
        .slot;
    world.join(0, 0, 0, 0, 1);
    world
        .shard
        .leave(slot, SessionId(0), Departure::Left, Duration::ZERO);
    assert!(!world.shard.reclaim(Duration::MAX));
    world.shard.sweep(Duration::MAX);
    let begin = Begin::Newest { count: 0, from: 0 };
    assert!(world.shard.join("general", member(0), begin).is_some());
}
