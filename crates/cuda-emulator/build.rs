//! Compiles the stand-in libraries with g++: the runtime, the kernels of
//! `crates/cuda/kernels` and those of this crate's own tests. Kernels are found in
//! the preprocessed text, so macros may make them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let folders = [here.join("../cuda/kernels"), here.join("tests/kernels")];
    let own = [here.join("runtime"), here.join("device")];
    for folder in own.iter().chain(&folders) {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let mut units = Vec::new();
    for source in files(&here.join("runtime"), "cpp") {
        let flags = ["-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"];
        units.push(Unit::new(source, &out, &flags));
    }
    let include = format!("-I{}", here.join("device").display());
    let mut flags = vec![
        include.as_str(),
        "-fvisibility=hidden",
        // As CUDA compilers see it, except that products are not fused with sums.
        "-fno-strict-aliasing",
        "-ffp-contract=off",
        // What is an error on a GPU, or not defined there; see runtime/fault.cpp.
        "-fsanitize=alignment,bounds,shift-exponent,integer-divide-by-zero",
        "-Wno-unknown-pragmas",
    ];
    flags.extend(vector_flags());
    for file in folders.iter().flat_map(|folder| files(folder, "cu")) {
        units.push(Unit::new(registering(&file, &out), &out, &flags));
    }
    let mut objects = compile(units);

    let folder = out.join("driver");
    fs::create_dir_all(&folder).unwrap();
    let nvml = objects
        .iter()
        .position(|object| object.ends_with("nvml.o"))
        .unwrap();
    let nvml = objects.remove(nvml);
    let driver = folder.join("libcuda.so.1");
    link(&driver, &objects);
    link(&folder.join("libnvidia-ml.so.1"), &[nvml, driver]);
    println!(
        "cargo::rustc-env=EMULATED_DRIVER_FOLDER={}",
        folder.display()
    );
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Files of a folder with this ending, by name; none if there is no such folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}

/// What makes conversions and `fmaf` fast, where the processor has it.
fn vector_flags() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        return vec!["-mavx2", "-mfma", "-mf16c"];
    }
    Vec::new()
}

fn gxx() -> Command {
    let mut command = Command::new(std::env::var("CXX").unwrap_or("g++".into()));
    command.arg("-std=c++17");
    command
}

const MISSING: &str =
    "g++ is needed to test the GPU code without a GPU: apt-get install build-essential";

/// One translation unit.
struct Unit {
    source: PathBuf,
    object: PathBuf,
    flags: Vec<String>,
}

impl Unit {
    fn new(source: PathBuf, out: &Path, flags: &[&str]) -> Unit {
        let object = out.join(source.file_name().unwrap()).with_extension("o");
        Unit {
            source,
            object,
            flags: flags.iter().map(|flag| flag.to_string()).collect(),
        }
    }

    fn compile(&self) {
        let output = gxx()
            .args(["-c", "-O2", "-g1", "-fPIC"])
            .args(&self.flags)
            .arg(&self.source)
            .arg("-o")
            .arg(&self.object)
            .output()
            .expect(MISSING);
        assert!(
            output.status.success(),
            "g++ could not compile {}:\n{}",
            self.source.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Compiles all, some at a time; their objects.
fn compile(units: Vec<Unit>) -> Vec<PathBuf> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    unit.compile();
                }
            });
        }
    });
    units.into_iter().map(|unit| unit.object).collect()
}

fn link(library: &Path, objects: &[PathBuf]) {
    let name = library.file_name().unwrap().to_str().unwrap();
    let output = gxx()
        .args(["-shared", "-Wl,--no-undefined", "-Wl,-rpath,$ORIGIN"])
        .arg(format!("-Wl,-soname,{name}"))
        .args(objects)
        .args(["-ldl", "-lpthread"])
        .arg("-o")
        .arg(library)
        .output()
        .expect(MISSING);
    assert!(
        output.status.success(),
        "g++ could not link {name}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A file that registers the kernels of another one.
fn registering(file: &Path, out: &Path) -> PathBuf {
    // Without a name of its own, what a template has as `__shared__` could not stand
    // in one section with the others.
    let mut text = format!(
        "#include \"cuda_emulated.h\"\nnamespace {{\n#include \"{}\"\n",
        file.display()
    );
    for Kernel { name, most_threads } in kernels(&preprocessed(file, out)) {
        writeln!(
            text,
            "emulated::Kernel registered_{name}(\"{name}\", {most_threads}, \
             [](void **arguments) {{ return emulated::bind({name}, arguments); }});"
        )
        .unwrap();
    }
    text.push_str("}\n");
    let source = out.join(file.file_name().unwrap()).with_extension("cpp");
    fs::write(&source, text).unwrap();
    source
}

/// The text with its macros resolved, those of CUDA excepted.
fn preprocessed(file: &Path, out: &Path) -> String {
    let empty = out.join("empty");
    fs::create_dir_all(&empty).unwrap();
    fs::write(empty.join("cuda_fp16.h"), "").unwrap();
    let output = gxx()
        .args(["-E", "-P", "-x", "c++"])
        .arg(format!("-I{}", empty.display()))
        .arg(file)
        .output()
        .expect(MISSING);
    assert!(
        output.status.success(),
        "g++ could not read {}:\n{}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

struct Kernel {
    name: String,
    /// From `__launch_bounds__`; 0 without.
    most_threads: String,
}

/// Definitions like `__global__ void __launch_bounds__(256) name(`.
fn kernels(text: &str) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for part in text.split("__global__").skip(1) {
        let mut part = part.trim_start();
        let mut most_threads = "0".to_owned();
        loop {
            if let Some(rest) = part.strip_prefix("void") {
                part = rest.trim_start();
            } else if let Some(rest) = part.strip_prefix("__launch_bounds__") {
                let open = rest.find('(').expect("bounds in parentheses") + 1;
                let mut depth = 1;
                let close = rest[open..]
                    .find(|character| {
                        depth += i32::from(character == '(') - i32::from(character == ')');
                        depth == 0
                    })
                    .expect("bounds in parentheses");
                let bounds = &rest[open..open + close];
                most_threads = bounds.split(',').next().unwrap().trim().to_owned();
                part = rest[open + close + 1..].trim_start();
            } else {
                break;
            }
        }
        let name: String = part
            .chars()
            .take_while(|character| character.is_alphanumeric() || *character == '_')
            .collect();
        let known = kernels.iter().any(|kernel: &Kernel| kernel.name == name);
        if !name.is_empty() && !known {
            kernels.push(Kernel { name, most_threads });
        }
    }
    kernels
}
