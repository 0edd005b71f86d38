//! What is checked and changed in a template's source before it is parsed.

use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::error::{Result, TextError};

/// Many times the longest published template (about 30 kB).
const MAX_SOURCE: usize = 512 << 10;

/// The parser and the compiler recurse along an expression.
const MAX_TOKENS_IN_TAG: usize = 2048;

/// A global with the value 1.
pub const ONE: &str = "moestro_one";

/// Transformers' settings: the line of a block tag leaves nothing in the output.
pub fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .unwrap_or_default()
}

/// Refuses a source that is too large to compile safely, and keeps the compiler
/// from multiplying: it evaluates constant expressions with limits far above
/// ours, so that `a * b` becomes `a * 1 * b` with a 1 it cannot know.
pub fn prepare(source: &str) -> Result<String> {
    if source.len() > MAX_SOURCE {
        return Err(TextError::TemplateSyntax(format!(
            "it has {} KiB; at most {} KiB are read",
            source.len() >> 10,
            MAX_SOURCE >> 10
        )));
    }
    let mut products: Vec<Range<usize>> = Vec::new();
    let mut tokens_in_tag = 0;
    for token in tokenize(source, false, syntax()) {
        let (token, span) = token.map_err(|e| TextError::TemplateSyntax(e.to_string()))?;
        tokens_in_tag += 1;
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => tokens_in_tag = 0,
            Token::Mul => products.push(span.start_offset as usize..span.end_offset as usize),
            _ => {}
        }
        if tokens_in_tag > MAX_TOKENS_IN_TAG {
            return Err(TextError::TemplateSyntax(format!(
                "line {} has an expression of more than {MAX_TOKENS_IN_TAG} parts",
                span.start_line
            )));
        }
    }
    let mut prepared = source.to_string();
    for product in products.into_iter().rev() {
        if prepared.get(product.clone()) != Some("*") {
            return Err(TextError::TemplateSyntax(
                "a multiplication was not found again".into(),
            ));
        }
        prepared.replace_range(product, &format!("* {ONE} *"));
    }
    Ok(prepared)
}
