//! The most that a checkpoint may ask of us before its weights are read. Every
//! limit is far above what real models have and keeps opening a file below
//! 512 MiB of memory and 2 seconds.

/// Bytes of a GGUF header, over all parts of a split file. A vocabulary of
/// 262,144 tokens with merges takes about 20 MiB.
pub(crate) const GGUF_HEADER: u64 = 64 << 20;
/// Metadata keys in one GGUF file; real ones have about 50.
pub(crate) const GGUF_KEYS: u64 = 1 << 16;
/// Bytes of one metadata key, set by the GGUF specification.
pub(crate) const GGUF_KEY_BYTES: u64 = (1 << 16) - 1;
/// Bytes of one tensor name in a GGUF, set by the GGUF specification.
pub(crate) const GGUF_NAME_BYTES: u64 = 64;
/// Greatest `general.alignment`; 32 is usual.
pub(crate) const GGUF_ALIGNMENT: u32 = 1 << 21;
/// Arrays within arrays in GGUF metadata; real files have none.
pub(crate) const GGUF_NESTING: u32 = 4;

/// Tensors of a checkpoint. Qwen3-Next-80B packed by bitsandbytes has 445,000.
pub(crate) const TENSORS: u64 = 1 << 20;
/// Files of a checkpoint; all of them stay open. The largest have about 160.
pub(crate) const FILES: usize = 512;

/// Bytes of the safetensors headers and their index, each counted over all
/// shards. The 445,000 tensors above take 54 MB.
pub(crate) const HUB_HEADER: u64 = 80_000_000;
/// Bytes of a tensor name in safetensors.
pub(crate) const HUB_NAME_BYTES: usize = 1024;
/// Bytes of a file's name, as Linux allows.
pub(crate) const FILE_NAME_BYTES: usize = 255;
/// Dimensions of a tensor in safetensors.
pub(crate) const HUB_DIMENSIONS: usize = 8;

/// Bytes of the small JSON files. Parsed JSON can take 80 times its text, so
/// these bounds are the tightest.
pub(crate) const CONFIG_JSON: u64 = 1 << 20;
pub(crate) const GENERATION_CONFIG_JSON: u64 = 64 << 10;
pub(crate) const TOKENIZER_CONFIG_JSON: u64 = 2 << 20;
pub(crate) const CHAT_TEMPLATE: u64 = 512 << 10;
/// Bytes of tokenizer.json; the largest published are about 35 MB.
pub(crate) const TOKENIZER_JSON: u64 = 64 << 20;
