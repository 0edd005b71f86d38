//! The tensors and metadata of synthetic models with the dimensions of real ones.

use moestro_checkpoint::{GgufTensor, GgufValue};
use moestro_kernels::Format;

use super::{Like, Quant, Synthesize};

/// What a synthetic file will hold.
pub struct Recipe {
    pub metadata: Vec<(&'static str, GgufValue)>,
    pub tensors: Vec<GgufTensor>,
    pub vocabulary: usize,
}

impl Recipe {
    /// The value of a key of the architecture's own, without its prefix.
    pub fn value(&self, key: &str) -> Option<&GgufValue> {
        let own = |name: &str| name.split_once('.').is_some_and(|(_, rest)| rest == key);
        self.metadata
            .iter()
            .find(|(name, _)| own(name))
            .map(|(_, v)| v)
    }

    pub fn is_qwen3_next(&self) -> bool {
        self.value("ssm.conv_kernel").is_some()
    }
}

const VOCABULARY: usize = 151_936;
const HIDDEN: usize = 2048;

/// Qwen3-Next-80B-A3B or Qwen3-30B-A3B, cut as `a` says.
pub fn recipe(a: &Synthesize, quant: Quant) -> Recipe {
    let vocabulary = a.vocabulary.map_or(VOCABULARY, |n| n as usize);
    let r = Builder::new(quant, a.layers.unwrap_or(48), vocabulary);
    match a.like {
        Like::Qwen3Next80b => qwen3_next(r, a.experts.unwrap_or(512)),
        Like::Qwen3_30bA3b => qwen3_moe(r, a.experts.unwrap_or(128)),
    }
}

fn qwen3_next(mut r: Builder, experts: usize) -> Recipe {
    let (quant, layers) = (r.quant, r.layers);
    for i in 0..layers {
        r.layer = i;
        r.vector("attn_norm.weight", HIDDEN);
        r.vector("post_attention_norm.weight", HIDDEN);
        if (i + 1) % 4 == 0 {
            r.attention(16, 2, 256, 2);
        } else {
            r.matrix("attn_qkv.weight", quant.delta_input(), &[8192, HIDDEN]);
            r.matrix("attn_gate.weight", quant.mixer(), &[4096, HIDDEN]);
            r.matrix("ssm_ba.weight", quant.mixer(), &[64, HIDDEN]);
            r.matrix("ssm_conv1d.weight", Format::F32, &[8192, 4]);
            r.vector("ssm_dt.bias", 32);
            r.vector("ssm_a", 32);
            r.vector("ssm_norm.weight", 128);
            r.matrix("ssm_out.weight", quant.mixer(), &[HIDDEN, 4096]);
        }
        r.experts(experts, 512);
        r.vector("ffn_gate_inp_shexp.weight", HIDDEN);
        r.matrix("ffn_gate_shexp.weight", quant.mixer(), &[512, HIDDEN]);
        r.matrix("ffn_up_shexp.weight", quant.mixer(), &[512, HIDDEN]);
        r.matrix(
            "ffn_down_shexp.weight",
            quant.down(i, layers),
            &[HIDDEN, 512],
        );
    }
    let u = |v: usize| GgufValue::U32(v as u32);
    let metadata = vec![
        (
            "general.architecture",
            GgufValue::String("qwen3next".into()),
        ),
        ("qwen3next.block_count", u(layers)),
        ("qwen3next.context_length", u(262_144)),
        ("qwen3next.embedding_length", u(HIDDEN)),
        ("qwen3next.feed_forward_length", u(5120)),
        ("qwen3next.attention.head_count", u(16)),
        ("qwen3next.attention.head_count_kv", u(2)),
        ("qwen3next.attention.key_length", u(256)),
        ("qwen3next.attention.value_length", u(256)),
        (
            "qwen3next.attention.layer_norm_rms_epsilon",
            GgufValue::F32(1e-6),
        ),
        ("qwen3next.rope.freq_base", GgufValue::F32(1e7)),
        ("qwen3next.rope.dimension_count", u(64)),
        ("qwen3next.expert_count", u(experts)),
        ("qwen3next.expert_used_count", u(10.min(experts))),
        ("qwen3next.expert_feed_forward_length", u(512)),
        ("qwen3next.expert_shared_feed_forward_length", u(512)),
        ("qwen3next.ssm.conv_kernel", u(4)),
        ("qwen3next.ssm.state_size", u(128)),
        ("qwen3next.ssm.group_count", u(16)),
        ("qwen3next.ssm.time_step_rank", u(32)),
        ("qwen3next.ssm.inner_size", u(4096)),
        ("qwen3next.full_attention_interval", u(4)),
    ];
    r.finish("Synthetic Qwen3-Next", metadata)
}

fn qwen3_moe(mut r: Builder, experts: usize) -> Recipe {
    let layers = r.layers;
    for i in 0..layers {
        r.layer = i;
        r.vector("attn_norm.weight", HIDDEN);
        r.vector("ffn_norm.weight", HIDDEN);
        r.attention(32, 4, 128, 1);
        r.experts(experts, 768);
    }
    let u = |v: usize| GgufValue::U32(v as u32);
    let metadata = vec![
        ("general.architecture", GgufValue::String("qwen3moe".into())),
        ("qwen3moe.block_count", u(layers)),
        ("qwen3moe.context_length", u(262_144)),
        ("qwen3moe.embedding_length", u(HIDDEN)),
        ("qwen3moe.feed_forward_length", u(6144)),
        ("qwen3moe.attention.head_count", u(32)),
        ("qwen3moe.attention.head_count_kv", u(4)),
        ("qwen3moe.attention.key_length", u(128)),
        ("qwen3moe.attention.value_length", u(128)),
        (
            "qwen3moe.attention.layer_norm_rms_epsilon",
            GgufValue::F32(1e-6),
        ),
        ("qwen3moe.rope.freq_base", GgufValue::F32(1e6)),
        ("qwen3moe.expert_count", u(experts)),
        ("qwen3moe.expert_used_count", u(8.min(experts))),
        ("qwen3moe.expert_feed_forward_length", u(768)),
    ];
    r.finish("Synthetic Qwen3-MoE", metadata)
}

/// Collects tensors layer by layer.
struct Builder {
    quant: Quant,
    layers: usize,
    layer: usize,
    vocabulary: usize,
    tensors: Vec<GgufTensor>,
}

impl Builder {
    fn new(quant: Quant, layers: usize, vocabulary: usize) -> Builder {
        let mut r = Builder {
            quant,
            layers,
            layer: 0,
            vocabulary,
            tensors: Vec::new(),
        };
        r.push(
            "token_embd.weight".into(),
            quant.mixer(),
            &[vocabulary, HIDDEN],
        );
        r.push("output.weight".into(), quant.head(), &[vocabulary, HIDDEN]);
        r.push("output_norm.weight".into(), Format::F32, &[HIDDEN]);
        r
    }

