"""Trains the demo model on the CPU, in float32. Resumable: run again with the same --run.

Every batch has the same number of tokens: mostly rows of 128 (compiled), some of 512 and 1024 so that long answers and
long chats work. A row is one conversation; only the assistant's tokens count. Every --every steps the averaged weights
are tested on held-out questions, and kinds that lag behind are practised more.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import data
import tokenizer as tok
from model import CHUNK, CONFIG, Model

TOKENS = 2048  # per step
MAKERS = data.SIMPLE | {data.long_text: 0, data.count_far: 0}


STOP = 8.0  # weight of the end of a count: where to stop is one token among many easy ones


class Encoder:
    """Turns to (ids, weight of each token in the loss: zero outside of answers)."""

    def __init__(self, tokenizer):
        self.encode = lambda text: tokenizer.encode(text).ids
        self.start, self.end, self.pad = (tokenizer.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
        self.newline = self.encode("\n")
        self.role = {r: [self.start] + self.encode(r + "\n") for r in ("system", "user", "assistant")}

    def message(self, role: str, text: str) -> tuple[list[int], list[float]]:
        body = self.encode(text) + [self.end]
        ids = self.role[role] + body + self.newline
        weight = float(role == "assistant")
        return ids, [0.0] * len(self.role[role]) + [weight] * len(body) + [0.0] * len(self.newline)

    def turn(self, turn) -> tuple[list[int], list[float]]:
        a, b = self.message("user", turn.question), self.message("assistant", turn.answer)
        if turn.kind == "count":
            last = len(b[0]) - len(self.newline)
            b[1][last - 2 : last] = [STOP, STOP]
        return a[0] + b[0], a[1] + b[1]

    def row(self, r, length: int, simple: dict) -> tuple[list[int], list[float]]:
        """One conversation, cut at length + 1 tokens."""
        mix = dict(simple)
        if length > 128:
            total = sum(mix.values())
            for maker, weight in data.LENGTHY.items():
                mix[maker] = mix.get(maker, 0) + total * weight / 20
        ids, weights = self.message("system", r.choice(data.SYSTEMS)) if r.random() < 0.12 else ([], [])
        stream = data.turns(r, False, mix)
        while len(ids) <= length:
            more, more_weights = self.turn(next(stream))
            ids, weights = ids + more, weights + more_weights
        return ids[: length + 1], weights[: length + 1]

    def batch(self, r, simple: dict):
        length = r.choices([128, 512, 1024], [12, 4, 1])[0]
        rows = [self.row(r, length, simple) for _ in range(TOKENS // length)]
        ids, weights = torch.tensor([x for x, _ in rows]), torch.tensor([y for _, y in rows])[:, 1:]
        answers = weights > 0
        return ids[:, :-1], ids[:, 1:][answers], answers, weights[answers]


@torch.no_grad()
def evaluate(model: Model, encoder: Encoder, per_kind: int, seed: int = 99) -> dict[str, float]:
    """Share of held-out questions, each alone in its conversation, that greedy decoding answers exactly."""
    r, rows = random.Random(seed), []
    for maker in MAKERS:
        for _ in range(per_kind):
            rows.append((maker.__name__, *encoder.turn(data.draw(r, {maker: 1}, True))))
    for _ in range(per_kind):
        rows.append(("recall", *recall_row(r, encoder)))
    rows.sort(key=lambda row: len(row[1]))
    right: dict[str, list[bool]] = {}
    while rows:
        length = -(-len(rows[0][1]) // CHUNK) * CHUNK
        part = [row for row in rows[:64] if len(row[1]) <= length][: 8192 // length]
        rows = rows[len(part) :]
        ids = torch.full((len(part), length), encoder.pad)
        for i, (_, x, _) in enumerate(part):
            ids[i, : len(x)] = torch.tensor(x)
        hidden = model(ids)[0]
        for i, (name, _, answers) in enumerate(part):
            at = torch.tensor(answers).nonzero()[:, 0]
            guess = model.lm_head(hidden[i, at - 1]).argmax(-1)
            right.setdefault(name, []).append(bool((guess == ids[i, at]).all()))
    return {k: sum(v) / len(v) for k, v in sorted(right.items())}


def recall_row(r, encoder: Encoder):
    """A fact about the user, one other turn, the question about it; only the last answer is judged."""
    known: dict = {}
    a, b, c = (encoder.turn(t) for t in (data.tell(r, known), data.draw(r, data.SIMPLE, True), data.recall(r, known)))
    return a[0] + b[0] + c[0], [0.0] * len(a[0] + b[0]) + c[1]


def rebalance(scores: dict[str, float]) -> dict:
    """More weight for makers whose questions are still answered wrongly."""
    return {m: w * (0.25 + min(2.75, 5 * (1 - scores.get(m.__name__, 0.5)))) for m, w in data.SIMPLE.items()}


def rate(step: int, minutes: float, a) -> float:
    """Learning rate: warm-up, constant, then straight down over the last --decay minutes."""
    left = max(0.0, min(1.0, (a.minutes - minutes) / a.decay))
    return a.lr * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * left)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--run", type=Path, default=Path("run"))
    p.add_argument("--minutes", type=float, default=85, help="length of the training, over all starts")
    p.add_argument("--decay", type=float, default=30, help="minutes at the end with falling learning rate")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--balance", type=float, default=2e-3, help="weight of the routing balance loss")
    p.add_argument("--every", type=int, default=500, help="steps between evaluations and checkpoints")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--eager", action="store_true", help="do not compile")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(a.seed)
    a.run.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(tok.load_or_train(a.run / "tokenizer.json"))
    model = Model(CONFIG)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    matrices = [q for k, q in model.named_parameters() if q.dim() > 1 and "embed" not in k]
    rest = [q for k, q in model.named_parameters() if q.dim() < 2 or "embed" in k]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=a.lr, betas=(0.9, 0.95), fused=True)
    step, tokens, seconds, scores = 0, 0, 0.0, {}
    checkpoint = a.run / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(saved["model"])
        average = saved["average"]
        optimizer.load_state_dict(saved["optimizer"])
        step, tokens, seconds, scores = saved["step"], saved["tokens"], saved["seconds"], saved["scores"]
    log = open(a.run / "log.jsonl", "a")

    def say(**values):
        line = json.dumps(values)
        print(line, flush=True)
        log.write(line + "\n")
        log.flush()

    layers = list(model.model.layers) if a.eager else [torch.compile(layer) for layer in model.model.layers]
    mix = rebalance(scores) if scores else data.SIMPLE
    say(weights=sum(q.numel() for q in model.parameters()), step=step, args={k: str(v) for k, v in vars(a).items()})
    recent, began, timer, timer_cpu = [], time.time(), 0.0, 0.0
    minutes = seconds / 60
    while minutes < a.minutes:
        r = random.Random(a.seed * 1_000_003 + step)  # a batch depends on its step and the mix, not on interruptions
        for group in optimizer.param_groups:
            group["lr"] = rate(step, minutes, a)
        ids, targets, answers, weights = encoder.batch(r, mix)
        hidden, balance, uses = model(ids, layers if ids.shape[1] == 128 else None)
        each = F.cross_entropy(model.lm_head(hidden[answers]), targets, reduction="none")
        loss = (each * weights).sum() / weights.sum()
        (loss + a.balance * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, tokens = step + 1, tokens + ids.numel()
        minutes = (seconds + time.time() - began) / 60
        keep = 1 - 1 / (20 + step / 10)  # averages about the last tenth of training
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), list(model.state_dict().values()), 1 - keep)
        recent.append((float(loss.detach()), float(balance.detach())))
        if step % 50 == 0 or step == 3:
            now, cpu = time.time(), time.process_time()
            top = uses.sort(-1, descending=True).values[:, : uses.shape[1] // 4].sum() / uses.sum()
            say(
                step=step, tokens=tokens, loss=round(sum(x for x, _ in recent) / len(recent), 4),
                balance=round(sum(x for _, x in recent) / len(recent), 3), top_quarter=round(float(top), 3),
                lr=round(rate(step, minutes, a), 6), minutes=round(minutes, 1),
                tokens_per_second=round(len(recent) * TOKENS / (now - timer)) if timer else 0,
                cpu_share=round((cpu - timer_cpu) / (now - timer), 2) if timer else 0,
            )  # fmt: skip
            recent, timer, timer_cpu = [], now, cpu
        if step % a.every == 0 or minutes >= a.minutes:
            current = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(average)
            scores = evaluate(model, encoder, 32)
            model.load_state_dict(current)
            mix = rebalance(scores)
            say(step=step, mean=round(sum(scores.values()) / len(scores), 4), scores={k: round(v, 2) for k, v in scores.items()})
            state = dict(model=current, average=average, optimizer=optimizer.state_dict(), step=step, tokens=tokens,
                         seconds=seconds + time.time() - began, scores=scores, config=CONFIG)  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").rename(checkpoint)


if __name__ == "__main__":
    main()
