//! What every log must do, as tests to be run on each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{
    Append, AppendError, Appended, Bounds, Chk, Committed, Cursor, Draft, Health, MAX_MISSED, Mark,
    PageSize, Reset, Start, Store, Tail, judge,
};
use crate::core::{Author, Claim, Event, User, What};

/// Makes a test of each requirement, with a function from the events to be kept of a room, at least, to a [`Subject`].
macro_rules! conformance {
    ($start:expr) => {
        $crate::log::conformance::conformance! { $start;
            events_are_committed_in_order_before_they_are_answered
            each_event_names_the_one_before_it_in_its_room
            a_repeated_draft_keeps_its_first_place_and_is_stored_once
            a_repeated_draft_waits_for_the_first
            an_append_that_is_dropped_is_stored
            a_tail_is_whole_and_within_its_bounds
            nothing_is_known_of_a_room_where_nothing_was_said
            a_cursor_at_any_event_is_found
            a_cursor_that_does_not_fit_is_told_apart
            only_its_author_changes_a_message_and_only_while_it_is_there
            who_moderates_deletes_what_anybody_said_and_does_not_edit_it
            what_was_deleted_is_gone_from_all_that_is_read
            what_is_dropped_raises_the_floor
            what_was_made_of_a_message_is_dropped_with_it
            time_never_goes_back
            all_that_may_be_said_comes_back_as_it_was
        }
    };
    ($start:expr; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::log::conformance::$name(($start)($crate::log::conformance::KEPT)).await;
            }
        )*
    };
}
pub(crate) use conformance;

/// Events that a subject keeps of a room, at least.
pub(crate) const KEPT: usize = 80;

/// As much as there is.
pub(crate) const ALL: PageSize = PageSize {
    events: usize::MAX,
    bytes: usize::MAX,
};

/// A log, and what it committed.
pub(crate) struct Subject {
    pub(crate) store: Store,
    pub(crate) seen: Arc<Seen>,
    /// What has to last as long.
    pub(crate) _held: Box<dyn Send>,
}

#[derive(Default)]
pub(crate) struct Seen {
    events: Mutex<Vec<Event>>,
    floors: Mutex<HashMap<String, Mark>>,
    erased: Mutex<Vec<String>>,
    /// The rooms that somebody is in.
    pub(crate) followed: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Users whose texts were erased.
    pub(crate) fn erased(&self) -> Vec<String> {
        self.erased.lock().unwrap().clone()
    }

    /// Up to where events are no longer kept, as far as was told.
    pub(crate) fn floor(&self, room: &str) -> Mark {
        let floors = self.floors.lock().unwrap();
        floors.get(room).copied().unwrap_or(Mark::START)
    }

    fn seqs(&self) -> Vec<u64> {
        self.all().iter().map(|event| event.seq).collect()
    }
}

impl Committed for Seen {
    fn follows(&self, room: &str) -> bool {
        let followed = self.followed.lock().unwrap();
        followed.iter().any(|name| name == room)
    }

    fn forked(&self, room: &str, _bounds: &Bounds) {
        panic!("{room} has the history that it had");
    }

    fn committed(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn erased(&self, user: &str) {
        self.erased.lock().unwrap().push(user.to_owned());
    }

    fn trimmed(&self, room: &str, floor: Mark) {
        let before = self.floors.lock().unwrap().insert(room.to_owned(), floor);
        assert!(before.is_none_or(|before| before.seq < floor.seq));
    }
}

pub(crate) fn user(id: &str) -> Author {
    Author::User(Arc::new(User {
        id: id.into(),
        name: format!("the name of {id}").into(),
        avatar: "9c1d2e3f".into(),
    }))
}

pub(crate) fn draft(user_id: &str, cid: &str, what: What) -> Draft {
    Draft {
        room: "general".into(),
        from: user(user_id),
        what,
        cid: Some(cid.into()),
        moderates: false,
        now: 1_000,
    }
}

/// A message of a plain client that claims to have this address.
pub(crate) fn says_plainly(email: &str) -> Draft {
    let claim = Claim {
        email: email.into(),
        username: "Ana".into(),
        avatar: "9c1d2e3f".into(),
    };
    Draft {
        from: Author::PlainJson(Arc::new(claim)),
        cid: None,
        ..says("", "", "hi")
    }
}

pub(crate) fn says(user: &str, cid: &str, body: &str) -> Draft {
    draft(user, cid, What::message(body))
}

impl Subject {
    pub(crate) fn append(&self, draft: Draft) -> Append {
        self.store.log.append(draft)
    }

