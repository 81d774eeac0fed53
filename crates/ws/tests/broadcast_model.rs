//! Goal: whatever two groups with the same members are asked, and whoever stalls, each member gets what it was sent, in order.
//! Method: acts at random, and what each member has to have got.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::group::{counts, group, text, undriven, until_written};
use fullduplex::Broadcast;
use fullduplex_testkit::{Fault, wire};
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::task::yield_now;

#[derive(Clone, Debug)]
enum Act {
    SendAll,
    SendExcept(usize),
    SendOnly(usize),
    SendAlone(usize),
    Leave(usize),
    Join(usize),
    Stall(usize, usize),
    Heal(usize),
    Flush(usize),
    Turn,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let who = || 0..4_usize;
    let act = prop_oneof![
        6 => Just(Act::SendAll),
        2 => who().prop_map(Act::SendExcept),
        1 => who().prop_map(Act::SendOnly),
        2 => who().prop_map(Act::SendAlone),
        1 => who().prop_map(Act::Leave),
        1 => who().prop_map(Act::Join),
        1 => (who(), 0..30_usize).prop_map(|(who, at)| Act::Stall(who, at)),
        1 => who().prop_map(Act::Heal),
        1 => who().prop_map(Act::Flush),
        3 => Just(Act::Turn),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Two groups that share their members, who are sent to alone, too, and stall: everybody gets what was sent to it, in order.
    #[test]
    fn whatever_happens_each_member_gets_what_it_was_sent_in_order(acts in prop::collection::vec((0..2_usize, acts()), 1..4)) {
        undriven().block_on(model(acts));
    }
}

async fn model(acts: Vec<(usize, Vec<Act>)>) {
    let (first, members) = group(4).await;
    let groups = [first, Broadcast::new()];
    let mut joined = [[true; 4], [false; 4]];
    let mut expected = vec![Vec::new(); 4];
    let mut number = 0;
    for (which, act) in acts
        .iter()
        .flat_map(|(which, acts)| acts.iter().map(move |act| (*which, act)))
    {
        number += 1;
        let said = number.to_string();
        let mut send = |chosen: &dyn Fn(usize) -> bool| {
            let chosen = |key: usize| joined[which][key] && chosen(key);
            let delivery = groups[which].send_where(&text(&said), |key| chosen(*key));
            let who: Vec<_> = (0..4).filter(|key| chosen(*key)).collect();
            assert_eq!(counts(delivery), [who.len(), 0, 0, 0, 0]);
            for key in who {
                expected[key].push(wire::text(said.clone()));
            }
        };
        match *act {
            Act::SendAll => send(&|_| true),
            Act::SendExcept(who) => send(&|key| key != who),
            Act::SendOnly(who) => send(&|key| key == who),
            Act::SendAlone(who) => {
                members[who].1.try_send(said.as_str()).unwrap();
                expected[who].push(wire::text(said));
            }
            Act::Leave(who) => {
                assert_eq!(groups[which].leave(&who), joined[which][who]);
                joined[which][who] = false;
            }
            Act::Join(who) => {
                assert_eq!(
                    groups[which].join(who, &members[who].1),
                    !joined[which][who]
                );
                joined[which][who] = true;
            }
            Act::Stall(who, at) => {
                let script = &members[who].2.script;
                script.fault_writes_at(script.written().len() + at, Fault::Stall);
            }
            Act::Heal(who) => members[who].2.script.heal(),
            Act::Flush(who) => {
                assert!(
                    members[who].1.flush().now_or_never() != Some(Err(fullduplex::Error::Closing))
                );
            }
            Act::Turn => yield_now().await,
        }
    }
    for ((_, _, wire), expected) in members.iter().zip(expected) {
        wire.script.heal();
        until_written(wire, &expected).await;
    }
}
