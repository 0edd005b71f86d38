"""Prints, for each seed, the smallest router and greedy margins over the prompts: how the seeds were picked.

usage: try_seeds.py <checkpoint> <first seed> <last seed>
"""

import sys

from make_checkpoints import CHECKPOINTS
from prompts import prompts
from random_weights import build, randomize
from record import record

name, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for seed in range(first, last + 1):
    model = randomize(build(CHECKPOINTS[name][0]), seed)
    try:
        outs = [record(model, ids) for ids in prompts().values()]
    except RuntimeError as error:
        print(name, seed, error, flush=True)
        continue
    router, greedy = (min(out[key].min() for out in outs) for key in ("router_margin", "greedy_margin"))
    print(name, seed, f"router {router:.1e} greedy {greedy:.1e} distinct {len(set(outs[1]['greedy_ids']))}", flush=True)
