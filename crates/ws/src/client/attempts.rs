//! The attempts of which one `connect` may consist: as it was asked for, with credentials, and where redirects lead.

use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc};

use fullduplex_proto::handshake::{
    Challenge, ClientError, ClientRequest, Credentials, RedirectError, Redirects, Refused, Response,
};
use tokio::time::Instant;

use super::{Client, ConnectError, route::Http};
use crate::websocket::WebSocket;

/// The caller's answer to challenges.
pub(super) type Ask = Arc<
    dyn Fn(Vec<Challenge>) -> Pin<Box<dyn Future<Output = Option<Credentials>> + Send>>
        + Send
        + Sync,
>;

impl Client {
    /// Tries until the server accepts or there is nothing more to try. The caller's deadline ends it.
    pub(super) async fn attempts(
        &self,
        deadline: Instant,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let mut request = Cow::Borrowed(&self.request);
        let mut redirects = Redirects::new(self.max_redirects);
        let mut ask = self.ask.as_ref();
        loop {
            let transport = self.reach(request.uri(), Http::One, deadline).await?;
            let refused = match self.shake_hands(&request, transport, deadline).await {
                Err(ConnectError::Handshake(ClientError::Refused(refused))) => refused,
                ended => return ended,
            };
            request = if let Some(challenges) = self.challenges(&request, &refused)
                && let Some(ask) = ask.take()
                && let Some(credentials) = ask(challenges).await
            {
                redirects.forget_visited();
                Cow::Owned(request.into_owned().credentials(credentials))
            } else if let Some(next) = self.redirected(&request, &refused, &mut redirects) {
                Cow::Owned(next.map_err(|error| ConnectError::Redirect(error, refused))?)
            } else {
                return Err(ConnectError::Handshake(ClientError::Refused(refused)));
            };
        }
    }

    /// What may be answered with credentials. Nothing but what the caller's own address asks: else a redirect could send the
    /// client to somebody who asks for the password.
    fn challenges(&self, request: &ClientRequest, refused: &Refused) -> Option<Vec<Challenge>> {
        if refused.status() != 401 || !request.uri().is_same_origin(self.request.uri()) {
            return None;
        }
        let mut challenges = refused.challenges();
        challenges.retain(|challenge| challenge.is("Basic") || challenge.is("Bearer"));
        (!challenges.is_empty()).then_some(challenges)
    }

    fn redirected(
        &self,
        request: &ClientRequest,
        refused: &Refused,
        redirects: &mut Redirects,
    ) -> Option<Result<ClientRequest, RedirectError>> {
        // Without redirects a redirect is a refusal like any other.
        (self.max_redirects > 0).then(|| redirects.follow(request, refused))?
    }
}
