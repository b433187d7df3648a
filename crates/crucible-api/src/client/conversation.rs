//! A conversation with a command in a sandbox.

use super::transport::Connection;
use crate::v1::{ExecControl, ExecEnded, ExecEvent, ExecRequest, OutputStream, TerminalSize};
use crucible_core::{Error, ErrorKind, Result};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// The longest message that is taken from a service.
const LONGEST_MESSAGE: usize = 4 << 20;

type Socket = WebSocketStream<Connection>;

/// Both sides of a conversation.
pub struct Conversation {
    /// What is said to the command.
    pub speaker: Speaker,
    /// What comes from it.
    pub listener: Listener,
}

/// Says things to a command. Where both sides are dropped, the command is ended.
pub struct Speaker(SplitSink<Socket, Message>);

/// Hears what comes of a command.
pub struct Listener(SplitStream<Socket>);

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// The command runs.
    Started,
    /// It wrote something. Hostile bytes.
    Output(OutputStream, Bytes),
    /// It ended, and all that it wrote was heard.
    Ended(ExecEnded),
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Infrastructure, "talk with the command", "the service broke off the conversation")
        .with_source(error)
}

/// Begins a conversation.
pub(super) async fn begin(
    connection: Connection,
    host: &str,
    key: Option<&str>,
    path: &str,
    request: ExecRequest,
) -> Result<Conversation> {
    let uri: Uri = format!("ws://{host}{path}").parse().map_err(broken)?;
    let config =
        WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE)).max_frame_size(Some(LONGEST_MESSAGE));
    let mut head = ClientRequestBuilder::new(uri);
    if let Some(key) = key {
        head = head.with_header("Authorization", format!("Bearer {key}"));
    }
    let (socket, _) =
        tokio_tungstenite::client_async_with_config(head, connection, Some(config)).await.map_err(broken)?;
    let (speaker, listener) = socket.split();
    let mut conversation = Conversation { speaker: Speaker(speaker), listener: Listener(listener) };
    conversation.speaker.say(&ExecControl::Start(request)).await?;
    Ok(conversation)
}

impl Speaker {
    /// Gives the command some of its standard input. Waits while it reads none.
    ///
    /// # Errors
    /// `Infrastructure` where the conversation is over.
    pub async fn input(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.0.send(Message::Binary(bytes.into())).await.map_err(broken)
    }

    /// Ends its standard input.
    ///
    /// # Errors
    /// As [`Speaker::input`].
    pub async fn end_of_input(&mut self) -> Result<()> {
        self.say(&ExecControl::EndOfInput).await
    }

    /// Says how large its terminal is now.
    ///
    /// # Errors
    /// As [`Speaker::input`].
    pub async fn resize(&mut self, size: TerminalSize) -> Result<()> {
        self.say(&ExecControl::Resize(size)).await
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// As [`Speaker::input`].
    pub async fn signal(&mut self, signal: impl Into<String>) -> Result<()> {
        self.say(&ExecControl::Signal { signal: signal.into() }).await
    }

    async fn say(&mut self, control: &ExecControl) -> Result<()> {
        let text = serde_json::to_string(control).map_err(broken)?;
        self.0.send(Message::Text(text.into())).await.map_err(broken)
    }
}

impl Listener {
    /// The next thing that comes of it. Cancel-safe.
    ///
    /// # Errors
    /// What the service failed with; `Infrastructure` where it broke off.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => match bytes.first().copied().and_then(OutputStream::of_tag) {
                    Some(stream) => Ok(Heard::Output(stream, bytes.slice(1..))),
                    None => Err(broken("a message of no known stream")),
                },
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).map_err(broken)? {
                    ExecEvent::Started => Ok(Heard::Started),
                    ExecEvent::Ended(ended) => Ok(Heard::Ended(ended)),
                    ExecEvent::Failed { error } => Err(error.to_error("run the command")),
                    ExecEvent::Output { .. } => Err(broken("output as text")),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => Err(broken("it ended before the command did")),
                Some(Err(error)) => Err(broken(error)),
            };
        }
    }
}
