//! How much a client may ask for. Generous for people, small for the machine.

use std::time::Duration;

/// Bytes of a request's body: a full context of text with room to spare.
pub const BODY: usize = 8 << 20;
/// Depth of lists and objects in it.
pub const DEPTH: usize = 64;
/// Bytes of a request's line and headers, and how many headers.
pub const HEADER_BYTES: usize = 32 << 10;
pub const HEADERS: usize = 64;
/// Time for a request's headers to come, and for its body.
pub const HEADER_TIME: Duration = Duration::from_secs(10);
pub const BODY_TIME: Duration = Duration::from_secs(60);
/// How long a client may not read what it is sent.
pub const WRITE_TIME: Duration = Duration::from_secs(30);
/// Connections at once.
pub const CONNECTIONS: usize = 1024;
/// Answers under way and waiting; more are turned away.
pub const PLACES: usize = 128;
/// Seconds after which to try again.
pub const RETRY_AFTER: u64 = 5;
/// Answers of one request.
pub const CHOICES: usize = 16;
/// Prompts of one batch.
pub const BATCH: usize = 64;
/// Stop texts, and bytes of each.
pub const STOPS: usize = 16;
pub const STOP_BYTES: usize = 256;
/// Tools of one request, and bytes of all their definitions.
pub const TOOLS: usize = 128;
pub const TOOL_BYTES: usize = 256 << 10;
/// Messages of one conversation.
pub const MESSAGES: usize = 4096;
/// Variables for the chat template, and bytes of all of them.
pub const VARIABLES: usize = 16;
pub const VARIABLE_BYTES: usize = 16 << 10;
/// An idle stream says that it is alive this often.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Time in which streams end when the server does.
pub const GOODBYE: Duration = Duration::from_secs(3);
