//! The kernels by name: three products of each format, for one, up to four and up to
//! sixteen activation rows, and its rows as floats.

use moestro_kernels::Format;

/// How the activations of a format's products are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rounded to bytes.
    Integers,
    /// Single precision; weights in tiles.
    Tiles,
    /// Single precision; weights row after row.
    Floats,
}

/// The kernels of a format.
pub(crate) struct Products {
    pub(crate) kind: Kind,
    /// For one row, up to four, and up to sixteen.
    pub(crate) matmul: [&'static str; 3],
    pub(crate) rows: &'static str,
}

/// Activation rows of each of [`Products::matmul`].
pub(crate) const TOGETHER: [usize; 3] = [1, 4, 16];

macro_rules! products {
    ($($format:ident $kind:ident $name:literal;)*) => {
        /// The kernels of a format.
        pub(crate) fn of(format: Format) -> &'static Products {
            match format {
                $(Format::$format => &Products {
                    kind: Kind::$kind,
                    matmul: [
                        concat!("matmul_", $name, "_1"),
                        concat!("matmul_", $name, "_4"),
                        concat!("matmul_", $name, "_16"),
                    ],
                    rows: concat!("rows_", $name),
                },)*
            }
        }
    };
}

products! {
    F32 Floats "f32";
    F16 Floats "f16";
    BF16 Floats "bf16";
    FP8 Tiles "fp8";
    Q4_0 Integers "q4_0";
    Q4_1 Integers "q4_1";
    Q5_0 Integers "q5_0";
    Q5_1 Integers "q5_1";
    Q8_0 Integers "q8_0";
    Q2K Integers "q2_k";
    Q3K Integers "q3_k";
    Q4K Integers "q4_k";
    Q5K Integers "q5_k";
    Q6K Integers "q6_k";
    IQ4NL Integers "iq4_nl";
    IQ4XS Integers "iq4_xs";
    MXFP4 Integers "mxfp4";
    NF4 Integers "nf4";
    FP4 Integers "fp4";
    INT4_128 Integers "int4_128";
    INT4_64 Integers "int4_64";
    INT4_32 Integers "int4_32";
    INT8_128 Integers "int8_128";
    INT8_32 Integers "int8_32";
}

/// All others.
const OTHERS: &[&str] = &[
    "quantize",
    "norm_wide",
    "norm_narrow",
    "add",
    "sigmoid_gate",
    "silu_mul",
    "split_gate",
    "add_experts",
    "select_rows",
    "order_columns",
    "rope",
    "attention_f16_4",
    "attention_f16_8",
    "attention_f32_4",
    "attention_f32_8",
    "attention_merge",
    "append_f16",
    "append_f32",
    "causal_conv_silu",
    "delta_rule_32",
    "delta_rule_64",
    "router_topk",
];

/// Every kernel.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    let products = Format::all().iter().map(|format| of(*format));
    let products = products.flat_map(|p| p.matmul.iter().chain([&p.rows]));
    products.chain(OTHERS).copied()
}
