//! The shape of a model as data: which layers it stacks and how large they are.
//! Architectures produce it, layers are built from it, placement is computed from it.

/// A whole model. All dimensions are in elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    /// Name of the architecture, as in config.json's `model_type`.
    pub architecture: &'static str,
    pub vocabulary: usize,
    pub hidden: usize,
    pub layers: Vec<LayerShape>,
    /// Added to the mean square in every RMSNorm.
    pub norm_eps: f32,
    /// Norm weights are stored around zero in a Hugging Face folder (`x * (1 + w)`);
    /// GGUF files already hold `1 + w`.
    pub zero_centred_norms: bool,
    /// The output head is the embedding matrix.
    pub tied_head: bool,
    /// Longest context in tokens.
    pub max_context: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LayerShape {
    pub mixer: Mixer,
    pub feed_forward: FeedForward,
}

/// How a layer mixes information between positions.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixer {
    Attention(AttentionShape),
    DeltaNet(DeltaNetShape),
}

/// Grouped-query softmax attention with per-head q/k norms.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionShape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Leading dimensions of each head that are rotated.
    pub rotary_dims: usize,
    pub rope_theta: f64,
    /// `q_proj` also yields an output gate, interleaved per head (Qwen3-Next).
    pub gated: bool,
}

/// Gated DeltaNet, arXiv 2412.06464, with Qwen3-Next's shared query/key heads.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaNetShape {
    pub key_heads: usize,
    pub value_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    /// Taps of the causal convolution.
    pub conv_kernel: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FeedForward {
    Dense { intermediate: usize },
    Experts(MoeShape),
}

#[derive(Debug, Clone, PartialEq)]
pub struct MoeShape {
    pub experts: usize,
    pub experts_per_token: usize,
    pub intermediate: usize,
    /// Chosen probabilities are scaled to sum to one.
    pub normalise: bool,
    /// Intermediate size of the expert that every token uses.
    pub shared_intermediate: Option<usize>,
}

impl Blueprint {
    /// Layers that route to experts, as (layer number, shape).
    pub fn moe_layers(&self) -> impl Iterator<Item = (usize, &MoeShape)> {
        self.layers
            .iter()
            .enumerate()
            .filter_map(|(i, l)| match &l.feed_forward {
                FeedForward::Experts(m) => Some((i, m)),
                FeedForward::Dense { .. } => None,
            })
    }

    /// Elements of keys plus values that one token of context adds.
    pub fn kv_elements_per_token(&self) -> usize {
        self.layers
            .iter()
            .map(|l| match &l.mixer {
                Mixer::Attention(a) => 2 * a.kv_heads * a.head_dim,
                Mixer::DeltaNet(_) => 0,
            })
            .sum()
    }

    /// f32 elements of recurrent and convolution state, independent of the context.
    pub fn recurrent_elements(&self) -> usize {
        self.layers
            .iter()
            .map(|l| match &l.mixer {
                Mixer::Attention(_) => 0,
                Mixer::DeltaNet(d) => d.state_elements() + d.conv_elements(),
            })
            .sum()
    }
}

impl AttentionShape {
    /// Rows of `q_proj`.
    pub fn query_rows(&self) -> usize {
        self.heads * self.head_dim * if self.gated { 2 } else { 1 }
    }

    /// Rows of `k_proj` and of `v_proj`.
    pub fn kv_rows(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

impl DeltaNetShape {
    pub fn key_width(&self) -> usize {
        self.key_heads * self.key_dim
    }

    pub fn value_width(&self) -> usize {
        self.value_heads * self.value_dim
    }

    /// Channels that go through the convolution: all q, all k, all v.
    pub fn conv_channels(&self) -> usize {
        2 * self.key_width() + self.value_width()
    }

    pub fn state_elements(&self) -> usize {
        self.value_heads * self.key_dim * self.value_dim
    }

    pub fn conv_elements(&self) -> usize {
        self.conv_channels() * (self.conv_kernel - 1)
    }
}
