#!/usr/bin/env python3
"""An engine that answers with a given text at a given speed, for measuring the window.

Stands in for the program that the shell starts as its engine: hands everything on to the
real one, and writes answers by itself.

  MOESTRO_REAL_ENGINE   the program that is the real engine
  MOESTRO_ANSWER        a file with the answer; each of its lines is some tokens
  MOESTRO_RATE          tokens per second
"""

import json
import os
import re
import subprocess
import sys
import threading
import time

rate = float(os.environ["MOESTRO_RATE"])
with open(os.environ["MOESTRO_ANSWER"], encoding="utf-8") as file:
    # About as long as tokens are: a word with its space, or four letters.
    tokens = re.findall(r"\s*\S{1,4}|\s+", file.read())
real = subprocess.Popen(
    [os.environ["MOESTRO_REAL_ENGINE"], "engine"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
turn = threading.Lock()


def tell(line: bytes) -> None:
    with turn:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def hand_on() -> None:
    for line in real.stdout:
        tell(line)


def answer(number: int) -> None:
    begin = time.monotonic()
    for count, text in enumerate(tokens, 1):
        time.sleep(max(0.0, begin + count / rate - time.monotonic()))
        event = {"type": "token", "id": number, "text": text, "tokens": count}
        tell(json.dumps(event).encode() + b"\n")
    stats = {
        "prompt_tokens": 1,
        "reused_tokens": 0,
        "generated_tokens": len(tokens),
        "prefill_ms": 1.0,
        "first_token_ms": 1.0,
        "decode_ms": 1000 * (time.monotonic() - begin),
        "prefill_tokens_per_second": 1.0,
        "decode_tokens_per_second": rate,
        "hit_rate": 1.0,
        "expert_bytes_read": 0,
        "seed": 0,
    }
    end = {"type": "finished", "id": number, "reason": "stop", "stats": stats}
    tell(json.dumps(end).encode() + b"\n")


threading.Thread(target=hand_on, daemon=True).start()
for line in sys.stdin.buffer:
    command = json.loads(line)
    if command.get("type") == "generate":
        threading.Thread(target=answer, args=(command["id"],), daemon=True).start()
    else:
        real.stdin.write(line)
        real.stdin.flush()
real.stdin.close()
real.wait()
