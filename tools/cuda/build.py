"""Compiles the GPU kernels, crates/cuda/kernels, into target/cuda. Needs no GPU.

The compiler, NVRTC, comes from PyPI, pinned by version and checksum. Each .cu becomes
machine code for every generation of GPU and PTX for those to come. What has not
changed since is not compiled again.

    python3 tools/cuda/build.py

Writes target/cuda/images.txt, a line for each image: compute capability (0: PTX) and
file name; and target/cuda/sources, what they were made of. crates/cuda/build.rs reads
both.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "crates/cuda/kernels"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
OUT = ROOT / "target/cuda"
IMAGES = OUT / "images"

# Turing, Ampere and Ada (code for 8.0 runs on 8.6 and 8.9), Hopper; 0 is PTX, for
# whatever is newer.
CAPABILITIES = [75, 80, 90, 0]
OPTIONS = [
    "--std=c++17",
    # Only what is written as fused is: the results are those of the emulated GPU,
    # and do not depend on which kernel a product is in.
    "--fmad=false",
    "--device-as-default-execution-space",
]


class BuildError(Exception):
    """A message for the person who builds."""


def toolkit() -> Path:
    """The folder with NVRTC, fetched if it is not there."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = OUT / f"toolkit-{wanted}"
    if folder.exists():
        return folder
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("toolkit-*"):
        shutil.rmtree(old)
    print("Fetching NVIDIA's compiler from PyPI (24 MB)", flush=True)
    # Debian's Python has pip only in virtual environments.
    python = OUT / "python"
    run([sys.executable, "-m", "venv", "--clear", python], "is python3-venv installed?")
    unfinished = OUT / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [python / "bin/python", "-m", "pip", "--disable-pip-version-check", "install"]
    exact = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command = [*pip, *exact, "--target", unfinished, "-r", REQUIREMENTS]
    run(command, "PyPI must be reachable for the first build")
    unfinished.rename(folder)
    shutil.rmtree(python)
    return folder


def run(command: list, hint: str) -> None:
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{error}; {hint}") from error


class Compiler:
    """The functions of NVRTC that are needed here."""

    def __init__(self, folder: Path):
        libraries = folder / "nvidia/cuda_nvrtc/lib"
        # NVRTC looks for the other one by name.
        ctypes.CDLL(str(libraries / "libnvrtc-builtins.so.12.2"), ctypes.RTLD_GLOBAL)
        self.nvrtc = ctypes.CDLL(str(libraries / "libnvrtc.so.12"))
        self.includes = folder / "nvidia/cuda_runtime/include"

    def compile(self, source: Path, capability: int) -> bytes:
        """Machine code or, for capability 0, PTX that ends with a zero byte."""
        architecture = f"sm_{capability}" if capability else "compute_75"
        options = [f"--gpu-architecture={architecture}", *OPTIONS]
        options += [f"-I{KERNELS}", f"-I{self.includes}"]
        program = ctypes.c_void_p()
        text = source.read_bytes()
        name = source.name.encode()
        create = self.nvrtc.nvrtcCreateProgram
        check(create(ctypes.byref(program), text, name, 0, None, None), source.name)
        words = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        result = self.nvrtc.nvrtcCompileProgram(program, len(options), words)
        log = self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
        log = log.rstrip(b"\0").decode(errors="replace").strip()
        if result != 0:
            raise BuildError(f"{source.name} for {architecture}: {log}")
        if log:
            print(f"{source.name} for {architecture}: {log}", flush=True)
        kind = "CUBIN" if capability else "PTX"
        image = self.text(program, f"nvrtcGet{kind}Size", f"nvrtcGet{kind}")
        check(self.nvrtc.nvrtcDestroyProgram(ctypes.byref(program)), source.name)
        # Machine code would not have been linked; of PTX only the user's driver
        # would find out.
        missing = [] if capability else re.findall(rb"\.extern \.func[^;]*?(\w+)\s*\(", image)
        if missing:
            raise BuildError(f"{source.name}: NVRTC has no {missing[-1].decode()}")
        return image

    def text(self, program: ctypes.c_void_p, size: str, get: str) -> bytes:
        length = ctypes.c_size_t()
        check(getattr(self.nvrtc, size)(program, ctypes.byref(length)), size)
        buffer = ctypes.create_string_buffer(length.value)
        check(getattr(self.nvrtc, get)(program, buffer), get)
        return buffer.raw


def check(result: int, what: str) -> None:
    if result != 0:
        raise BuildError(f"NVRTC answers {result} to {what}")


def make(folder: Path, source: Path, capability: int, image: Path) -> int:
    """Compiles one image; its size."""
    code = Compiler(folder).compile(source, capability)
    unfinished = image.with_suffix(".unfinished")
    unfinished.write_bytes(code)
    unfinished.rename(image)
    return len(code)


def image_name(source: Path, headers: bytes, capability: int) -> str:
    """Names all that the image depends on."""
    everything = [REQUIREMENTS.read_bytes(), repr(OPTIONS).encode(), headers, source.read_bytes()]
    key = hashlib.sha256(b"\0".join(everything)).hexdigest()[:16]
    return f"{source.stem}-{capability}-{key}"


def replace(folder: Path, files: list[Path]) -> None:
    """Makes `folder` hold copies of just these."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    headers = b"\0".join(file.read_bytes() for file in sorted(KERNELS.glob("*.cuh")))
    sources = sorted(KERNELS.glob("*.cu"))
    if not sources:
        raise BuildError(f"no kernels in {KERNELS}")
    lines, jobs = [], []
    for capability in CAPABILITIES:
        for source in sources:
            image = IMAGES / image_name(source, headers, capability)
            lines.append(f"{capability} {image.name}\n")
            if not image.exists():
                jobs.append((source, capability, image))
    if jobs:
        folder = toolkit()
        print(f"Compiling {len(jobs)} images of GPU kernels", flush=True)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for done in [pool.submit(make, folder, *job) for job in jobs]:
                done.result()
    wanted = {line.split()[1] for line in lines}
    for image in IMAGES.iterdir():
        if image.name not in wanted:
            image.unlink()
    replace(OUT / "sources", sorted(KERNELS.iterdir()))
    (OUT / "images.txt").write_text("".join(lines))
    size = sum((IMAGES / name).stat().st_size for name in wanted)
    print(f"GPU kernels: {len(lines)} images, {size / 1e6:.1f} MB, in {IMAGES.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        sys.exit(f"The GPU kernels could not be compiled: {error}")
