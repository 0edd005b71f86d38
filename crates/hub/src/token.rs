//! The access token: which one counts, where it is kept, and keeping another.
//!
//! A variable goes first, so that one command can use another token. Then comes
//! the keyring of the system, then the file that Hugging Face's own tools write.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cache::parent;
use crate::environment::Environment;
use crate::error::{HubError, Result};
use crate::keyring::{Held, Refusal};

/// A token is about 40 bytes; anything larger is not one.
const LONGEST: u64 = 4096;

/// An access token, or none. Never shown by `Debug`, so that it gets into no log.
#[derive(Clone, Default, PartialEq)]
pub struct Token {
    text: Option<String>,
    place: TokenPlace,
}

/// Where the token is that is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum TokenPlace {
    /// There is none.
    #[default]
    Nowhere,
    /// An environment variable, which goes before all others.
    Variable { name: String },
    /// The keyring of the system.
    Keyring,
    /// The keyring has one that cannot be read before the person unlocks it.
    LockedKeyring,
    /// A file that Hugging Face's own tools read too.
    File { path: PathBuf },
}

impl Token {
    pub(crate) fn at(place: TokenPlace, text: impl Into<String>) -> Token {
        let text = Some(text.into());
        Token { text, place }
    }

    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub fn place(&self) -> &TokenPlace {
        &self.place
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token at {:?}", self.place)
    }
}

impl Environment {
    /// Takes the token of the system's keyring, if it has one and no variable goes
    /// before it. Takes a few seconds at most, and asks the person for nothing.
    pub async fn ask_keyring(&mut self) {
        if matches!(self.token.place, TokenPlace::Variable { .. }) {
            return;
        }
        match self.keyring.read().await {
            Held::Token(text) if is_token(&text) => {
                self.token = Token::at(TokenPlace::Keyring, text);
            }
            Held::Locked if self.token.text.is_none() => {
                self.token.place = TokenPlace::LockedKeyring;
            }
            _ => {}
        }
    }

    /// Lets the person unlock the keyring and takes the token from it.
    pub async fn unlock_token(&mut self) -> Result<()> {
        self.keyring.unlock().await.map_err(refused)?;
        self.ask_keyring().await;
        Ok(())
    }

    /// Keeps `token` for all later runs: in the keyring, or where none answers in a
    /// file that only this user can read.
    pub async fn save_token(&mut self, token: &str) -> Result<()> {
        let token = token.trim();
        if !is_token(token) {
            let message = "an access token is one word, such as hf_…; copy it again";
            return Err(HubError::Request(message.into()));
        }
        let path = &self.token_file;
        self.token = match self.keyring.save(token).await {
            Ok(()) => Token::at(TokenPlace::Keyring, token),
            Err(Refusal::Dismissed) => return Err(refused(Refusal::Dismissed)),
            Err(Refusal::NoKeyring) => {
                write_secret(path, token).map_err(|e| cannot(path, "cannot be saved", e))?;
                Token::at(TokenPlace::File { path: path.clone() }, token)
            }
        };
        Ok(())
    }

    /// Removes the token from the place where it is kept. Another place may have
    /// one, which then counts.
    pub async fn forget_token(&mut self) -> Result<()> {
        match &self.token.place {
            TokenPlace::Nowhere => {}
            TokenPlace::Variable { name } => {
                let message = format!("the token comes from the variable {name}; unset it there");
                return Err(HubError::Request(message));
            }
            TokenPlace::Keyring | TokenPlace::LockedKeyring => {
                self.keyring.remove().await.map_err(refused)?;
            }
            TokenPlace::File { path } => {
                fs::remove_file(path).map_err(|e| cannot(path, "cannot be removed", e))?;
            }
        }
        let path = self.token_file.clone();
        self.token = match token_in(&path) {
            Some(text) => Token::at(TokenPlace::File { path }, text),
            None => Token::default(),
        };
        self.ask_keyring().await;
        Ok(())
    }
}

/// The token that `hf auth login` saved.
pub(crate) fn token_in(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    let small = about.is_file() && about.len() <= LONGEST;
    let text = small.then(|| fs::read_to_string(path).ok())??;
    let token = text.trim();
    is_token(token).then(|| token.to_string())
}

fn is_token(text: &str) -> bool {
    let letters = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    letters && text.len() as u64 <= LONGEST
}

/// Nobody else can read the file at any moment.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(parent(path))?;
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn refused(refusal: Refusal) -> HubError {
    HubError::Request(match refusal {
        Refusal::Dismissed => "the keyring of the system was not unlocked; try again".into(),
        Refusal::NoKeyring => "the keyring of the system does not answer; try again later".into(),
    })
}

fn cannot(path: &Path, action: &'static str, source: std::io::Error) -> HubError {
    HubError::disk(path, action, source)
}