    pub(crate) async fn say(&self, cid: &str) -> Appended {
        self.append(says("u1", cid, cid)).await.unwrap()
    }

    pub(crate) async fn tail(&self, start: Start, max: PageSize) -> Tail {
        self.store
            .log
            .tail(&"general".into(), start, max)
            .await
            .unwrap()
    }

    async fn all(&self) -> Vec<Event> {
        self.tail(Start::At(0), ALL).await.events
    }

    pub(crate) async fn bounds(&self) -> Bounds {
        self.store.log.bounds(&"general".into()).await.unwrap()
    }

    pub(crate) async fn judge(&self, cursor: &Cursor) -> Result<(), Reset> {
        let sought = self
            .store
            .log
            .seek(&"general".into(), cursor.mark.seq)
            .await;
        let sought = sought.unwrap();
        judge(cursor, &sought.bounds, sought.chk, sought.following)
    }
}

pub(crate) async fn events_are_committed_in_order_before_they_are_answered(subject: Subject) {
    for n in 1..=10 {
        let appended = subject.say(&n.to_string()).await;
        assert!(!appended.duplicate);
        let last = subject.seen.all().pop().unwrap();
        assert_eq!((last.seq, &last.id), (appended.seq, &appended.id));
        assert_eq!(subject.seen.all().len(), n);
    }
    let many: Vec<_> = (11..=KEPT)
        .map(|n| subject.append(says("u1", &n.to_string(), "x")))
        .collect();
    let mut seqs = Vec::new();
    for append in many {
        seqs.push(append.await.unwrap().seq);
    }
    assert!(seqs.is_sorted_by(|a, b| a < b), "handed over in this order");
    assert!(subject.seen.seqs().is_sorted_by(|a, b| a < b));
    assert_eq!(subject.seen.seqs()[10..], seqs);
    assert_eq!(subject.all().await, subject.seen.all());
}

pub(crate) async fn each_event_names_the_one_before_it_in_its_room(subject: Subject) {
    for n in 0..10 {
        let room = if n % 3 == 0 { "other" } else { "general" };
        let draft = Draft {
            room: room.into(),
            ..says("u1", &n.to_string(), "x")
        };
        subject.append(draft).await.unwrap();
    }
    for room in ["general", "other"] {
        let tail = subject
            .store
            .log
            .tail(&room.into(), Start::At(0), ALL)
            .await;
        let mut prev = 0;
        for event in tail.unwrap().events {
            assert_eq!(&*event.room, room);
            assert_eq!(event.prev, prev);
            prev = event.seq;
        }
        assert_eq!(
            subject
                .store
                .log
                .bounds(&room.into())
                .await
                .unwrap()
                .head
                .seq,
            prev
        );
    }
}

pub(crate) async fn a_repeated_draft_keeps_its_first_place_and_is_stored_once(subject: Subject) {
    let first = subject.say("c1").await;
    subject.say("c2").await;
    let again = Appended {
        duplicate: true,
        ..first
    };
    assert_eq!(subject.say("c1").await, again);
    let other_body = subject.append(says("u1", "c1", "else")).await;
    assert_eq!(other_body, Err(AppendError::Conflict));
    let other_user = subject.append(says("u2", "c1", "c1")).await.unwrap();
    let other_room = Draft {
        room: "other".into(),
        ..says("u1", "c1", "c1")
    };
    let other_room = subject.append(other_room).await.unwrap();
    assert!(!other_user.duplicate && !other_room.duplicate);
    assert_eq!(subject.seen.all().len(), 4);
    let nameless = Draft {
        from: Author::PlainText,
        cid: None,
        ..says("u1", "", "hi")
    };
    for _ in 0..2 {
        assert!(!subject.append(nameless.clone()).await.unwrap().duplicate);
    }
}

pub(crate) async fn a_repeated_draft_waits_for_the_first(subject: Subject) {
    let drafts = ["c1", "c1", "c2", "c1"].map(|cid| subject.append(says("u1", cid, cid)));
    let mut answers = Vec::new();
    for append in drafts {
        answers.push(append.await.unwrap());
    }
    let duplicates: Vec<_> = answers.iter().map(|a| a.duplicate).collect();
    assert_eq!(duplicates, [false, true, false, true]);
    assert!(answers[1].seq == answers[0].seq && answers[3].id == answers[0].id);
    assert_eq!(subject.seen.all().len(), 2);
}

pub(crate) async fn an_append_that_is_dropped_is_stored(subject: Subject) {
    drop(subject.append(says("u1", "c1", "dropped")));
    let after = subject.say("c2").await;
    let events = subject.all().await;
    assert_eq!(events[0].what, What::message("dropped"));
    assert_eq!(events[1].seq, after.seq);
}

pub(crate) async fn a_tail_is_whole_and_within_its_bounds(subject: Subject) {
    for n in 0..10 {
        subject.say(&format!("{n:04}")).await;
    }
    let all = subject.all().await;
    let size = |events, bytes| PageSize { events, bytes };
    for (at, event) in all.iter().enumerate() {
        for start in [event.seq, event.prev + 1] {
            let tail = subject.tail(Start::At(start), size(3, 1 << 20)).await;
            assert_eq!(tail.events, all[at..(at + 3).min(10)]);
        }
        let newest = subject.tail(Start::Newest, size(at + 1, 1 << 20)).await;
        assert_eq!(newest.events, all[9 - at..]);
    }
    for start in [Start::At(0), Start::Newest] {
        assert_eq!(subject.tail(start, size(10, 0)).await.events.len(), 1);
        assert_eq!(subject.tail(start, size(10, 9)).await.events.len(), 3);
        assert!(subject.tail(start, size(0, 9)).await.events.is_empty());
    }
    let past = subject.tail(Start::At(all[9].seq + 1), ALL).await;
    assert!(past.events.is_empty());
    assert_eq!(past.bounds, subject.bounds().await);
}

pub(crate) async fn nothing_is_known_of_a_room_where_nothing_was_said(subject: Subject) {
    let bounds = subject.bounds().await;
    assert_eq!((bounds.head, bounds.floor), (Mark::START, Mark::START));
    let cursor = Cursor {
        epoch: bounds.epoch,
        mark: bounds.head,
    };
    assert_eq!(cursor.to_string(), format!("{}.0.000000", cursor.epoch));
    assert_eq!(subject.judge(&cursor).await, Ok(()));
    assert!(subject.all().await.is_empty());
    subject.say("c1").await;
    assert_eq!(subject.judge(&cursor).await, Ok(()));
    assert_eq!(
        subject.bounds().await.epoch,
        cursor.epoch,
        "the same history"
    );
}

pub(crate) async fn a_cursor_at_any_event_is_found(subject: Subject) {
    let mut cursors = Vec::new();
    for n in 0..10 {
        let appended = subject.say(&n.to_string()).await;
        let Bounds { epoch, head, .. } = subject.bounds().await;
        assert_eq!(head.seq, appended.seq);
        assert_eq!(head.chk, Chk::of_id(&appended.id));
        cursors.push(Cursor { epoch, mark: head });
    }
    for (at, cursor) in cursors.iter().enumerate() {
        assert_eq!(subject.judge(cursor).await, Ok(()));
        let sought = subject
            .store
            .log
            .seek(&"general".into(), cursor.mark.seq)
            .await
            .unwrap();
        assert_eq!(
            (sought.chk, sought.following),
            (Some(cursor.mark.chk), 9 - at)
        );
    }
}

pub(crate) async fn a_cursor_that_does_not_fit_is_told_apart(subject: Subject) {
    for n in 0..3 {
        subject.say(&n.to_string()).await;
    }
    let Bounds { epoch, head, .. } = subject.bounds().await;
    let cursor = |seq, chk| Cursor {
        epoch: Arc::clone(&epoch),
        mark: Mark { seq, chk },
    };
    let other_epoch = Cursor {
        epoch: "other".into(),
        mark: head,
    };
    assert_eq!(subject.judge(&other_epoch).await, Err(Reset::Epoch));
    let ahead = cursor(head.seq + 1, head.chk);
    assert_eq!(subject.judge(&ahead).await, Err(Reset::Ahead));
    let wrong = Chk::of_id("ZZZZZZ");
    for seq in 0..=head.seq {
        let judged = subject.judge(&cursor(seq, wrong)).await;
        assert_eq!(judged, Err(Reset::Mismatch), "{seq}");
    }
    let far = judge(
        &cursor(head.seq, head.chk),
        &subject.bounds().await,
        Some(head.chk),
        MAX_MISSED + 1,
    );
    assert_eq!(far, Err(Reset::TooFar));
}

pub(crate) async fn only_its_author_changes_a_message_and_only_while_it_is_there(subject: Subject) {
    let target = subject.append(says("u1", "c1", "hi")).await.unwrap().seq;
    let edit = || What::Edit {
        target,
        body: Some("ho".into()),
    };
    let delete = || What::Delete { target };
    let react = || What::React {
        target,
        emoji: "+1".into(),
        on: true,
    };
    let nowhere = What::Delete { target: target + 1 };
    let elsewhere = Draft {
        room: "other".into(),
        ..draft("u1", "c2", delete())
    };
    for (wanted, expected) in [
        (draft("u2", "c2", edit()), AppendError::Forbidden),
        (draft("u2", "c3", delete()), AppendError::Forbidden),
        (draft("u1", "c2", nowhere), AppendError::NotFound),
        (elsewhere, AppendError::NotFound),
    ] {
        assert_eq!(subject.append(wanted).await, Err(expected));
    }
    let edited = subject.append(draft("u1", "c4", edit())).await.unwrap();
    let of_edit = What::Delete { target: edited.seq };
    let not_a_message = subject.append(draft("u1", "c5", of_edit)).await;
    assert_eq!(not_a_message, Err(AppendError::NotFound));
    subject.append(draft("u2", "c6", react())).await.unwrap();
    subject.append(draft("u1", "c7", delete())).await.unwrap();
    assert!(
        subject
            .append(draft("u1", "c7", delete()))
            .await
            .unwrap()
            .duplicate
    );
    for (cid, what) in [("c8", edit()), ("c9", delete()), ("c10", react())] {
        let late = subject.append(draft("u1", cid, what)).await;
        assert_eq!(late, Err(AppendError::NotFound));
    }
    assert_eq!(subject.seen.all().len(), 4);
}

pub(crate) async fn who_moderates_deletes_what_anybody_said_and_does_not_edit_it(subject: Subject) {
    let plain = Draft {
        from: Author::PlainText,
        ..says("", "", "from a plain client")
    };
    let moderated = |cid: &str, what: What| Draft {
        moderates: true,
        ..draft("u2", cid, what)
    };
    for (cid, said) in [("c2", says("u1", "c1", "hi")), ("c3", plain)] {
        let target = subject.append(said).await.unwrap().seq;
        let edit = What::Edit {
            target,
            body: Some("ho".into()),
        };
        let edited = subject.append(moderated("e", edit)).await;
        assert_eq!(edited, Err(AppendError::Forbidden));
        let delete = || moderated(cid, What::Delete { target });
        assert!(!subject.append(delete()).await.unwrap().duplicate);
        assert!(subject.append(delete()).await.unwrap().duplicate);
        let again = draft("u2", "c4", What::Delete { target });
        assert_eq!(subject.append(again).await, Err(AppendError::NotFound));
    }
    let data = What::Data {
        json: Some("1".into()),
    };
    let target = subject.append(draft("u1", "c5", data)).await.unwrap().seq;
    let deleted = subject
        .append(moderated("c6", What::Delete { target }))
        .await;
    assert_eq!(deleted, Err(AppendError::NotFound));
}

pub(crate) async fn what_was_deleted_is_gone_from_all_that_is_read(subject: Subject) {
    let message = What::Message {
        body: Some("secret".into()),
        reply_to: Some(1),
        meta: Some(r#"{"also":"secret"}"#.into()),
    };
    let message = || draft("u1", "c1", message.clone());
    let target = subject.append(message()).await.unwrap().seq;
    let body = Some("secret, too".into());
    let edit = subject.append(draft("u1", "c2", What::Edit { target, body }));
    edit.await.unwrap();
    subject.say("c3").await;
    let delete = What::Delete { target };
    subject
        .append(draft("u1", "c4", delete.clone()))
        .await
        .unwrap();
    let whats: Vec<_> = subject.all().await.into_iter().map(|e| e.what).collect();
    let expected = [
        What::Message {
            body: None,
            reply_to: Some(1),
            meta: None,
        },
        What::Edit { target, body: None },
        What::message("c3"),
        delete,
    ];
    assert_eq!(whats, expected);
    // Whether it is the same can't be told any more: it is taken to be.
    let again = subject.append(message()).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (target, true));
    // Of what a plain client claims the name stays.
    let plain = says_plainly("secret@example.com");
    let target = subject.append(plain.clone()).await.unwrap().seq;
    let stays = subject.append(plain).await.unwrap().seq;
    let delete = Draft {
        moderates: true,
        ..draft("u2", "c5", What::Delete { target })
    };
    subject.append(delete).await.unwrap();
    let all = subject.all().await;
    let author = |seq| all.iter().find(|event| event.seq == seq).map(|e| &e.from);
    assert_eq!(author(target), Some(&says_plainly("").from));
    assert_eq!(
        author(stays),
        Some(&says_plainly("secret@example.com").from)
    );
}

pub(crate) async fn what_is_dropped_raises_the_floor(subject: Subject) {
    let mut cursors = Vec::new();
    for n in 0..5 * KEPT {
        subject.say(&n.to_string()).await;
        let Bounds { epoch, head, .. } = subject.bounds().await;
        cursors.push(Cursor { epoch, mark: head });
    }
    let Bounds { floor, head, .. } = subject.bounds().await;
    assert!(floor.seq > 0, "something was dropped");
    let kept = subject.all().await;
    assert!(kept.len() >= KEPT && kept.len() < 5 * KEPT);
    assert_eq!(kept[0].prev, floor.seq);
    assert_eq!(kept.last().unwrap().mark(), head);
    assert_eq!(subject.seen.floor("general"), floor, "it was told");
    for cursor in &cursors {
        let expected = if cursor.mark.seq < floor.seq {
            Err(Reset::Truncated)
        } else {
            Ok(())
        };
        assert_eq!(subject.judge(cursor).await, expected);
    }
    assert!(cursors.iter().any(|cursor| cursor.mark == floor));
}

pub(crate) async fn what_was_made_of_a_message_is_dropped_with_it(subject: Subject) {
    let target = subject.say("first").await.seq;
    for n in 1..KEPT {
        subject.say(&n.to_string()).await;
    }
    let body = Some("more".into());
    let edit = subject.append(draft("u1", "e", What::Edit { target, body }));
    let edit = edit.await.unwrap().seq;
    let mut n = KEPT;
    while subject.bounds().await.floor.seq < target {
        subject.say(&n.to_string()).await;
        n += 1;
    }
    let kept = subject.all().await;
    assert!(kept.is_sorted_by(|a, b| a.seq == b.prev), "the chain stays");
    let edit = kept.iter().find(|event| event.seq == edit).unwrap();
    assert_eq!(edit.what, What::Edit { target, body: None });
    let again = What::Edit {
        target,
        body: Some("again".into()),
    };
    let late = subject.append(draft("u1", "e2", again)).await;
    assert_eq!(late, Err(AppendError::NotFound));
}

pub(crate) async fn time_never_goes_back(subject: Subject) {
    let first = subject.say("c1").await;
    let earlier = Draft {
        now: 10,
        ..says("u1", "c2", "hi")
    };
    let second = subject.append(earlier).await.unwrap();
    assert_eq!(second.ts, first.ts);
    assert_ne!(second.id, first.id);
}

pub(crate) async fn all_that_may_be_said_comes_back_as_it_was(subject: Subject) {
    let json = Author::PlainJson(Arc::new(Claim {
        email: "a@example.com\0".into(),
        username: "\u{1f44b} <b>".into(),
        avatar: "9c1d2e3f".into(),
    }));
    for (n, from) in [json, Author::PlainText, user("u1")]
        .into_iter()
        .enumerate()
    {
        let written = Draft {
            from,
            cid: (n == 2).then(|| "c".into()),
            ..says("u1", "", "a\n\"\0\u{2028}")
        };
        subject.append(written).await.unwrap();
    }
    let whats = [
        What::Message {
            body: Some("yes".into()),
            reply_to: Some(1),
            meta: Some(r#"{"a": 1}"#.into()),
        },
        What::Data {
            json: Some("1e400".into()),
        },
        What::Other {
            kind: "poll".into(),
            json: Some(r#"{"question":"?"}"#.into()),
        },
    ];
    for (n, what) in whats.into_iter().enumerate() {
        let cid = n.to_string();
        subject
            .append(draft("u1", &cid, what.clone()))
            .await
            .unwrap();
        assert_eq!(subject.all().await.pop().unwrap().what, what);
    }
    assert_eq!(subject.all().await, subject.seen.all());
    assert_eq!(subject.seen.all().len(), 6);
    assert_eq!(subject.store.log.health(), Health::Well);
}
