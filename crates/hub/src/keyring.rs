//! The access token in the keyring of the system: the Secret Service, which GNOME
//! Keyring, KWallet and KeePassXC offer over D-Bus (specification 0.2 of
//! freedesktop.org). Every question has a time after which it counts as unanswered,
//! because a keyring may be absent, locked, or waiting for a person.

use std::collections::HashMap;
use std::time::Duration;

use secret_service::{EncryptionType, Error, Item, SecretService};
use tokio::time::timeout;

/// A keyring that is there answers in milliseconds, one that the bus has to start
/// first within a second or two.
const ANSWER: Duration = Duration::from_secs(5);
/// For what a person may have to confirm or unlock.
const PERSON: Duration = Duration::from_secs(120);

const LABEL: &str = "Hugging Face access token (Moestro)";
const ATTRIBUTES: [(&str, &str); 3] = [
    ("xdg:schema", "org.freedesktop.Secret.Generic"),
    ("service", "app.moestro"),
    ("username", "huggingface"),
];

/// A keyring that may or may not be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyring {
    /// Of the session bus; without one there is no keyring.
    address: Option<String>,
}

/// What a keyring says of the token.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    Token(String),
    /// It has one, but is locked.
    Locked,
    Nothing,
    /// There is no keyring, or it did not answer.
    NoKeyring,
}

/// Why a keyring did not do what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is none, it is broken, or it did not answer.
    NoKeyring,
    /// The person closed its dialog or did not answer it.
    Dismissed,
}

impl Keyring {
    /// The keyring on the session bus at this address, such as
    /// `unix:path=/run/user/1000/bus`.
    pub fn at(address: Option<String>) -> Keyring {
        Keyring { address }
    }

    /// Never asks the person for anything.
    pub async fn read(&self) -> Held {
        let read = async {
            let service = self.connect().await?;
            let found = service.search_items(HashMap::from(ATTRIBUTES)).await?;
            let Some(item) = found.unlocked.first() else {
                return Ok(match found.locked.is_empty() {
                    true => Held::Nothing,
                    false => Held::Locked,
                });
            };
            let secret = String::from_utf8(item.get_secret().await?);
            Ok::<_, Error>(secret.map_or(Held::Nothing, Held::Token))
        };
        let read = timeout(ANSWER, read).await;
        read.unwrap_or(Err(Error::Unavailable))
            .unwrap_or(Held::NoKeyring)
    }

    /// Asks the person to unlock the token, if it is locked.
    pub async fn unlock(&self) -> Result<(), Refusal> {
        let service = self.service().await?;
        let items = search(&service).await?;
        let locked: Vec<_> = items.locked.iter().collect();
        match locked.is_empty() {
            true => Ok(()),
            false => person(service.unlock_all(&locked)).await,
        }
    }

    /// Keeps the token in the default keyring, in place of an earlier one. The
    /// person may have to unlock it.
    pub async fn save(&self, token: &str) -> Result<(), Refusal> {
        let service = self.service().await?;
        let keyring = answer(service.get_default_collection()).await?;
        if answer(keyring.is_locked()).await? {
            person(keyring.unlock()).await?;
        }
        let (attributes, kind) = (HashMap::from(ATTRIBUTES), "text/plain");
        person(keyring.create_item(LABEL, attributes, token.as_bytes(), true, kind)).await?;
        Ok(())
    }

    /// Forgets the token. The person may have to unlock the keyring.
    pub async fn remove(&self) -> Result<(), Refusal> {
        let service = self.service().await?;
        let found = search(&service).await?;
        for item in found.locked {
            person(item.unlock()).await?;
            person(item.delete()).await?;
        }
        for item in found.unlocked {
            person(item.delete()).await?;
        }
        Ok(())
    }

    async fn service(&self) -> Result<SecretService<'static>, Refusal> {
        answer(self.connect()).await
    }

    async fn connect(&self) -> Result<SecretService<'static>, Error> {
        let address = self.address.as_deref().ok_or(Error::Unavailable)?;
        let bus = zbus::connection::Builder::address(address)?;
        let bus = bus.build().await?;
        // The secret crosses the bus encrypted.
        SecretService::connect_with_existing(EncryptionType::Dh, bus).await
    }
}

async fn search<'a>(
    service: &'a SecretService<'static>,
) -> Result<secret_service::SearchItemsResult<Item<'a>>, Refusal> {
    answer(service.search_items(HashMap::from(ATTRIBUTES))).await
}

async fn answer<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
    within(ANSWER, question, Refusal::NoKeyring).await
}

async fn person<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Refusal> {
    within(PERSON, question, Refusal::Dismissed).await
}

async fn within<T>(
    time: Duration,
    question: impl Future<Output = Result<T, Error>>,
    unanswered: Refusal,
) -> Result<T, Refusal> {
    match timeout(time, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Prompt | Error::Locked)) => Err(Refusal::Dismissed),
        Ok(Err(_)) => Err(Refusal::NoKeyring),
        Err(_) => Err(unanswered),
    }
}
