//! The only code that reads and writes QUIC streams; everything else speaks messages and frames.

use bytes::{Bytes, BytesMut};
use iroh::endpoint::{
    Connection, ConnectionError, ReadError as QuicReadError, RecvStream, SendStream, VarInt,
    WriteError as QuicWriteError,
};
use rivermesh_proto::{
    batch::{self, Frame, FrameError},
    code::Code,
    wire::{self, DecodeError, EncodeError, StreamKind},
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Chunks taken from the transport in one go; each is at most one packet.
const CHUNKS: usize = 64;
/// Memory taken at once for data frames. A frame that a program holds on to keeps its block.
const BLOCK: usize = 64 * 1024;
/// Memory taken at once for a frame whose header has been checked; more only as bytes arrive.
const RESERVE: usize = 256 * 1024;

/// Reading from a peer failed. The stream is of no more use.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("the stream was reset by the peer with {}", code_text(*.0))]
    Reset(u64),
    #[error("the connection is lost")]
    Lost(#[source] ConnectionError),
    #[error("the stream ended in the middle of a message")]
    Cut,
    #[error("the stream is closed")]
    Closed,
    #[error("malformed message")]
    Message(#[from] DecodeError),
    #[error("malformed frame")]
    Frame(#[from] FrameError),
}

impl From<QuicReadError> for ReadError {
    fn from(error: QuicReadError) -> Self {
        match error {
            QuicReadError::Reset(code) => Self::Reset(code.into_inner()),
            QuicReadError::ConnectionLost(source) => Self::Lost(source),
            QuicReadError::ClosedStream | QuicReadError::ZeroRttRejected => Self::Closed,
        }
    }
}

/// Writing to a peer failed. The stream is of no more use.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("the peer stopped the stream with {}", code_text(*.0))]
    Stopped(u64),
    #[error("the connection is lost")]
    Lost(#[source] ConnectionError),
    #[error("the stream is closed")]
    Closed,
    #[error("the message cannot be encoded")]
    Message(#[from] EncodeError),
}

impl From<QuicWriteError> for WriteError {
    fn from(error: QuicWriteError) -> Self {
        match error {
            QuicWriteError::Stopped(code) => Self::Stopped(code.into_inner()),
            QuicWriteError::ConnectionLost(source) => Self::Lost(source),
            QuicWriteError::ClosedStream | QuicWriteError::ZeroRttRejected => Self::Closed,
        }
    }
}

fn code_text(number: u64) -> String {
    Code::from_number(number).map_or_else(|| format!("unknown code {number:#x}"), |c| c.to_string())
}

fn var(code: Code) -> VarInt {
    VarInt::from_u32(code.number())
}

/// Closes a connection with a code of the one table.
pub(crate) fn close(connection: &Connection, code: Code) {
    connection.close(var(code), code.reason().as_bytes());
}

/// The code a peer closed the connection with, where it did.
pub(crate) fn close_code(error: &ConnectionError) -> Option<Code> {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            Code::from_number(close.error_code.into_inner())
        }
        _ => None,
    }
}

/// Opens a stream in both directions. Waits while the peer allows no further stream.
pub(crate) async fn open(
    connection: &Connection,
    kind: Option<StreamKind>,
) -> Result<(Writer, Reader), WriteError> {
    let (send, recv) = connection.open_bi().await.map_err(WriteError::Lost)?;
    let mut writer = Writer { inner: send };
    if let Some(kind) = kind {
        writer.raw(&[kind.byte()]).await?;
    }
    Ok((writer, Reader::new(recv)))
}

/// Opens a stream that only we write to.
pub(crate) async fn open_uni(
    connection: &Connection,
    kind: StreamKind,
) -> Result<Writer, WriteError> {
    let send = connection.open_uni().await.map_err(WriteError::Lost)?;
    let mut writer = Writer { inner: send };
    writer.raw(&[kind.byte()]).await?;
    Ok(writer)
}

/// Waits for the peer to open a stream in both directions.
pub(crate) async fn accept(connection: &Connection) -> Result<(Writer, Reader), ConnectionError> {
    let (send, recv) = connection.accept_bi().await?;
    Ok((Writer { inner: send }, Reader::new(recv)))
}

/// Waits for the peer to open a stream that only it writes to.
pub(crate) async fn accept_uni(connection: &Connection) -> Result<Reader, ConnectionError> {
    Ok(Reader::new(connection.accept_uni().await?))
}

/// The receiving half of a stream. All its methods can be cancelled without losing bytes.
pub(crate) struct Reader {
    inner: RecvStream,
    buf: BytesMut,
    /// Where the transport puts what it has; empty between two reads.
    chunks: Box<[Bytes; CHUNKS]>,
    /// Memory taken at once.
    block: usize,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.inner.id())
            .finish_non_exhaustive()
    }
}

impl Reader {
    fn new(inner: RecvStream) -> Self {
        Self {
            inner,
            buf: BytesMut::new(),
            chunks: Box::new(std::array::from_fn(|_| Bytes::new())),
            block: 0,
        }
    }

