//! The person's settings: one JSON file, replaced as a whole, never half written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use moestro_chats::ChatSettings;
use moestro_engine::protocol::{MemorySettings, SamplingOverrides};
use moestro_engine::quantize::Quantize;
use moestro_server::Settings as ApiSettings;
use serde::{Deserialize, Serialize};

/// What the window remembers between two starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct Settings {
    pub theme: Theme,
    /// How much larger than it was made the window is drawn.
    pub zoom: f64,
    /// Tell outside of the window when long work is done.
    pub notify: bool,
    /// Settings of chats that the person keeps under names.
    pub presets: Vec<Preset>,
    pub sampling: SamplingOverrides,
    /// Longest answer in tokens; `None` leaves the end to the model.
    pub max_tokens: Option<usize>,
    pub system_prompt: String,
    /// Worker threads; `None` uses the physical cores.
    pub threads: Option<usize>,
    /// Memory settings of each model, by its path.
    pub memory: BTreeMap<String, MemorySettings>,
    /// What the weights of a model are quantized to when it is loaded, by its path.
    pub quantize: BTreeMap<String, Quantize>,
    /// Paths of the models the person opened, newest first.
    pub models: Vec<String>,
    pub last_model: Option<String>,
    /// The model to load when the window opens; `None` takes the last one.
    pub default_model: Option<String>,
    /// Load a model (the default, the last, else the demo model) when the window opens.
    pub load_on_start: bool,
    /// Folders of other programs that are looked through for models.
    pub folders: Vec<String>,
    /// Decode speed of each model, by its path.
    pub speeds: BTreeMap<String, ModelSpeed>,
    /// Most bytes per second that downloads take.
    pub download_limit: Option<u64>,
    /// Is the API server on, and how does it listen?
    pub serve_api: bool,
    pub api: ApiSettings,
}

/// Settings of a chat, to be used in others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct Preset {
    pub name: String,
    pub settings: ChatSettings,
}

/// Tokens per second of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct ModelSpeed {
    /// Before it was fetched, from its headers.
    pub estimate: Option<f64>,
    /// In the last answer that was long enough to tell.
    pub measured: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            theme: Theme::System,
            zoom: 1.0,
            notify: true,
            presets: Vec::new(),
            sampling: SamplingOverrides::default(),
            max_tokens: None,
            system_prompt: String::new(),
            threads: None,
            memory: BTreeMap::new(),
            quantize: BTreeMap::new(),
            models: Vec::new(),
            last_model: None,
            default_model: None,
            load_on_start: true,
            folders: Vec::new(),
            speeds: BTreeMap::new(),
            download_limit: None,
            serve_api: false,
            api: ApiSettings::default(),
        }
    }
}

impl Settings {
    /// Takes over `newer`, but forgets no model.
    pub fn replace_with(&mut self, mut newer: Settings) {
        let others = self
            .models
            .iter()
            .filter(|path| !newer.models.contains(path));
        let others: Vec<String> = others.cloned().collect();
        newer.models.extend(others);
        *self = newer;
    }

    /// Removes every trace of the model at `path`.
    pub fn forget_model(&mut self, path: &str) {
        self.models.retain(|model| model != path);
        self.memory.remove(path);
        self.speeds.remove(path);
        self.last_model.take_if(|last| last == path);
        self.default_model.take_if(|model| model == path);
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

/// Why settings could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings cannot be read from {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the settings cannot be saved in {}: {source}; free some space or check the folder's permissions", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the settings cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
}

/// A window receives every error as a sentence.
impl Serialize for SettingsError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Settings as read, with what the person should know about the reading.
#[derive(Debug, Default, PartialEq)]
pub struct Loaded {
    pub settings: Settings,
    pub notice: Option<String>,
}

/// The file that holds the settings. Several instances of the app may share it.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    path: PathBuf,
}

/// A settings file is a few kilobytes; anything larger is not ours.
const MAX_BYTES: u64 = 4 << 20;

impl SettingsFile {
    /// Keeps settings in `folder`, which is made when something is saved.
    pub fn in_folder(folder: &Path) -> Self {
        SettingsFile {
            path: folder.join("settings.json"),
        }
    }

