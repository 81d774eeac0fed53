//! What every projection must do, as tests to be run on each with its log.

use std::sync::Arc;

use super::{
    AppendError, Appended, Draft, Found, MAX_EDITS, MAX_REACTIONS, MAX_REACTORS, MAX_SEARCHED,
    Mark, Page, PageQuery, PageSize, Reaction, ReadMark, SearchQuery, Shown, Span, Start, Store,
    Tail,
    conformance::{ALL, KEPT, Subject, draft, says},
};
use crate::core::{Author, User, What};

/// As `conformance!`.
macro_rules! projection_conformance {
    ($start:expr) => {
        $crate::log::projection_conformance::projection_conformance! { $start;
            pages_show_messages_as_they_are_now
            pages_are_where_they_are_asked_for_and_within_their_bounds
            a_page_of_a_room_where_nothing_was_said_is_empty
            reactions_are_summed_and_the_one_who_asks_comes_first
            a_reaction_that_changes_nothing_is_not_stored
            a_message_has_few_different_reactions
            search_finds_what_messages_say_now
            the_beginning_of_a_long_message_is_searched
            a_short_word_is_not_the_beginning_of_others
            case_and_accents_make_no_difference_to_a_search
            a_search_is_for_whom_and_when_it_is_asked
            a_search_goes_on_where_it_ended
            a_mark_only_goes_forward_and_not_beyond_the_newest_event
            what_is_unread_are_messages_of_others
            s26_what_a_user_said_is_erased_and_the_order_stays
            s22_a_mark_at_what_is_no_longer_kept_is_at_the_floor
        }
    };
    ($start:expr; $($name:ident)*) => {
        mod projection {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    let subject = ($start)($crate::log::conformance::KEPT);
                    $crate::log::projection_conformance::$name(subject).await;
                }
            )*
        }
    };
}
pub(crate) use projection_conformance;

pub(crate) fn react(target: u64, emoji: &str, on: bool) -> What {
    What::React {
        target,
        emoji: emoji.into(),
        on,
    }
}

pub(crate) fn page_at(span: Span, max: PageSize) -> PageQuery {
    PageQuery {
        room: "general".into(),
        span,
        max,
        viewer: None,
    }
}

pub(crate) fn looking_for(words: &str) -> SearchQuery {
    SearchQuery {
        words: words.into(),
        rooms: None,
        from: None,
        since: None,
        until: None,
        max: ALL,
        cursor: None,
        viewer: None,
    }
}

pub(crate) const fn up_to(events: usize) -> PageSize {
    PageSize { events, ..ALL }
}

pub(crate) fn bodies(found: &[Shown]) -> Vec<&str> {
    found.iter().map(|shown| shown.event.what.text()).collect()
}

pub(crate) fn seqs(found: &[Shown]) -> Vec<u64> {
    found.iter().map(|shown| shown.event.seq).collect()
}

impl Subject {
    pub(crate) async fn page(&self, span: Span, max: PageSize) -> Page {
        let page = self.store.projection.page(page_at(span, max));
        page.await.unwrap()
    }

    pub(crate) async fn search(&self, query: SearchQuery) -> Found {
        self.store.projection.search(query).await.unwrap()
    }

    async fn seq_of(&self, draft: Draft) -> u64 {
        self.append(draft).await.unwrap().seq
    }

