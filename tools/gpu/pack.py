"""Packs what tools/gpu/prove.sh needs on a machine without a compiler: the command, the
GPU tests and benchmarks, built for release with the kernels in them, the demo model and
the fixtures that the tests read.

    python3 tools/gpu/pack.py [dev]

With `dev` from a development build, to try the script itself over the stand-in. Writes target/gpu-kit and target/gpu-kit.tar.gz.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "target/gpu-kit"
# What cargo builds, by kind, package and name, and what it is called in the kit.
WANTED = {
    ("bin", "moestro-cli", "moestro"): "moestro",
    ("test", "moestro-cuda", "gpu"): "cuda-tests",
    ("test", "moestro-engine", "gpu"): "engine-tests",
    ("bench", "moestro-cuda", "gpu"): "cuda-bench",
}
# Of tests/fixtures, those that the engine's GPU tests read.
FIXTURES = ["qwen3_next-tiny", "qwen3_moe-tiny"]
BUILD = "cargo build --locked --workspace --features cuda --profile".split()
TARGETS = "--bin moestro --test gpu --bench gpu --message-format json-render-diagnostics".split()


def built() -> dict[str, Path]:
    """The executables by their names in the kit."""
    profile = (sys.argv[1:] or ["release"])[:1]
    output = subprocess.run(BUILD + profile + TARGETS, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    found = {}
    for line in output.splitlines():
        artifact = json.loads(line)
        if not artifact.get("executable"):
            continue
        target = artifact["target"]
        package = Path(artifact["manifest_path"]).parent.name
        key = (target["kind"][0], f"moestro-{package}", target["name"])
        if key in WANTED:
            found[WANTED[key]] = Path(artifact["executable"])
    missing = set(WANTED.values()) - set(found)
    assert not missing, f"cargo did not build {missing}"
    return found


def main() -> None:
    executables = built()
    shutil.rmtree(KIT, ignore_errors=True)
    KIT.mkdir(parents=True)
    for name, path in executables.items():
        subprocess.run(["strip", "-o", KIT / name, path], check=True)
    shutil.copytree(ROOT / "models", KIT / "models")
    for name in FIXTURES:
        shutil.copytree(ROOT / "tests/fixtures" / name, KIT / "fixtures" / name)
    shutil.copy(Path(__file__).with_name("prove.sh"), KIT)
    packed = KIT.with_suffix(".tar.gz")
    with tarfile.open(packed, "w:gz", compresslevel=6) as tar:
        for path in sorted(KIT.iterdir()):
            tar.add(path, path.name)
    size = sum(path.stat().st_size for path in KIT.rglob("*") if path.is_file())
    print(f"{KIT}: {size / 1e6:.0f} MB; {packed}: {packed.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
