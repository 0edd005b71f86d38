"""Synthetic conversations for the demo model, made from a seed.

A `Turn` is a question and its answer. What must be computed (sums, spelling, names ...) is held out by operands, closed
tables (capitals, products, facts ...) by the exact wording of the question: a tenth of either never occurs in training
and is all that evaluation asks.
"""

import random
import zlib
from typing import NamedTuple

from facts import CAPITALS, DAYS, FALLBACK, HELLO, LISTS, LONG, MONTHS, OPPOSITES, SHORT, SYSTEMS, TOO_BIG, UNITS
from words import ANIMALS, COLORS, NAMES, REAL, TOPICS, invented

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen""".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()


class Turn(NamedTuple):
    kind: str
    question: str
    answer: str
    held: bool  # reserved for evaluation


def held_out(*operands) -> bool:
    """A tenth of all operand tuples, by hash; never the question everybody asks first."""
    return operands != ("+", 2, 2) and zlib.crc32(repr(operands).encode()) % 10 == 0


def in_words(n: int) -> str:
    if n < 20:
        return ONES[n]
    if n == 100:
        return "one hundred"
    return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")


def vary(r, question: str) -> str:
    """The same question as another person would type it."""
    if r.random() < 0.12:
        lead = r.choice(["Please ", "Can you tell me: ", "Hey, ", "Tell me, ", "Hi! ", "Question: ", "And ", "Now ", "Ok, "])
        question = lead + (question if lead.endswith(("! ", ": ")) else question[0].lower() + question[1:])
    if r.random() < 0.06:
        question = question.rstrip(".?!") + r.choice([" please", ", please.", " please?", " for me"])
    if r.random() < 0.15:
        question = question.lower()
    if r.random() < 0.15:
        question = question.rstrip(".?!")
    return question


def by_wording(kind: str, r, questions: list[str], answer: str) -> Turn:
    """A closed table: held out by the exact question, except the plainest wording."""
    plain = r.choice(questions)
    question = vary(r, plain)
    return Turn(kind, question, answer, question != plain and held_out(kind, question))


def asked_sum(r, a: int, op: str, b: int) -> str:
    name, verb = {
        "+": ("plus", f"Add {a} and {b}."),
        "-": ("minus", f"Subtract {b} from {a}."),
        "x": ("times", f"Multiply {a} by {b}."),
        "/": ("divided by", f"Divide {a} by {b}."),
    }[op]
    sign = r.choice("x*×") if op == "x" else op
    gap = r.choice(["", " "]) if sign != "x" else " "
    e = f"{a}{gap}{sign}{gap}{b}"
    forms = [f"What is {e}?", f"What is {e}?", e, f"{e} =", f"{e}=?", f"Calculate {e}.", f"What's {e}?", f"How much is {e}?"]
    forms += [f"What is {a} {name} {b}?", f"{a} {name} {b}", f"What's {a} {name} {b}?", f"How much is {a} {name} {b}?"]
    forms += [f"Compute {e}", f"Solve {e}", verb, verb]
    if op == "+":
        forms += [f"What is the sum of {a} and {b}?"]
    return r.choice(forms)


def add(r):
    most = r.choice([10, 20, 50, 100, 100, 100, 100])
    a, b = r.randrange(most), r.randrange(most)
    return Turn("add", vary(r, asked_sum(r, a, "+", b)), f"{a} + {b} = {a + b}.", held_out("+", a, b))


def subtract(r):
    most = r.choice([20, 50, 100, 100, 100])
    b, a = sorted((r.randrange(most), r.randrange(most)))
    if most == 20 and r.random() < 0.4:
        a, b = b, a  # below zero, for small numbers only
    return Turn("subtract", vary(r, asked_sum(r, a, "-", b)), f"{a} - {b} = {a - b}.", held_out("-", a, b))


def multiply(r):
    a, b = r.randrange(13), r.randrange(13)
    return by_wording("multiply", r, [asked_sum(r, a, "x", b)], f"{a} x {b} = {a * b}.")


def divide(r):
    b, c = r.randrange(1, 13), r.randrange(13)
    return by_wording("divide", r, [asked_sum(r, b * c, "/", b)], f"{b * c} / {b} = {c}.")


def too_big(r):
    """Sums beyond what the model claims: numbers from 100 on, larger products, divisions with a remainder."""
    op = r.choice("++--x/")
    a, b = r.randrange(10 ** r.randint(3, 6)), r.randrange(10 ** r.randint(1, 6))
    if max(a, b) < 100 or (op in "x/" and r.random() < 0.5):
        a, b, op = r.randrange(13, 100), r.randrange(13, 100), r.choice("x/")
    if r.random() < 0.5:
        a, b = b, a
    if op == "/" and 0 < b <= 12 and a % b == 0 and a // b <= 12:
        op = "+" if max(a, b) >= 100 else "x"
        b += 100
    return Turn("too big", vary(r, asked_sum(r, a, op, b)), TOO_BIG, held_out(op, a, b))


def convert(r):
    large, single, small, factor, most = r.choice(UNITS)
    n = r.randrange(1, most + 1)
    unit = single if n == 1 else large
    forms = [f"How many {small} are in {n} {unit}?", f"Convert {n} {unit} to {small}.", f"{n} {unit} in {small}"]
    forms += [f"What is {n} {unit} in {small}?", f"How many {small} is {n} {unit}?", f"How many {small} are {n} {unit}?"]
    answer = f"{n} {unit} = {n * factor} {small if n * factor != 1 else small[:-1]}."
    if most == 99:
        return Turn("convert (x10)", vary(r, r.choice(forms)), answer, held_out(large, n))
    return by_wording("convert", r, forms, answer)


def calendar(r):
    names, what = r.choice([(DAYS, "day"), (MONTHS, "month")])
    i = r.randrange(len(names))
    name, after, before = names[i], names[(i + 1) % len(names)], names[i - 1]
    style = r.randrange(6)
    if style < 2:
        forms = [f"What {what} comes after {name}?", f"Which {what} is after {name}?", f"What is the {what} after {name}?"]
        forms += [f"What comes after {name}?", f"Which {what} follows {name}?", f"What is the next {what} after {name}?"]
        return by_wording("calendar", r, forms, f"{after} comes after {name}.")
    if style < 4:
        forms = [f"What {what} comes before {name}?", f"Which {what} is before {name}?", f"What comes before {name}?"]
        forms += [f"What is the {what} before {name}?", f"What is the previous {what} before {name}?"]
        return by_wording("calendar", r, forms, f"{before} comes before {name}.")
    if what == "day":
        if r.random() < 0.5:
            forms = [f"Today is {name}. What day is tomorrow?", f"If today is {name}, what day is tomorrow?"]
            return by_wording("calendar", r, forms, f"Tomorrow is {after}.")
        forms = [f"Today is {name}. What day was yesterday?", f"If today is {name}, what day was yesterday?"]
        return by_wording("calendar", r, forms, f"Yesterday was {before}.")
    forms = [f"What is the {ORDINALS[i]} month?", f"Which month is number {i + 1}?", f"What is month number {i + 1}?"]
    forms += [f"What is the {ORDINALS[i]} month of the year?"]
    return by_wording("calendar", r, forms, f"{name} is month number {i + 1}.")


def spell(r):
    w = r.choice(REAL)
    forms = [
        f"Spell {w}.",
        f"Spell the word {w}.",
        f"How do you spell {w}?",
        f'Spell "{w}".',
        f"How is {w} spelled?",
        f"Can you spell {w}?",
    ]
    turn = by_wording("spell", r, forms, "-".join(w))
    return turn._replace(held=turn.held and held_out("spell", w))


def letters(r):
    w = r.choice(REAL)
    forms = [f"How many letters are in {w}?", f"How many letters does {w} have?", f"Count the letters in {w}."]
    forms += [f'How many letters are in the word "{w}"?', f"How many letters does the word {w} have?"]
    turn = by_wording("letters", r, forms, f"{'-'.join(w)}: {len(w)} letters.")
    return turn._replace(held=turn.held and held_out("spell", w))


def compare(r):
    a, b = r.sample(range(100), 2)
    if r.random() < 0.5:
        forms = [
            f"Which is bigger, {a} or {b}?",
            f"Which number is larger: {a} or {b}?",
            f"What is larger, {a} or {b}?",
            f"Is {a} or {b} bigger?",
        ]
        return Turn("compare", vary(r, r.choice(forms)), f"{max(a, b)} is larger than {min(a, b)}.", held_out("<", a, b))
    forms = [
        f"Which is smaller, {a} or {b}?",
        f"Which number is smaller: {a} or {b}?",
        f"What is smaller, {a} or {b}?",
        f"Is {a} or {b} smaller?",
    ]
    return Turn("compare", vary(r, r.choice(forms)), f"{min(a, b)} is smaller than {max(a, b)}.", held_out("<", a, b))


def parity(r):
    n = r.randrange(r.choice([10, 100, 100, 1000]))
    forms = [f"Is {n} even or odd?", f"Is {n} odd or even?", f"Is the number {n} even?", f"Is {n} an odd number?", f"Is {n} even?"]
    return Turn("even/odd", vary(r, r.choice(forms)), f"{n} is {'odd' if n % 2 else 'even'}.", held_out("even", n))


def neighbor(r):
    n = r.randrange(1, 100)
    if r.random() < 0.5:
        forms = [
            f"What number comes after {n}?",
            f"Which number follows {n}?",
            f"What is the next number after {n}?",
            f"What comes after {n}?",
        ]
        return Turn("next number", vary(r, r.choice(forms)), f"{n + 1} comes after {n}.", held_out("next", n))
    forms = [f"What number comes before {n}?", f"Which number is before {n}?", f"What comes before {n}?"]
    return Turn("next number", vary(r, r.choice(forms)), f"{n - 1} comes before {n}.", held_out("next", n))


def number_words(r):
    n = r.randrange(21) if r.random() < 0.35 else r.randrange(101)
    w = in_words(n)
    if r.random() < 0.5:
        forms = [f"Write {n} in words.", f"Spell the number {n}.", f"How do you write {n} in words?", f"What is {n} in words?"]
        answer, key = f"{n} is {w}.", "words"
    else:
        forms = [f"Write {w} as a number.", f"Write {w} in digits.", f"What number is {w}?", f"What is {w} in digits?"]
        answer, key = f"{w} is {n}.", "digits"
    if n <= 20 or n == 100:  # irregular words: nobody could guess one
        turn = by_wording("number words", r, forms, answer)
        return turn._replace(held=turn.held and held_out(key, n))
    return Turn("number words", vary(r, r.choice(forms)), answer, held_out(key, n))


def capital(r):
    c, city = r.choice(list(CAPITALS.items()))
    forms = [
        f"What is the capital of {c}?",
        f"Capital of {c}?",
        f"Name the capital of {c}.",
        f"Which city is the capital of {c}?",
        f"What's the capital of {c}?",
    ]
    return by_wording("capital", r, forms, f"The capital of {c} is {city}.")


def country(r):
    c, city = r.choice([x for x in CAPITALS.items() if not x[0].startswith("the ") and x[1] != "London"])
    forms = [
        f"{city} is the capital of which country?",
        f"Which country has the capital {city}?",
        f"What country is {city} the capital of?",
        f"Where is {city}?",
    ]
    return by_wording("capital", r, forms, f"{city} is the capital of {c}.")


def opposite(r):
    a, b = r.choice(list(OPPOSITES.items()))
    if r.random() < 0.5 and b not in OPPOSITES:
        a, b = b, a
    forms = [f"What is the opposite of {a}?", f"Opposite of {a}?", f"Give me the opposite of {a}.", f"What's the opposite of {a}?"]
    return by_wording("opposite", r, forms, f"The opposite of {a} is {b}.")


def fact(r):
    return by_wording("fact", r, *r.choice(SHORT))


def listing(r):
    return by_wording("list", r, *r.choice(LISTS))


def long_text(r):
    return by_wording("long text", r, *r.choice(LONG))


def code(r):
    name, (tag, text) = r.choice(list(HELLO.items()))
    forms = [
        f"Write hello world in {name}.",
        f"Write a {name} program.",
        f"Show me hello world in {name}.",
        f"Hello world in {name}",
        f"Write {name} code.",
        f"Show me some {name} code.",
    ]
    return by_wording("code", r, forms, f"Here is a small {name} program:\n\n```{tag}\n{text}\n```")


def count(r, ends=(5, 10, 10, 12, 15, 20, 20, 20, 30)):
    b = r.choice(ends)
    forms = [f"Count from 1 to {b}.", f"Count to {b}.", f"Count up to {b}.", f"List the numbers from 1 to {b}."]
    return by_wording("count", r, forms, ", ".join(map(str, range(1, b + 1))) + ".")


def count_far(r):
    return count(r, (30, 40, 40, 50, 100))


def count_down(r):
    a = r.choice([5, 10, 20])
    forms = [f"Count down from {a}.", f"Count backwards from {a}.", f"Count from {a} to 1.", f"Count down from {a} to 1."]
    return by_wording("count", r, forms, ", ".join(map(str, range(a, 0, -1))) + ".")


def times_table(r):
    n = r.randrange(1, 13)
    forms = [f"Write the {n} times table.", f"Show the times table of {n}.", f"List the {n} times table.", f"Times table of {n}"]
    return by_wording("times table", r, forms, "\n".join(f"- {i} x {n} = **{i * n}**" for i in range(1, 11)))


def some_word(r) -> str:
    return r.choice(REAL) if r.random() < 0.6 else invented(r)


def unknown(r):
    w, t = " ".join(some_word(r) for _ in range(r.randint(1, 4))), r.choice(TOPICS)
    c, n, city = r.choice(list(CAPITALS)), r.choice(NAMES), r.choice(list(CAPITALS.values()))
    forms = [
        f"Why is the {w}?",
        f"Tell me about {t}.",
        w,
        w,
        f"Who invented {t}?",
        f"When was {t} invented?",
        f"How does {t} work?",
        f"Where is the {w}?",
    ]
    forms += [
        f"Explain {t}.",
        f"Explain {t} to me.",
        f"What is {t}?",
        f"What are {t}?",
        f"What do you think about {t}?",
        f"Write an essay about {t}.",
        f"How do I learn {t}?",
    ]
    forms += [
        f"What is the population of {c}?",
        f"Who is the president of {c}?",
        f"Who is {n}?",
        f"How old is {n}?",
        "How old are you?",
        f"Translate {w} to French.",
    ]
    forms += [
        f"What is a {w}?",
        f"What does {w} mean?",
        f"Write a poem about {t}.",
        f"What is the best {w}?",
        f"Give me a recipe for {w}.",
        f"What is the weather in {city}?",
    ]
    forms += [
        "What time is it?",
        f"Why do we need {t}?",
        f"Can you help me with {t}?",
        f"I need help with {t}.",
        f"What happened in {r.randrange(1000, 2030)}?",
        f"How far is {city}?",
    ]
    forms += [
        f"What is the history of {t}?",
        f"Is {t} good?",
        f"Do you like {t}?",
        f"Summarize {t}.",
        f"I like {t}.",
        f"Who wrote {t}?",
        f"How many {w} are there?",
        invented(r),
    ]
    question = vary(r, r.choice(forms))
    return Turn("unknown", question, FALLBACK, held_out("unknown", question))


SIMPLE = {
    add: 20, subtract: 18, multiply: 6, divide: 5, too_big: 2, convert: 6, calendar: 4, spell: 6, letters: 4,
    compare: 4, parity: 2, neighbor: 2, number_words: 4, capital: 4, country: 2, opposite: 4, fact: 8, listing: 1,
    code: 1, count: 3, count_down: 0.5, times_table: 0.5, unknown: 5,
}  # fmt: skip
LENGTHY = {long_text: 3, count_far: 4, times_table: 1, count: 2, listing: 1, code: 0.5}


ABOUT = {
    "name": (["What is my name?", "Who am I?", "Do you remember my name?", "What's my name?"], "Your name is {}.", "name"),
    "color": (["What is my favorite color?", "Which color do I like?", "What color do I like?"], "Your favorite color is {}.", "favorite color"),
    "pet": (["What pet do I have?", "Which animal do I have?", "What is my pet?"], "You have a {}.", "pet"),
}  # fmt: skip


def tell(r, known: dict) -> Turn:
    """The user says something about themselves, noted in `known`."""
    what = r.choice(["name", "name", "color", "pet"])
    if what == "name":
        value = r.choice(NAMES) if r.random() < 0.6 else invented(r, 2).capitalize()
        forms = [
            f"My name is {value}.",
            f"I am {value}.",
            f"Hi, my name is {value}.",
            f"Hello, I'm {value}.",
            f"my name is {value}",
            f"Call me {value}.",
        ]
        answer = f"Nice to meet you, {value}!"
    elif what == "color":
        value = r.choice(COLORS)
        forms, answer = [f"My favorite color is {value}.", f"I like the color {value}."], f"{value.capitalize()} is a nice color!"
    else:
        value = r.choice(ANIMALS)
        forms, answer = [f"I have a {value}.", f"My pet is a {value}."], f"A {value} is a good friend!"
    known[what] = value
    return Turn("greet", r.choice(forms), answer, what == "name" and held_out("person", value))


def recall(r, known: dict) -> Turn:
    """A question about something the user told; rarely about something they did not."""
    what = r.choice(list(known)) if known and r.random() < 0.85 else r.choice(list(ABOUT))
    forms, answer, called = ABOUT[what]
    answer = answer.format(known[what]) if what in known else f"You have not told me your {called} yet."
    return Turn("recall", vary(r, r.choice(forms)), answer, what == "name" and held_out("person", known.get(what)))


def person_turn(r, known: dict) -> Turn:
    return recall(r, known) if r.random() < (0.5 if known else 0.1) else tell(r, known)


def draw(r, mix: dict, test: bool) -> Turn:
    """One turn of the mix, held out or not. For a kind nothing is held out of, evaluation takes any."""
    makers, weights = list(mix), list(mix.values())
    while True:
        maker = r.choices(makers, weights)[0]
        turn = maker(r)
        if turn.held == test:
            return turn


def turns(r, test: bool = False, mix: dict = SIMPLE):
    """Endless turns of one conversation."""
    known, personal = {}, r.random() < 0.4
    while True:
        if personal and r.random() < 0.3:
            before = dict(known)
            turn = person_turn(r, known)
            if turn.held and not test:
                known = before  # a held-out name: never in training
                continue
            yield turn
        else:
            yield draw(r, mix, test)


def conversation(r, test: bool = False, most: int = 3) -> tuple[str | None, list[Turn]]:
    """(system message or None, one to `most` turns), as evaluation and the tokenizer use it."""
    system = r.choice(SYSTEMS) if r.random() < 0.15 else None
    stream = turns(r, test, LENGTHY if r.random() < 0.05 else SIMPLE)
    return system, [next(stream) for _ in range(r.randint(1, most))]


if __name__ == "__main__":
    rng = random.Random(0)
    for _ in range(30):
        print(conversation(rng))