    fn push(&mut self, name: String, format: Format, shape: &[usize]) {
        self.tensors.push(GgufTensor {
            name,
            format,
            shape: shape.to_vec(),
        });
    }

    fn vector(&mut self, name: &str, len: usize) {
        self.push(format!("blk.{}.{name}", self.layer), Format::F32, &[len]);
    }

    fn matrix(&mut self, name: &str, format: Format, shape: &[usize]) {
        self.push(format!("blk.{}.{name}", self.layer), format, shape);
    }

    /// `per_head`: 2 if the query projection also yields a gate.
    fn attention(&mut self, heads: usize, kv_heads: usize, dim: usize, per_head: usize) {
        let q = self.quant;
        self.matrix(
            "attn_q.weight",
            q.mixer(),
            &[heads * dim * per_head, HIDDEN],
        );
        self.matrix("attn_k.weight", q.mixer(), &[kv_heads * dim, HIDDEN]);
        self.matrix(
            "attn_v.weight",
            q.value(self.layer, self.layers),
            &[kv_heads * dim, HIDDEN],
        );
        self.matrix("attn_output.weight", q.mixer(), &[HIDDEN, heads * dim]);
        self.vector("attn_q_norm.weight", dim);
        self.vector("attn_k_norm.weight", dim);
    }

    fn experts(&mut self, experts: usize, inner: usize) {
        let q = self.quant;
        self.matrix("ffn_gate_inp.weight", Format::F32, &[experts, HIDDEN]);
        self.matrix("ffn_gate_exps.weight", q.mixer(), &[experts, inner, HIDDEN]);
        self.matrix("ffn_up_exps.weight", q.mixer(), &[experts, inner, HIDDEN]);
        let down = q.down(self.layer, self.layers);
        self.matrix("ffn_down_exps.weight", down, &[experts, HIDDEN, inner]);
    }

    fn finish(self, name: &str, mut metadata: Vec<(&'static str, GgufValue)>) -> Recipe {
        let name = format!("{name}, {} layers", self.layers);
        metadata.push(("general.name", GgufValue::String(name)));
        metadata.push(("general.quantization_version", GgufValue::U32(2)));
        Recipe {
            metadata,
            tensors: self.tensors,
            vocabulary: self.vocabulary,
        }
    }
}
