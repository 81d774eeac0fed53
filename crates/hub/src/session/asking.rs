//! What a client wants to know of what was stored: one question at a time, so that what is read for it is bounded.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{HIGH_WATER, Session, rights::Right};
use crate::{
    log::{Answer, Found, Page, PageQuery, PageSize, ReadError, ReadMark, SearchQuery, Span},
    traffic::SearchTurn,
    wire::{
        asking::{Ask, Search},
        command::Id,
        event,
        reply::{self, ErrorCode, Failure},
        shown::{FoundForm, PageForm},
    },
};

/// A question that was put to the log.
#[derive(Debug)]
pub(super) struct Asking {
    id: Option<Id>,
    answer: Asked,
}

#[derive(Debug)]
enum Asked {
    History {
        room: Arc<str>,
        page: Answer<Page, ReadError>,
    },
    Search {
        words: Arc<str>,
        found: Answer<Found, ReadError>,
        _turn: Option<SearchTurn>,
    },
    Read {
        room: Arc<str>,
        mark: Answer<ReadMark, ReadError>,
    },
}

impl Session {
    /// Puts a question to the log.
    pub(super) fn ask(&mut self, ask: Ask<'_>, id: Option<&Id>) -> Result<(), Failure> {
        let answer = match ask {
            Ask::History { room, span, limit } => self.ask_history(&room, span, limit)?,
            Ask::Search(search) => self.ask_search(search)?,
            Ask::Read { room, seq } => self.ask_read(&room, seq)?,
        };
        let id = id.cloned();
        self.asking = Some(Box::new(Asking { id, answer }));
        Ok(())
    }

    fn ask_history(&self, room: &str, span: Span, limit: usize) -> Result<Asked, Failure> {
        self.allowed(Right::Read, room)?;
        let room: Arc<str> = room.into();
        let query = PageQuery {
            room: Arc::clone(&room),
            span,
            max: page_size(limit),
            viewer: Some(Arc::clone(self.client.id())),
        };
        let page = self.hub.projection.page(query);
        Ok(Asked::History { room, page })
    }

    fn ask_search(&self, search: Search<'_>) -> Result<Asked, Failure> {
        let rooms = match &search.room {
            Some(room) => {
                self.allowed(Right::Read, room)?;
                vec![Arc::from(&**room)]
            }
            None => self.rooms.names().map(Arc::clone).collect(),
        };
        let viewer = Some(Arc::clone(self.client.id()));
        let query = search_query(search, Some(rooms), viewer);
        let user = Arc::clone(self.client.id());
        let turn = self.hub.traffic.search(self.rooms.client(), Some(user));
        let turn = turn.map_err(|_| Failure::searches_already())?;
        Ok(Asked::Search {
            words: Arc::clone(&query.words),
            found: self.hub.projection.search(query),
            _turn: turn,
        })
    }

    fn ask_read(&self, room: &str, seq: u64) -> Result<Asked, Failure> {
        let place = self.allowed(Right::Read, room)?;
        // It is kept, and told to others, as a message is.
        self.admit_message(place, 1)?;
        let room: Arc<str> = room.into();
        let projection = &self.hub.projection;
        let mark = projection.set_mark(&room, self.client.id(), seq);
        Ok(Asked::Read { room, mark })
    }

    /// Takes the log's answer to the question that is under way.
    pub(super) fn poll_asking(&mut self, cx: &mut Context<'_>) {
        let Some(mut asking) = self.asking.take() else {
            return;
        };
        match self.poll_answer(&mut asking, cx) {
            Poll::Pending => self.asking = Some(asking),
            Poll::Ready(Ok(reply)) => self.outbox.extend(reply),
            Poll::Ready(Err(error)) => {
                let failure = Failure::new(ErrorCode::Unavailable, error.to_string());
                self.outbox
                    .push(reply::refusal(asking.id.as_ref(), &failure));
            }
        }
    }

    fn poll_answer(
        &self,
        asking: &mut Asking,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<String>, ReadError>> {
        let id = asking.id.as_ref();
        let viewer = self.client.id();
        let reply = match &mut asking.answer {
            Asked::History { room, page } => {
                let page = ready!(Pin::new(page).poll(cx))?;
                reply::success(id, &PageForm::new(room, &page, viewer))
            }
            Asked::Search { words, found, .. } => {
                let found = ready!(Pin::new(found).poll(cx))?;
                reply::success(id, &FoundForm::new(&found, words, viewer))
            }
            Asked::Read { room, mark } => {
                let mark = ready!(Pin::new(mark).poll(cx))?;
                if mark.is_raised {
                    self.tell_own_others(Arc::clone(room), mark);
                }
                reply::success(id, &reply::Read::from(mark))
            }
        };
        Poll::Ready(Ok(reply))
    }

    /// Tells the user's other sessions how far it has read.
    fn tell_own_others(&self, room: Arc<str>, mark: ReadMark) {
        let user = Arc::clone(self.client.id());
        let others = self.hub.users.others(&user, self.id);
        if others.is_empty() {
            return;
        }
        // Apart from here, where this session's own state is locked: two may tell each other.
        self.hub.spawn(async move {
            for seat in others {
                seat.change(|session| {
                    session.hear_of_read(&user, &room, mark);
                    Ok(())
                });
            }
        });
    }

    /// A user has read a room elsewhere. For a client that takes nothing at present this is dropped: a later one says more.
    pub(super) fn hear_of_read(&mut self, user: &str, room: &str, mark: ReadMark) {
        if **self.client.id() != *user || self.is_told_on_joining(room, mark) {
            return;
        }
        let place = self.rooms.find(room).and_then(|room| self.rooms.get(room));
        let is_concerned = place.is_some_and(|place| !place.is_channel);
        if is_concerned && self.outbox.has_room(self.writing.len()) {
            self.outbox.push(event::read(room, mark));
        }
    }
}

/// What is looked for in these rooms, for this user.
pub(crate) fn search_query(
    search: Search<'_>,
    rooms: Option<Vec<Arc<str>>>,
    viewer: Option<Arc<str>>,
) -> SearchQuery {
    SearchQuery {
        words: search.words.into(),
        rooms,
        from: search.from.map(Arc::from),
        since: search.after,
        until: search.before,
        max: page_size(search.limit),
        cursor: search.cursor.map(Arc::from),
        viewer,
    }
}

/// As much as one reply has.
pub(crate) const fn page_size(limit: usize) -> PageSize {
    PageSize {
        events: limit,
        bytes: HIGH_WATER,
    }
}