    /// The first byte of a stream, which says what it is for; `None` for a byte without meaning.
    pub(crate) async fn kind(&mut self) -> Result<Option<StreamKind>, ReadError> {
        if !self.need(1).await? {
            return Err(ReadError::Cut);
        }
        let byte = self.buf.split_to(1)[0];
        Ok(StreamKind::from_byte(byte))
    }

    /// The body of the next control message, or `None` where the stream has ended before it.
    pub(crate) async fn body(&mut self, limit: usize) -> Result<Option<Bytes>, ReadError> {
        if !self.need(4).await? {
            return Ok(None);
        }
        let prefix = [self.buf[0], self.buf[1], self.buf[2], self.buf[3]];
        let len = wire::body_len(prefix, limit)?;
        if !self.need(4 + len).await? {
            return Err(ReadError::Cut);
        }
        Ok(Some(self.buf.split_to(4 + len).freeze().slice(4..)))
    }

    /// The next control message, or `None` where the stream has ended before it.
    pub(crate) async fn message<T: DeserializeOwned>(
        &mut self,
        limit: usize,
    ) -> Result<Option<T>, ReadError> {
        match self.body(limit).await? {
            Some(body) => Ok(Some(wire::decode(&body)?)),
            None => Ok(None),
        }
    }

    /// The next data frame, or `None` where the stream has ended before it.
    pub(crate) async fn frame(&mut self) -> Result<Option<Frame>, ReadError> {
        self.block = BLOCK;
        if !self.need(batch::HEADER).await? {
            return Ok(None);
        }
        let mut head = [0; batch::HEADER];
        head.copy_from_slice(&self.buf[..batch::HEADER]);
        let header = batch::Header::parse(head)?;
        let whole = batch::HEADER + header.len;
        if self.buf.len() < whole {
            self.buf.reserve((whole - self.buf.len()).min(RESERVE));
        }
        if !self.need(whole).await? {
            return Err(ReadError::Cut);
        }
        let body = self.buf.split_to(whole).freeze().slice(batch::HEADER..);
        Ok(Some(Frame::parse(header.kind, body)?))
    }

    /// Tells the peer that nothing more will be read.
    pub(crate) fn stop(&mut self, code: Code) {
        // An error only says that the stream had ended before.
        let _ = self.inner.stop(var(code));
    }

    /// Reads until `bytes` are there; false where the stream ended with none at all.
    async fn need(&mut self, bytes: usize) -> Result<bool, ReadError> {
        while self.buf.len() < bytes {
            match self.inner.read_many_chunks(&mut self.chunks[..]).await? {
                Some(count) => self.take(count),
                None if self.buf.is_empty() => return Ok(false),
                None => return Err(ReadError::Cut),
            }
        }
        Ok(true)
    }

    /// Moves chunks that were read behind what is in the buffer: the one copy of a received byte.
    /// Memory comes in blocks, so that neither a chunk nor a small frame costs an allocation.
    fn take(&mut self, count: usize) {
        let chunks = &mut self.chunks[..count];
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        if self.buf.capacity() - self.buf.len() < bytes {
            self.buf.reserve(bytes.max(self.block));
        }
        for chunk in chunks {
            self.buf.extend_from_slice(chunk);
            *chunk = Bytes::new();
        }
    }
}

/// The sending half of a stream.
pub(crate) struct Writer {
    inner: SendStream,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("stream", &self.inner.id())
            .finish()
    }
}

impl Writer {
    /// Writes a control message. Not to be cancelled: part of it may be written then.
    pub(crate) async fn message<T: Serialize>(
        &mut self,
        message: &T,
        limit: usize,
    ) -> Result<(), WriteError> {
        let bytes = wire::encode(message, limit)?;
        self.raw(&bytes).await
    }

    /// Writes bytes. Not to be cancelled: part of them may be written then.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        Ok(self.inner.write_all(bytes).await?)
    }

    /// Writes whole frames, without copying them. Not to be cancelled unless the stream is reset.
    pub(crate) async fn frames(&mut self, frames: &mut [Bytes]) -> Result<(), WriteError> {
        Ok(self.inner.write_all_chunks(frames).await?)
    }

    /// Ends the stream after what has been written.
    pub(crate) fn finish(&mut self) {
        // An error only says that the stream had ended before.
        let _ = self.inner.finish();
    }

    /// Ends the stream at once; what has not been delivered yet is dropped.
    pub(crate) fn reset(&mut self, code: Code) {
        let _ = self.inner.reset(var(code));
    }

    /// Resolves when the peer wants no more, or the connection is lost, or everything written
    /// before [`Writer::finish`] has arrived: true only in the last case.
    pub(crate) fn stopped(&self) -> impl Future<Output = bool> + Send + 'static {
        let stopped = self.inner.stopped();
        async move { matches!(stopped.await, Ok(None)) }
    }
}
