//! Chats from elsewhere: our own exports and OpenAI's `conversations.json`. A file is
//! read chat by chat, so a large one needs memory for its largest chat only; what makes
//! no sense is left out and counted, and never a panic.

mod openai;
mod place;

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::{ChatsError, Result};
use crate::store::Store;
use crate::transfer::{FORMAT, FORMAT_VERSION, Transfer};

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Imported {
    /// Chats that are new here.
    pub added: Vec<i64>,
    /// Chats that were here already.
    pub known: usize,
    /// Chats that made no sense.
    pub skipped: usize,
}

impl Store {
    /// Adds the chats of a file, each as a whole or not at all.
    ///
    /// Errors: it is no such file, or chats cannot be kept; those before are there then.
    pub fn import(&mut self, file: impl Read) -> Result<Imported> {
        let mut taker = Taker {
            store: self,
            imported: Imported::default(),
            failed: None,
        };
        let mut json = serde_json::Deserializer::from_reader(std::io::BufReader::new(file));
        let read = json.deserialize_any(&mut taker).and_then(|()| json.end());
        let Taker {
            imported, failed, ..
        } = taker;
        if let Some(error) = failed {
            return Err(error);
        }
        read.map_err(|error| ChatsError::Unknown(error.to_string()))?;
        Ok(imported)
    }
}

/// Puts each chat into the store as soon as it is read.
struct Taker<'a> {
    store: &'a mut Store,
    imported: Imported,
    /// Why the store could not take one.
    failed: Option<ChatsError>,
}

impl Taker<'_> {
    fn take(&mut self, chat: Option<Transfer>) -> std::result::Result<(), &'static str> {
        let Some(chat) = chat.filter(|chat| !chat.messages.is_empty()) else {
            self.imported.skipped += 1;
            return Ok(());
        };
        match self.store.place(&chat) {
            Ok(Some(id)) => self.imported.added.push(id),
            Ok(None) => self.imported.known += 1,
            Err(error) => {
                self.failed = Some(error);
                return Err("stopped");
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Taker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of conversations, or an export of Moestro")
    }

    /// OpenAI's file is a list of conversations.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        while let Some(conversation) = list.next_element::<Value>()? {
            let taken = self.take(openai::read(&conversation));
            taken.map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let wrong = |what: &str| serde::de::Error::custom(what);
        let mut known = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "format" if map.next_value::<Value>()? == FORMAT => known = true,
                "format" => return Err(wrong("it is of another format")),
                "version" => {
                    let version = map.next_value::<u64>()?;
                    if version > FORMAT_VERSION {
                        self.failed = Some(ChatsError::NewerExport(version));
                        return Err(wrong("it is newer"));
                    }
                }
                "chats" if known => map.next_value_seed(Chats(&mut *self))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match known {
            true => Ok(()),
            false => Err(wrong("it does not begin with the name of its format")),
        }
    }
}

/// The chats of our own export.
struct Chats<'a, 'b>(&'a mut Taker<'b>);

impl<'de> DeserializeSeed<'de> for Chats<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> std::result::Result<(), D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Chats<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of chats")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        while let Some(chat) = list.next_element::<Value>()? {
            let taken = self.0.take(own(chat));
            taken.map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// One chat of our own; messages that make no sense are left out.
fn own(mut chat: Value) -> Option<Transfer> {
    let messages = chat.as_object_mut()?.remove("messages");
    let mut read = Transfer::deserialize(chat).ok()?;
    let Some(Value::Array(messages)) = messages else {
        return Some(read);
    };
    read.messages = messages
        .into_iter()
        .filter_map(|message| serde_json::from_value(message).ok())
        .collect();
    Some(read)
}