    /// Reads the settings. A damaged file is renamed to `settings.damaged.json`
    /// and the defaults take its place.
    pub fn load(&self) -> Result<Loaded, SettingsError> {
        let read_error = |source| SettingsError::Read {
            path: self.path.clone(),
            source,
        };
        let text = match self.read() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return self.set_aside(&error.to_string()).map_err(read_error);
            }
            Err(error) => return Err(read_error(error)),
        };
        match serde_json::from_str(&text) {
            Ok(settings) => Ok(Loaded {
                settings,
                notice: None,
            }),
            Err(error) => self.set_aside(&error.to_string()).map_err(read_error),
        }
    }

    /// Changes the settings as they are on disk now and returns the new ones.
    /// Instances that do so at the same time take turns.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) -> Result<Loaded, SettingsError> {
        let write_error = |source| SettingsError::Write {
            path: self.path.clone(),
            source,
        };
        let folder = self.folder();
        fs::create_dir_all(folder).map_err(write_error)?;
        let turn = File::create(folder.join("settings.lock")).map_err(write_error)?;
        turn.lock().map_err(write_error)?;
        let mut loaded = self.load()?;
        change(&mut loaded.settings);
        let mut text = serde_json::to_vec_pretty(&loaded.settings)?;
        text.push(b'\n');
        self.replace(&text).map_err(write_error)?;
        Ok(loaded)
    }

    fn read(&self) -> io::Result<String> {
        if fs::metadata(&self.path)?.len() > MAX_BYTES {
            let message = format!("it is larger than {MAX_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        fs::read_to_string(&self.path)
    }

    /// After this returns, the new text survives a power cut; before, the old one does.
    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let folder = self.folder();
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }

    fn set_aside(&self, reason: &str) -> io::Result<Loaded> {
        let aside = self.path.with_file_name("settings.damaged.json");
        fs::rename(&self.path, &aside)?;
        let notice = format!(
            "The settings in {} are damaged ({reason}). The defaults are used; the damaged file \
             was kept as {}.",
            self.path.display(),
            aside.display()
        );
        Ok(Loaded {
            settings: Settings::default(),
            notice: Some(notice),
        })
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, SettingsFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::in_folder(&folder.path().join("config"));
        (folder, file)
    }

    #[test]
    fn settings_come_back_as_saved() {
        let (_folder, file) = file();
        assert_eq!(file.load().unwrap(), Loaded::default());
        let saved = file
            .update(|settings| {
                settings.theme = Theme::Dark;
                settings.sampling.temperature = Some(0.25);
                let memory = MemorySettings {
                    cached_experts_per_layer: Some(3),
                    ..Default::default()
                };
                settings.memory.insert("/m.gguf".into(), memory);
            })
            .unwrap();
        assert_eq!(file.load().unwrap(), saved);
    }

    #[test]
    fn saving_forgets_no_model_and_forgetting_leaves_no_trace() {
        let models = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect();
        let mut saved = Settings {
            models: models(&["/a", "/b"]),
            ..Settings::default()
        };
        let mut shown = Settings {
            models: models(&["/c", "/b"]),
            ..Settings::default()
        };
        shown.last_model = Some("/b".into());
        shown.memory.insert("/b".into(), MemorySettings::default());
        saved.replace_with(shown);
        assert_eq!(saved.models, ["/c", "/b", "/a"]);
        saved.forget_model("/b");
        let expected = Settings {
            models: models(&["/c", "/a"]),
            ..Settings::default()
        };
        assert_eq!(saved, expected);
    }

    #[test]
    fn unknown_and_missing_fields_are_no_damage() {
        let (_folder, file) = file();
        file.update(|_| ()).unwrap();
        fs::write(&file.path, r#"{"theme":"dark","from_a_newer_version":1}"#).unwrap();
        let loaded = file.load().unwrap();
        assert_eq!(loaded.notice, None);
        assert_eq!(
            loaded.settings,
            Settings {
                theme: Theme::Dark,
                ..Settings::default()
            }
        );
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_named() {
        for damage in [
            &b"{\"theme\":"[..],
            b"\xff\xfe",
            b"null",
            b"{\"theme\":\"pink\"}",
            b"",
        ] {
            let (_folder, file) = file();
            file.update(|_| ()).unwrap();
            fs::write(&file.path, damage).unwrap();
            let loaded = file.load().unwrap();
            assert_eq!(loaded.settings, Settings::default());
            let notice = loaded.notice.expect("a notice");
            assert!(notice.contains("settings.damaged.json"), "{notice}");
            let kept = fs::read(file.path.with_file_name("settings.damaged.json")).unwrap();
            assert_eq!(kept, damage);
            assert_eq!(file.load().unwrap(), Loaded::default());
        }
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let (_folder, file) = file();
        file.update(|_| ()).unwrap();
        File::options()
            .write(true)
            .open(&file.path)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert!(file.load().unwrap().notice.unwrap().contains("larger"));
    }

    #[test]
    fn instances_that_save_at_the_same_time_lose_nothing() {
        let (_folder, file) = file();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let file = file.clone();
                scope.spawn(move || {
                    for number in 0..10 {
                        let path = format!("/{writer}/{number}");
                        file.update(|settings| settings.models.push(path)).unwrap();
                    }
                });
            }
        });
        let loaded = file.load().unwrap();
        assert_eq!(loaded.notice, None);
        assert_eq!(loaded.settings.models.len(), 40);
        let left: Vec<_> = fs::read_dir(file.folder()).unwrap().collect();
        assert_eq!(
            left.len(),
            2,
            "only the settings and the lock stay: {left:?}"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let blocker = folder.path().join("config");
        fs::write(&blocker, "a file where the folder should be").unwrap();
        let error = SettingsFile::in_folder(&blocker)
            .update(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("config/settings.json"), "{error}");
    }
}
