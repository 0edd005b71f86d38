//! Quantized safetensors that are damaged or lie: each is refused with what is
//! wrong, before or while its weights are read, and nothing panics.

mod support;

use std::path::Path;

use moestro_engine::{Cancel, Engine, LoadOptions, Precision, hardware};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A quantized checkpoint with its own copies of the files.
struct Damaged(TempDir);

const SHARD: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const EXPERT: &str = "model.layers.1.mlp.experts.3.down_proj";
const OUT: &str = "model.layers.0.linear_attn.out_proj";

impl Damaged {
    fn new(name: &str) -> Damaged {
        let folder = support::packed(name);
        for file in ["config.json", SHARD] {
            let path = folder.path().join(file);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        Damaged(folder)
    }

    fn json(self, file: &str, change: impl FnOnce(&mut Value)) -> Damaged {
        let path = self.0.path().join(file);
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(path, value.to_string()).unwrap();
        self
    }

    fn config(self, change: impl FnOnce(&mut Value)) -> Damaged {
        self.json("config.json", |c| change(&mut c["quantization_config"]))
    }

    /// Changes the header of the shard and its data, padded to the old length.
    fn shard(self, change: impl FnOnce(&mut Value, &mut [u8])) -> Damaged {
        let path = self.0.path().join(SHARD);
        let bytes = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let mut data = bytes[8 + length..].to_vec();
        change(&mut header, &mut data);
        let header = header.to_string();
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&path, [&length, header.as_bytes(), &data].concat()).unwrap();
        self
    }

    /// Under another name, in the index too.
    fn renamed(self, from: &str, to: &str) -> Damaged {
        let (from, to) = (from.to_string(), to.to_string());
        let renamed = self.shard(|header, _| {
            let entry = header.as_object_mut().unwrap().remove(&from).expect(&from);
            header[&to] = entry;
        });
        renamed.json(INDEX, |index| {
            let map = index["weight_map"].as_object_mut().unwrap();
            let shard = map.remove(&from).unwrap();
            map.insert(to.clone(), shard);
        })
    }

    fn without(self, tensor: &str) -> Damaged {
        self.renamed(tensor, "mtp.elsewhere")
    }

    fn entry(self, tensor: &str, key: &str, value: Value) -> Damaged {
        self.shard(|header, _| header[tensor][key] = value)
    }

    /// Writes over the bytes of a tensor.
    fn bytes(self, tensor: &str, at: usize, new: &[u8]) -> Damaged {
        self.shard(|header, data| {
            let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
            data[start + at..][..new.len()].copy_from_slice(new);
        })
    }

    fn error(&self) -> Option<String> {
        load(self.0.path()).err()
    }
}

/// Loads a model and asks it for a token, so that experts are read as well.
fn load(path: &Path) -> Result<(), String> {
    let options = LoadOptions {
        threads: Some(1),
        precision: Precision::Stored,
        ..LoadOptions::default()
    };
    let cancel = Cancel::new();
    let hardware = hardware::probe();
    let mut engine = Engine::load(path, &options, hardware, &cancel, &mut |_, _, _| {})
        .map_err(|e| e.to_string())?;
    let tokens: Vec<u32> = (5..45).collect();
    let logits = engine.each_logits(&tokens, &cancel, &mut |_, _| Ok(()));
    logits.map_err(|e| e.failure().message)
}

