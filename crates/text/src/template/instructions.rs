//! Compiles a template so that everything it does is charged.
//!
//! minijinja counts instructions but not what one of them copies: `a ~ a` costs
//! the same for three bytes and for a gigabyte. Before each instruction that
//! copies or compares values, a call is placed that charges its operands and puts
//! them back. All output goes through the environment's formatter, which charges
//! it. What no chat template needs and no charge covers is refused.

use minijinja::Value;
use minijinja::machinery::{CodeGenerator, Instruction, Instructions, parse};

use super::charge::{
    CHARGE_ADD, CHARGE_COMPARE, CHARGE_CONCAT, CHARGE_ITEM, CHARGE_MUL, CHARGE_SLICE,
};
use super::source::syntax;
use crate::error::{Result, TextError};

const NAME: &str = "chat template";

pub fn compile(source: &str) -> Result<Instructions<'_>> {
    let tree =
        parse(source, NAME, syntax()).map_err(|e| TextError::TemplateSyntax(e.to_string()))?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    let (plain, blocks) = generator.finish();
    match blocks.keys().next() {
        Some(name) => Err(not_offered(format!("it has a block '{name}'"))),
        None => charged(&plain, source),
    }
}

fn charged<'s>(plain: &Instructions<'s>, source: &'s str) -> Result<Instructions<'s>> {
    let mut steps: Vec<(Vec<Instruction<'s>>, u16)> = Vec::new();
    while let Some(instruction) = plain.get(steps.len() as u32) {
        let line = plain.get_line(steps.len() as u32).unwrap_or(0);
        let step =
            expand(instruction).map_err(|what| not_offered(format!("line {line} uses {what}")))?;
        steps.push((step, line.min(u16::MAX as usize) as u16));
    }
    // Where each old instruction begins now; one more for jumps to the end.
    let mut starts = vec![0u32];
    for (step, _) in &steps {
        starts.push(starts[starts.len() - 1] + step.len() as u32);
    }
    let mut result = Instructions::new(NAME, source);
    for (step, line) in steps {
        for mut instruction in step {
            if let Some(target) = jump_target(&mut instruction) {
                *target = starts.get(*target as usize).copied().unwrap_or(u32::MAX);
            }
            result.add_with_line(instruction, line);
        }
    }
    Ok(result)
}

/// The instructions that stand for one, or the name of what is refused.
fn expand<'s>(instruction: &Instruction<'s>) -> Result<Vec<Instruction<'s>>, &'static str> {
    use Instruction as I;
    let charge = |name: &'static str, operands: u16| {
        vec![
            I::CallFunction(name, Some(operands)),
            I::UnpackList(operands as usize),
            instruction.clone(),
        ]
    };
    Ok(match instruction {
        I::EmitRaw(text) => vec![I::LoadConst(Value::from(*text)), I::Emit],
        I::Add => charge(CHARGE_ADD, 2),
        I::Mul => charge(CHARGE_MUL, 2),
        I::StringConcat => charge(CHARGE_CONCAT, 2),
        I::Eq | I::Ne | I::Gt | I::Gte | I::Lt | I::Lte | I::In | I::CompareAndPreserve(_) => {
            charge(CHARGE_COMPARE, 2)
        }
        I::GetItem => charge(CHARGE_ITEM, 2),
        I::Slice => charge(CHARGE_SLICE, 4),
        I::UnpackLists(_) => return Err("*arguments"),
        I::MergeKwargs(_) => return Err("**arguments"),
        I::PushAutoEscape | I::PopAutoEscape => return Err("autoescape"),
        I::Include(_) | I::ExportLocals | I::LoadBlocks => {
            return Err("include, import or extends");
        }
        I::CallBlock(_) | I::FastSuper => return Err("blocks"),
        other => vec![other.clone()],
    })
}

fn not_offered(what: String) -> TextError {
    TextError::TemplateSyntax(format!("{what}, which chat templates are not offered"))
}

fn jump_target<'a>(instruction: &'a mut Instruction<'_>) -> Option<&'a mut u32> {
    use Instruction as I;
    match instruction {
        I::Jump(target)
        | I::JumpIfFalse(target)
        | I::JumpIfFalseOrPop(target)
        | I::JumpIfTrueOrPop(target)
        | I::Iterate(target)
        | I::BuildMacro(_, target, _) => Some(target),
        _ => None,
    }
}
