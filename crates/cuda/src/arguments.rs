//! The structures that kernels take, one each, by value: those of
//! `kernels/arguments.cuh`.

use crate::driver::Address;

/// What a kernel takes.
///
/// # Safety
/// Every kernel that is launched with it takes a structure of the same size.
pub(crate) unsafe trait Arguments: Copy {}

macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident $size:literal { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Default)]
            pub(crate) struct $name {
                $(pub(crate) $field: $type,)*
            }

            const _: () = assert!(size_of::<$name>() == $size, "as in arguments.cuh");

            // SAFETY: the same size is asserted where the kernels are compiled.
            unsafe impl Arguments for $name {}
        )*
    };
}

/// Pieces, or rows of experts' outputs, that travel with a launch.
pub(crate) const FEW: usize = 16;

arguments! {
    /// Rows of one matrix product.
    Piece 56 {
        weights: Address,
        x: Address,
        about: Address,
        tokens: Address,
        out: Address,
        rows: u32,
        first: u32,
        count: u32,
        unused: u32,
    }
    /// Products of equal format and width.
    Work 912 {
        table: Address,
        cols: u32,
        unused: u32,
        few: [Piece; FEW],
    }
    Quantize 56 {
        x: Address,
        up: Address,
        order: Address,
        floats: Address,
        q: Address,
        about: Address,
        rows: u32,
        cols: u32,
    }
    Rows 32 {
        weights: Address,
        ids: Address,
        out: Address,
        rows: u32,
        cols: u32,
    }
    Norm 72 {
        x: Address,
        plus: Address,
        gate: Address,
        weight: Address,
        out: Address,
        q: Address,
        about: Address,
        rows: u32,
        width: u32,
        eps: f32,
        unused: u32,
    }
    Elements 56 {
        a: Address,
        b: Address,
        c: Address,
        out: Address,
        rows: Address,
        len: u32,
        width: u32,
        each: u32,
        limit: u32,
    }
    Mix 128 {
        x: Address,
        outputs: Address,
        weights: Address,
        shared: Address,
        gate: Address,
        rows: Address,
        len: u32,
        width: u32,
        each: u32,
        limit: u32,
        few: [u32; FEW],
    }
    Rope 40 {
        x: Address,
        table: Address,
        first_row: u32,
        rows: u32,
        heads: u32,
        dim: u32,
        half: u32,
        first_position: u32,
    }
    Append 40 {
        blocks: Address,
        k: Address,
        v: Address,
        first_row: u32,
        rows: u32,
        width: u32,
        first_position: u32,
    }
    Attention 64 {
        blocks: Address,
        q: Address,
        out: Address,
        partial: Address,
        first_row: u32,
        rows: u32,
        nq: u32,
        nkv: u32,
        d: u32,
        first_position: u32,
        parts: u32,
        scale: f32,
    }
    Conv 48 {
        x: Address,
        weight: Address,
        state: Address,
        out: Address,
        first_row: u32,
        rows: u32,
        channels: u32,
        taps: u32,
    }
    Delta 80 {
        qkv: Address,
        a: Address,
        b: Address,
        a_log: Address,
        dt_bias: Address,
        state: Address,
        out: Address,
        first_row: u32,
        rows: u32,
        key_heads: u32,
        value_heads: u32,
        key_dim: u32,
        value_dim: u32,
    }
    Router 40 {
        logits: Address,
        ids: Address,
        weights: Address,
        experts: u32,
        chosen: u32,
        normalise: u32,
        unused: u32,
    }
}
