"""The three prompts, as token ids: `short` (a chat turn), `p300` and `p2000` (running text)."""

import json
import random

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from paths import TOKENIZER

SUBJECTS = "The router|An expert|This layer|A small model|The memory page|Every token|The cache|My neighbour|A slot".split("|")
VERBS = "keeps|moves|reads|forgets|weighs|repeats|counts|answers|loads|shares|writes|holds".split("|")
OBJECTS = (
    "the last four values|half of the weights|a table of numbers|nothing at all|the longest prompt|three questions|"
    "an old letter|the disk tier|what was said before|a naïve idea|the café's menu|1,024 bytes|the sum of 17 and 25"
).split("|")
ENDINGS = (
    "before the next step|while the answer is streaming|in 0.5 seconds|without asking|on a quiet evening|"
    "(see section 3.2)|again and again|— or so it seems|if x < 10 and y != 2|at 60 °C"
).split("|")
ASIDES = (
    "\n\n",
    "\nfor i in range(10):\n    total += weights[i] * x[i]\n",
    "\n- first item\n- second item\n",
    " 你好，世界! ",
    " 🙂 ",
    '\n{"name": "slot", "size": 4096}\n',
    " Isn't it? We'll see; they've said so. ",
)


def running_text(seed, sentences):
    """Seeded text of English sentences with code, numbers and other scripts between them."""
    pick = random.Random(seed)
    out = []
    for _ in range(sentences):
        sentence = " ".join((pick.choice(SUBJECTS), pick.choice(VERBS), pick.choice(OBJECTS), pick.choice(ENDINGS)))
        out.append(sentence + pick.choice((". ", ".\n", "; ", "! ")))
        if pick.random() < 0.15:
            out.append(pick.choice(ASIDES))
    return "".join(out)


def chat_text(messages, **variables):
    """The fixtures' chat template rendered with transformers' own Jinja environment."""
    config = json.loads((TOKENIZER / "tokenizer_config.json").read_text())
    tools = variables.pop("tools", None)
    rendered, _ = render_jinja_template(
        [messages], tools=tools, chat_template=config["chat_template"],
        eos_token=config["eos_token"], pad_token=config["pad_token"], **variables,
    )  # fmt: skip
    return rendered[0]


def prompts():
    """{name: token ids}."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    question = [{"role": "user", "content": "What is 2+2?"}]
    out = {"short": encode(chat_text(question, add_generation_prompt=True))}
    for name, seed, length in (("p300", 300, 300), ("p2000", 2000, 2000)):
        ids = encode(running_text(seed, length // 10))
        if len(ids) < length:
            raise ValueError(f"{name}: the text has only {len(ids)} tokens")
        out[name] = ids[:length]
    return out
