//! The server as its clients meet it, with the demo model behind it. One engine
//! serves all tests at once, as it would serve several programs.

mod answers;
mod clients;
mod crowd;
mod forms;
mod hostile;
mod http;
mod malformed;
mod own;
mod server;
