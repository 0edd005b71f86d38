//! The tensors a blueprint needs, by their Hugging Face names, with shape and
//! component. Experts are listed apart, because they are not read at load.

use crate::blueprint::{Blueprint, FeedForward, Mixer};
use crate::protocol::Component;

/// One tensor of the model. A vector has a `shape` of one number.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Name after `in_proj_qkvz` and `in_proj_ba` have been taken apart.
    pub name: String,
    pub component: Component,
    /// `[rows, cols]` or `[len]`.
    pub shape: Vec<usize>,
}

/// Every tensor except the routed experts.
pub fn needs(b: &Blueprint) -> Vec<Need> {
    let mut list = List::default();
    let h = b.hidden;
    list.add(
        "model.embed_tokens.weight",
        Component::Embeddings,
        &[b.vocabulary, h],
    );
    list.add("model.norm.weight", Component::Norms, &[h]);
    if !b.tied_head {
        list.add("lm_head.weight", Component::OutputHead, &[b.vocabulary, h]);
    }
    for (i, layer) in b.layers.iter().enumerate() {
        list.prefix = format!("model.layers.{i}.");
        list.add("input_layernorm.weight", Component::Norms, &[h]);
        list.add("post_attention_layernorm.weight", Component::Norms, &[h]);
        match &layer.mixer {
            Mixer::Attention(a) => {
                let c = Component::Attention;
                list.add("self_attn.q_proj.weight", c, &[a.query_rows(), h]);
                list.add("self_attn.k_proj.weight", c, &[a.kv_rows(), h]);
                list.add("self_attn.v_proj.weight", c, &[a.kv_rows(), h]);
                list.add("self_attn.o_proj.weight", c, &[h, a.heads * a.head_dim]);
                list.add("self_attn.q_norm.weight", Component::Norms, &[a.head_dim]);
                list.add("self_attn.k_norm.weight", Component::Norms, &[a.head_dim]);
            }
            Mixer::DeltaNet(d) => {
                let c = Component::DeltaNet;
                list.add("linear_attn.in_proj_qkv.weight", c, &[d.conv_channels(), h]);
                list.add("linear_attn.in_proj_z.weight", c, &[d.value_width(), h]);
                list.add("linear_attn.in_proj_b.weight", c, &[d.value_heads, h]);
                list.add("linear_attn.in_proj_a.weight", c, &[d.value_heads, h]);
                list.add(
                    "linear_attn.conv1d.weight",
                    c,
                    &[d.conv_channels(), d.conv_kernel],
                );
                list.add("linear_attn.dt_bias", c, &[d.value_heads]);
                list.add("linear_attn.A_log", c, &[d.value_heads]);
                list.add("linear_attn.norm.weight", Component::Norms, &[d.value_dim]);
                list.add("linear_attn.out_proj.weight", c, &[h, d.value_width()]);
            }
        }
        match &layer.feed_forward {
            FeedForward::Dense { intermediate } => {
                list.swiglu("mlp.", Component::DenseMlp, *intermediate, h);
            }
            FeedForward::Experts(m) => {
                list.add("mlp.gate.weight", Component::Routers, &[m.experts, h]);
                if let Some(intermediate) = m.shared_intermediate {
                    let c = Component::SharedExperts;
                    list.add("mlp.shared_expert_gate.weight", c, &[1, h]);
                    list.swiglu("mlp.shared_expert.", c, intermediate, h);
                }
            }
        }
    }
    list.needs
}

#[derive(Default)]
struct List {
    prefix: String,
    needs: Vec<Need>,
}

impl List {
    fn add(&mut self, name: &str, component: Component, shape: &[usize]) {
        let name = format!("{}{name}", self.prefix);
        self.needs.push(Need {
            name,
            component,
            shape: shape.to_vec(),
        });
    }

    fn swiglu(&mut self, name: &str, c: Component, intermediate: usize, hidden: usize) {
        self.add(
            &format!("{name}gate_proj.weight"),
            c,
            &[intermediate, hidden],
        );
        self.add(&format!("{name}up_proj.weight"), c, &[intermediate, hidden]);
        self.add(
            &format!("{name}down_proj.weight"),
            c,
            &[hidden, intermediate],
        );
    }
}