#[test]
fn each_damage_has_its_own_error() {
    let of = |part: &str| format!("{EXPERT}.{part}");
    let nf4 = || Damaged::new("bnb-nf4");
    let gptq = || Damaged::new("gptq-int4");
    let cases: Vec<(&str, Damaged, &[&str])> = vec![
        (
            "no absmax",
            nf4().without(&of("weight.absmax")),
            &["absmax", "missing"],
        ),
        (
            "no nested scales",
            nf4().without(&of("weight.nested_absmax")),
            &["nested_absmax", "missing"],
        ),
        (
            "no quant_state",
            nf4().without(&of("weight.quant_state.bitsandbytes__nf4")),
            &["quant_state", "missing"],
        ),
        (
            "absmax as floats",
            nf4()
                .entry(&of("weight.absmax"), "dtype", json!("BF16"))
                .entry(&of("weight.absmax"), "shape", json!([24])),
            &["absmax", "BF16", "U8 or F32"],
        ),
        (
            "state that is no JSON",
            nf4().bytes(
                &format!("{OUT}.weight.quant_state.bitsandbytes__nf4"),
                0,
                b"!",
            ),
            &["quant_state is not JSON", OUT],
        ),
        (
            "another table",
            nf4().bytes(&format!("{OUT}.weight.quant_map"), 8, &[0; 4]),
            &["quant_map is not that of nf4"],
        ),
        (
            "codes cut short",
            nf4().shard(|header, _| {
                header[format!("{OUT}.weight")]["shape"] = json!([2, 1]);
            }),
            &["takes 2 bytes"],
        ),
        (
            "8 bits",
            nf4().config(|c| c["load_in_8bit"] = json!(true)),
            &["bitsandbytes", "8 bits", "GPTQ"],
        ),
        (
            "an unknown method",
            nf4().config(|c| c["quant_method"] = json!("exl9")),
            &["exl9", "bitsandbytes", "AWQ", "compressed-tensors"],
        ),
        (
            "no scales",
            gptq().without(&of("scales")),
            &["scales", "missing"],
        ),
        (
            "no zero points",
            gptq().without(&of("qzeros")),
            &["qzeros", "missing"],
        ),
        (
            "wrong group size",
            gptq().config(|c| c["group_size"] = json!(16)),
            &["groups of 8", "16"],
        ),
        (
            "wrong bits",
            gptq().config(|c| c["bits"] = json!(8)),
            &["4 bits", "says 8"],
        ),
        (
            "unknown bits",
            gptq().config(|c| c["bits"] = json!(3)),
            &["3 bits"],
        ),
        (
            "columns of no group",
            gptq().bytes(&format!("{OUT}.g_idx"), 4, &77u32.to_le_bytes()),
            &["column 1", "group 77"],
        ),
        (
            "an order nobody announced",
            gptq().bytes(&format!("{OUT}.g_idx"), 4, &3u32.to_le_bytes()),
            &["column 1", "desc_act"],
        ),
        (
            "FP8 without scales",
            Damaged::new("fp8-block").without(&of("weight_scale_inv")),
            &["weight_scale_inv", "missing"],
        ),
        (
            "FP8 that says it is something else",
            Damaged::new("fp8-block").entry(&of("weight"), "dtype", json!("F8_E5M2")),
            &["F8_E5M2"],
        ),
        (
            "FP8 values that are no numbers",
            Damaged::new("fp8-block").bytes(&format!("{EXPERT}.weight"), 17, &[0x7f]),
            &["not numbers", EXPERT],
        ),
        (
            "FP8 blocks of another size",
            Damaged::new("fp8-block").config(|c| c["weight_block_size"] = json!([16, 16])),
            &["blocks of [16, 16]"],
        ),
        (
            "too few scales per channel",
            Damaged::new("ct-fp8-channel").shard(|header, _| {
                let scales = &mut header[format!("{EXPERT}.weight_scale")];
                scales["shape"] = json!([32, 2]);
                scales["dtype"] = json!("BF16");
            }),
            &[],
        ),
        (
            "another shape inside",
            Damaged::new("ct-int4-sym").bytes(&format!("{OUT}.weight_shape"), 0, &[9]),
            &["weight_shape is 9"],
        ),
        (
            "no shape",
            Damaged::new("ct-int4-sym").without(&of("weight_shape")),
            &["weight_shape", "missing"],
        ),
        (
            "a format of compressed-tensors that is not read",
            Damaged::new("ct-int4-sym").config(|c| c["format"] = json!("marlin-24")),
            &["compressed-tensors", "marlin-24"],
        ),
        (
            "AWQ without zero points",
            Damaged::new("awq-int4").without(&of("qzeros")),
            &["qzeros"],
        ),
        (
            "AWQ of another kernel",
            Damaged::new("awq-int4").config(|c| c["version"] = json!("gemv")),
            &["awq", "gemv"],
        ),
        (
            "an index that points outside",
            gptq().json(INDEX, |index| {
                index["weight_map"][of("scales")] = json!("../../etc/passwd.safetensors");
            }),
            &["../../etc/passwd", "plain name"],
        ),
        (
            "a lost shard",
            {
                let gptq = gptq();
                std::fs::remove_file(gptq.0.path().join(SHARD)).unwrap();
                gptq
            },
            &[SHARD, "missing"],
        ),
    ];
    let mut refused = 0;
    for (case, damaged, expected) in &cases {
        let error = damaged.error();
        println!("{case}: {error:?}");
        if expected.is_empty() {
            // The same bytes in another shape mean the same.
            assert_eq!(error, None, "{case}");
            continue;
        }
        let error = error.unwrap_or_else(|| panic!("{case}: was accepted"));
        for text in *expected {
            assert!(error.contains(text), "{case}: no {text:?} in: {error}");
        }
        refused += 1;
    }
    assert!(refused >= 20);
    for name in support::packed_fixtures() {
        assert_eq!(Damaged::new(&name).error(), None, "{name} is whole");
    }
}
