//! Replies piece by piece: five pieces, a few milliseconds apart.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use faas_core::{Body, Bytes, Error, Response, function};

#[function]
async fn stream() -> Response {
    Response::new(Body::new(Pieces { left: 5, pause: None }))
}

struct Pieces {
    left: u32,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(faas_core::sleep(Duration::from_millis(5))));
        std::task::ready!(pause.as_mut().poll(cx));
        self.pause = None;
        self.left -= 1;
        Poll::Ready(Some(Ok(http_body::Frame::data(format!("piece {}\n", self.left).into()))))
    }
}

faas_core::main!();