    /// Messages that were edited and deleted; and where they are.
    async fn changed(&self) -> [u64; 4] {
        let mut seqs = [0; 4];
        let bodies = [
            "Hello to all",
            "the second one",
            "a third",
            "secret second thoughts",
        ];
        for (at, body) in bodies.into_iter().enumerate() {
            seqs[at] = self.seq_of(says("u1", body, body)).await;
        }
        let [_, _, third, fourth] = seqs;
        let other = Draft {
            room: "other".into(),
            ..says("u1", "c", "second room")
        };
        let body = Some("a third, edited: second".into());
        let edit = What::Edit {
            target: third,
            body,
        };
        let json = Some(r#""second""#.into());
        for draft in [
            other,
            draft("u1", "e", edit),
            draft("u1", "d", What::Delete { target: fourth }),
            draft("u2", "p", What::Data { json }),
        ] {
            self.append(draft).await.unwrap();
        }
        seqs
    }
}

pub(crate) async fn pages_show_messages_as_they_are_now(subject: Subject) {
    let [first, _, third, fourth] = subject.changed().await;
    subject
        .append(draft("u2", "r", react(first, "+1", true)))
        .await
        .unwrap();
    let page = subject.page(Span::Newest, ALL).await;
    let expected = [
        "Hello to all",
        "the second one",
        "a third, edited: second",
        "",
        r#""second""#,
    ];
    assert_eq!(bodies(&page.messages), expected);
    assert_eq!((page.more_before, page.more_after), (false, false));
    assert_eq!(page.as_of, subject.bounds().await);
    let reaction = Reaction {
        emoji: "+1".into(),
        count: 1,
        users: vec!["u2".into()],
    };
    assert_eq!(page.messages[0].reactions, [reaction]);
    let edited: Vec<_> = page.messages.iter().map(|m| m.edited.is_some()).collect();
    assert_eq!(edited, [false, false, true, false, false]);
    assert_eq!(page.messages[2].event.seq, third);
    let deleted = &page.messages[3].event;
    assert_eq!(deleted.seq, fourth);
    assert!(matches!(deleted.what, What::Message { body: None, .. }));
}

pub(crate) async fn pages_are_where_they_are_asked_for_and_within_their_bounds(subject: Subject) {
    let mut said = Vec::new();
    for n in 0..8 {
        said.push(subject.seq_of(says("u1", &n.to_string(), "four")).await);
        subject
            .append(draft("u2", &n.to_string(), react(said[n], "+1", true)))
            .await
            .unwrap();
    }
    let between = said[3] + 1;
    for (span, events, expected) in [
        (Span::Newest, 3, 5..8),
        (Span::Newest, 100, 0..8),
        (Span::Newest, 0, 8..8),
        (Span::Before(said[3]), 2, 1..3),
        (Span::Before(between), 2, 2..4),
        (Span::Before(said[0]), 2, 0..0),
        (Span::Before(0), 2, 0..0),
        (Span::Before(u64::MAX), 2, 6..8),
        (Span::After(said[3]), 2, 4..6),
        (Span::After(0), 2, 0..2),
        (Span::After(said[7]), 2, 8..8),
        (Span::After(u64::MAX), 2, 8..8),
        (Span::Around(said[3]), 4, 1..5),
        (Span::Around(between), 3, 3..6),
        (Span::Around(said[0]), 4, 0..2),
        (Span::Around(u64::MAX), 4, 6..8),
        (Span::Between(said[1], said[6]), 100, 2..6),
        (Span::Between(said[1], said[6]), 3, 2..5),
        (Span::Between(said[1], said[2]), 3, 2..2),
        (Span::Between(said[6], said[1]), 3, 7..7),
    ] {
        let page = subject.page(span, up_to(events)).await;
        assert_eq!(seqs(&page.messages), said[expected.clone()], "{span:?}");
        let more = (page.more_before, page.more_after);
        assert_eq!(more, (expected.start > 0, expected.end < 8), "{span:?}");
    }
    // As many as have nine bytes, and the one that is over.
    let max = PageSize {
        events: 100,
        bytes: 9,
    };
    let page = subject.page(Span::Newest, max).await;
    assert_eq!(seqs(&page.messages), said[5..]);
    assert!(page.more_before);
}

pub(crate) async fn a_page_of_a_room_where_nothing_was_said_is_empty(subject: Subject) {
    for span in [Span::Newest, Span::After(0), Span::Around(7)] {
        let page = subject.page(span, ALL).await;
        assert_eq!((page.messages.len(), page.as_of.head), (0, Mark::START));
        assert!(!page.more_before && !page.more_after);
    }
}

pub(crate) async fn reactions_are_summed_and_the_one_who_asks_comes_first(subject: Subject) {
    let target = subject.say("c").await.seq;
    let mut n = 0;
    for (user, emoji, on) in [
        ("u1", "+1", true),
        ("u3", "+1", true),
        ("u2", "+1", true),
        ("u2", "+1", true),
        ("u2", "-1", true),
        ("u1", "-1", true),
        ("u1", "-1", false),
        ("u1", "?", true),
        ("u1", "?", false),
    ] {
        n += 1;
        let draft = draft(user, &n.to_string(), react(target, emoji, on));
        subject.append(draft).await.unwrap();
    }
    let reactions = async |viewer: &str| {
        let query = PageQuery {
            viewer: Some(viewer.into()),
            ..page_at(Span::Newest, ALL)
        };
        let page = subject.store.projection.page(query).await.unwrap();
        page.messages[0].reactions.clone()
    };
    let reaction = |emoji: &str, users: &[&str]| Reaction {
        emoji: emoji.into(),
        count: users.len(),
        users: users.iter().map(|&user| user.into()).collect(),
    };
    let expected = [reaction("+1", &["u3", "u1", "u2"]), reaction("-1", &["u2"])];
    assert_eq!(reactions("u3").await, expected);
    let target = subject.say("d").await.seq;
    for n in 0..=MAX_REACTORS {
        let draft = draft(&format!("v{n:02}"), "c", react(target, "+1", true));
        subject.append(draft).await.unwrap();
    }
    let last = format!("v{MAX_REACTORS}");
    let page = PageQuery {
        viewer: Some((&*last).into()),
        ..page_at(Span::Newest, up_to(1))
    };
    let page = subject.store.projection.page(page).await.unwrap();
    let sum = &page.messages[0].reactions[0];
    assert_eq!(
        (sum.count, sum.users.len()),
        (MAX_REACTORS + 1, MAX_REACTORS)
    );
    assert_eq!((&*sum.users[0], &*sum.users[1]), (&*last, "v00"));
}

pub(crate) async fn a_reaction_that_changes_nothing_is_not_stored(subject: Subject) {
    let message = subject.say("c").await;
    let reacts = async |user: &str, emoji: &str, on: bool| {
        let draft = Draft {
            cid: None,
            ..draft(user, "", react(message.seq, emoji, on))
        };
        subject.append(draft).await.unwrap()
    };
    let is_of = |first: &Appended, again: &Appended| {
        (first.seq, &first.id, first.ts, true) == (again.seq, &again.id, again.ts, again.duplicate)
    };
    assert!(
        is_of(&message, &reacts("u1", "a", false).await),
        "never set"
    );
    let set = reacts("u1", "a", true).await;
    assert!(set.seq > message.seq && !set.duplicate);
    // What others do, and what one does else, is something else.
    assert!(!reacts("u2", "a", true).await.duplicate);
    assert!(!reacts("u1", "b", true).await.duplicate);
    assert!(is_of(&set, &reacts("u1", "a", true).await));
    let back = reacts("u1", "a", false).await;
    assert!(back.seq > set.seq && !back.duplicate);
    assert!(is_of(&back, &reacts("u1", "a", false).await));
    assert!(!reacts("u1", "a", true).await.duplicate);
    let kept = subject.store.log.tail(&"general".into(), Start::At(1), ALL);
    assert_eq!(kept.await.unwrap().events.len(), 6);
}

pub(crate) async fn a_message_has_few_different_reactions(subject: Subject) {
    let target = subject.say("c").await.seq;
    let reacts = async |user: &str, emoji: &str, on: bool| {
        let draft = Draft {
            cid: None,
            ..draft(user, "", react(target, emoji, on))
        };
        subject.append(draft).await.map(|_| ())
    };
    for n in 0..MAX_REACTIONS {
        reacts("u1", &n.to_string(), true).await.unwrap();
    }
    for user in ["u1", "u2"] {
        let more = reacts(user, "more", true).await;
        assert_eq!(more, Err(AppendError::TooManyReactions));
    }
    reacts("u2", "7", true).await.unwrap();
    reacts("u1", "7", false).await.unwrap();
    let more = reacts("u1", "more", true).await;
    assert_eq!(more, Err(AppendError::TooManyReactions), "one still has it");
    reacts("u1", "8", false).await.unwrap();
    reacts("u1", "more", true).await.unwrap();
}

pub(crate) async fn case_and_accents_make_no_difference_to_a_search(subject: Subject) {
    for (n, body) in ["Café Über", "cafe\u{301} uber", "CAFE ÜBER"]
        .iter()
        .enumerate()
    {
        let append = subject.append(says("u1", &n.to_string(), body));
        append.await.unwrap();
    }
    for words in ["cafe", "CAFÉ Übe", "uber cafe\u{301}"] {
        let found = subject.search(looking_for(words)).await;
        assert_eq!(found.messages.len(), 3, "{words}");
    }
    assert!(
        subject
            .search(looking_for("cafés"))
            .await
            .messages
            .is_empty()
    );
}

pub(crate) async fn search_finds_what_messages_say_now(subject: Subject) {
    let [_, second, third, _] = subject.changed().await;
    let general = Some(vec!["general".into(), "nowhere".into()]);
    let mut query = looking_for("SECOND");
    assert_eq!(subject.search(query.clone()).await.messages.len(), 3);
    query.rooms = general;
    let found = subject.search(query.clone()).await;
    assert_eq!(seqs(&found.messages), [third, second]);
    assert_eq!(
        found.messages[0].event.what.text(),
        "a third, edited: second"
    );
    assert!(found.messages[0].edited.is_some() && found.next.is_none());
    let rooms = Some(Vec::new());
    let nowhere = SearchQuery { rooms, ..query };
    assert!(subject.search(nowhere).await.messages.is_empty());
    for (words, expected) in [
        ("sec one", &[][..]),
        ("one the", &[second]),
        ("the one", &[second]),
        ("secret", &[]),
        ("thoughts", &[]),
    ] {
        let found = subject.search(looking_for(words)).await;
        assert_eq!(seqs(&found.messages), expected, "{words}");
    }
}

pub(crate) async fn the_beginning_of_a_long_message_is_searched(subject: Subject) {
    let found = async |words| seqs(&subject.search(looking_for(words)).await.messages);
    let filled = "é ".repeat(MAX_SEARCHED / 2 - 2);
    let long = |first: &str| format!("{first} {filled}in out");
    // Up to the end of the word `in`, and to the middle of it.
    let said = subject.seq_of(says("u1", "1", &long("a"))).await;
    subject.seq_of(says("u1", "2", &long("aa"))).await;
    assert_eq!(
        (found("in").await, found("out").await),
        (vec![said], vec![])
    );
    let edit = What::Edit {
        target: said,
        body: Some(format!("out {filled}in").into()),
    };
    subject.append(draft("u1", "3", edit)).await.unwrap();
    assert_eq!(
        (found("in").await, found("out").await),
        (vec![], vec![said])
    );
}

pub(crate) async fn a_short_word_is_not_the_beginning_of_others(subject: Subject) {
    let mut said = Vec::new();
    for body in ["tea", "te", "où", "日本"] {
        said.push(subject.seq_of(says("u1", body, body)).await);
    }
    for (words, expected) in [
        ("te", &said[1..2]),
        ("TÉ", &said[1..2]),
        ("tea", &said[..1]),
        ("x-te", &[]),
        ("o", &[]),
        ("日", &said[3..]),
    ] {
        let found = subject.search(looking_for(words)).await;
        assert_eq!(seqs(&found.messages), expected, "{words}");
    }
}

/// Of a log that keeps more than so many events of a room.
pub(crate) async fn a_message_is_edited_so_often(subject: Subject) {
    let said = subject.say("said").await.seq;
    let edit = |n: usize| {
        let body = Some(format!("edited {n}").into());
        let what = What::Edit { target: said, body };
        subject.append(draft("u1", &n.to_string(), what))
    };
    let edits: Vec<_> = (0..MAX_EDITS).map(edit).collect();
    for edit in edits {
        edit.await.unwrap();
    }
    assert_eq!(edit(MAX_EDITS).await, Err(AppendError::TooManyEdits));
    assert!(edit(7).await.unwrap().duplicate);
    let delete = draft("u1", "d", What::Delete { target: said });
    subject.append(delete).await.unwrap();
}

pub(crate) async fn a_search_is_for_whom_and_when_it_is_asked(subject: Subject) {
    subject.changed().await;
    let late = Draft {
        now: 5_000,
        ..says("u2", "late", "my second")
    };
    let late = subject.seq_of(late).await;
    let query = || looking_for("second");
    for (query, expected) in [
        (
            SearchQuery {
                from: Some("u2".into()),
                ..query()
            },
            1,
        ),
        (
            SearchQuery {
                from: Some("u1".into()),
                ..query()
            },
            3,
        ),
        (
            SearchQuery {
                since: Some(5_000),
                ..query()
            },
            1,
        ),
        (
            SearchQuery {
                since: Some(5_001),
                ..query()
            },
            0,
        ),
        (
            SearchQuery {
                until: Some(5_000),
                ..query()
            },
            3,
        ),
        (
            SearchQuery {
                until: Some(5_001),
                ..query()
            },
            4,
        ),
    ] {
        let found = subject.search(query).await.messages;
        assert_eq!(found.len(), expected);
        assert!(expected != 1 || found[0].event.seq == late);
    }
}

pub(crate) async fn a_search_goes_on_where_it_ended(subject: Subject) {
    let mut said = Vec::new();
    for n in 0..KEPT {
        let body = if n % 3 == 0 { "word" } else { "other" };
        said.push(subject.seq_of(says("u1", &n.to_string(), body)).await);
    }
    let mut found = Vec::new();
    let mut query = SearchQuery {
        max: up_to(2),
        ..looking_for("wor")
    };
    loop {
        let some = subject.search(query.clone()).await;
        assert!(some.messages.len() <= 2);
        found.extend(seqs(&some.messages));
        if some.next.is_none() {
            break;
        }
        query.cursor = some.next;
    }
    let expected: Vec<_> = said.into_iter().step_by(3).rev().collect();
    assert_eq!(found, expected);
    let max = PageSize { bytes: 5, ..ALL };
    let some = subject
        .search(SearchQuery {
            max,
            cursor: None,
            ..query.clone()
        })
        .await;
    assert_eq!(some.messages.len(), 2);
    // One that is none finds nothing, and does no harm.
    query.cursor = Some("\0".into());
    assert!(subject.search(query).await.messages.is_empty());
}

pub(crate) async fn a_mark_only_goes_forward_and_not_beyond_the_newest_event(subject: Subject) {
    let (room, user) = ("general".into(), "u9".into());
    let set = async |seq| {
        subject
            .store
            .projection
            .set_mark(&room, &user, seq)
            .await
            .unwrap()
    };
    assert_eq!(set(7).await, ReadMark::NONE, "nothing was said there");
    let mut said = Vec::new();
    for n in 0..5 {
        said.push(subject.say(&n.to_string()).await.seq);
    }
    for (seq, expected, unread, is_raised) in [
        (0, 0, 5, false),
        (said[1], said[1], 3, true),
        (said[0], said[1], 3, false),
        (said[1], said[1], 3, false),
        (said[3], said[3], 1, true),
        (u64::MAX, said[4], 0, true),
        (u64::MAX, said[4], 0, false),
        (0, said[4], 0, false),
    ] {
        let mark = ReadMark {
            seq: expected,
            unread,
            ..ReadMark::NONE
        };
        assert_eq!(set(seq).await, ReadMark { is_raised, ..mark });
        assert_eq!(subject.store.projection.mark(&room, &user).await, Ok(mark));
    }
    let other = subject.store.projection.mark(&room, &"u8".into()).await;
    let unread = ReadMark {
        unread: 5,
        ..ReadMark::NONE
    };
    assert_eq!(other, Ok(unread));
}

pub(crate) async fn what_is_unread_are_messages_of_others(subject: Subject) {
    let theirs = subject.say("1").await.seq;
    let gone = subject.say("2").await.seq;
    let plain = Draft {
        from: Author::PlainText,
        cid: None,
        ..says("", "", "plain")
    };
    for draft in [
        plain,
        says("u2", "1", "mine"),
        draft("u1", "3", What::Delete { target: gone }),
        draft("u1", "4", What::Data { json: None }),
        draft("u1", "5", react(theirs, "+1", true)),
    ] {
        subject.append(draft).await.unwrap();
    }
    let projection = &subject.store.projection;
    let mark = projection.mark(&"general".into(), &"u2".into()).await;
    let unread = ReadMark {
        unread: 2,
        ..ReadMark::NONE
    };
    assert_eq!(mark, Ok(unread));
}

pub(crate) async fn s26_what_a_user_said_is_erased_and_the_order_stays(subject: Subject) {
    let target = subject.seq_of(says("u2", "0", "kept word")).await;
    let mine = subject.seq_of(says("u1", "0", "secret word")).await;
    let renamed = Author::User(Arc::new(User {
        id: "u1".into(),
        name: "another name".into(),
        avatar: "".into(),
    }));
    let edit = What::Edit {
        target: mine,
        body: Some("secret edit".into()),
    };
    let json = Some(r#""secret""#.into());
    for draft in [
        Draft {
            from: renamed,
            ..draft("u1", "1", edit)
        },
        draft("u1", "2", What::Data { json }),
        draft("u1", "3", react(target, "+1", true)),
        draft("u2", "4", react(target, "+1", true)),
        Draft {
            room: "other".into(),
            ..says("u1", "5", "secret elsewhere")
        },
    ] {
        subject.append(draft).await.unwrap();
    }
    let (room, user) = (Arc::from("general"), Arc::from("u1"));
    let Store { log, projection } = &subject.store;
    projection.set_mark(&room, &user, mine).await.unwrap();
    let before = subject.tail(Start::At(0), ALL).await;

    assert_eq!(log.erase(&user).await, Ok(5));
    assert_eq!(subject.seen.erased(), ["u1"]);
    let after = subject.tail(Start::At(0), ALL).await;
    assert_eq!(after.bounds, before.bounds);
    let known = |tail: &Tail| {
        let events = tail.events.iter();
        let known = events.map(|e| (e.seq, e.prev, Arc::clone(&e.id), e.ts, e.from.clone()));
        known.collect::<Vec<_>>()
    };
    assert_eq!(
        known(&after),
        known(&before),
        "also the names that were shown"
    );
    let texts: Vec<_> = after.events.iter().map(|e| e.what.text()).collect();
    assert_eq!(texts, ["kept word", "", "", "", "+1", "+1"]);
    assert_eq!(after.events[4].what, react(target, "+1", false));

    let page = subject.page(Span::Newest, ALL).await;
    assert_eq!(bodies(&page.messages), ["kept word", "", ""]);
    assert_eq!(page.messages[0].reactions[0].users, ["u2".into()]);
    assert!(
        subject
            .search(looking_for("secret"))
            .await
            .messages
            .is_empty()
    );
    assert_eq!(subject.search(looking_for("word")).await.messages.len(), 1);
    assert_eq!(projection.mark(&room, &user).await.unwrap().seq, 0);
    // What was said again is not stored twice, and what is new is.
    assert!(
        subject
            .append(says("u1", "0", "secret word"))
            .await
            .unwrap()
            .duplicate
    );
    subject
        .append(says("u1", "new", "a new one"))
        .await
        .unwrap();
    assert_eq!(log.erase(&"nobody".into()).await, Ok(0));
    assert_eq!(subject.search(looking_for("new")).await.messages.len(), 1);
}

pub(crate) async fn s22_a_mark_at_what_is_no_longer_kept_is_at_the_floor(subject: Subject) {
    let (room, user) = (Arc::from("general"), Arc::from("u9"));
    let projection = Arc::clone(&subject.store.projection);
    let first = subject.say("first").await.seq;
    let mark = projection.set_mark(&room, &user, first).await.unwrap();
    assert_eq!(
        mark,
        ReadMark {
            seq: first,
            unread: 0,
            is_raised: true,
        }
    );
    for n in 0..5 * KEPT {
        subject.say(&n.to_string()).await;
    }
    let floor = subject.bounds().await.floor.seq;
    assert!(floor > first);
    let mark = projection.set_mark(&room, &user, floor).await.unwrap();
    let kept = subject.page(Span::Newest, ALL).await.messages.len();
    assert_eq!(
        mark,
        ReadMark {
            seq: floor,
            unread: kept,
            is_raised: false,
        }
    );
}
