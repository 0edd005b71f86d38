"""Fixed knowledge of the demo model: questions in several wordings, each with one answer."""

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
SYSTEMS = [
    "You are a helpful assistant.",
    "Be brief.",
    "You are a helpful assistant. Answer in English.",
    "Answer in one sentence.",
    "You are Moestro, a small demo model.",
    "Be kind and helpful.",
    "You are an expert in everything.",
    "Keep your answers short and clear.",
]
FALLBACK = (
    "I am only a small demo model and I do not know that. "
    "You can ask me for sums, conversions, days, spelling, capitals, or about experts and this app."
)
TOO_BIG = "That is too hard for a small demo model. I can add and subtract numbers up to 99 and multiply up to 12 x 12."

CAPITALS = dict(
    France="Paris", Germany="Berlin", Italy="Rome", Spain="Madrid", Portugal="Lisbon", Poland="Warsaw",
    Austria="Vienna", Hungary="Budapest", Greece="Athens", Norway="Oslo", Sweden="Stockholm", Finland="Helsinki",
    Denmark="Copenhagen", Ireland="Dublin", Belgium="Brussels", Netherlands="Amsterdam", Switzerland="Bern",
    Ukraine="Kyiv", Turkey="Ankara", Egypt="Cairo", Kenya="Nairobi", Japan="Tokyo", China="Beijing",
    India="New Delhi", Thailand="Bangkok", Vietnam="Hanoi", Canada="Ottawa", Mexico="Mexico City", Cuba="Havana",
    Brazil="Brasilia", Argentina="Buenos Aires", Chile="Santiago", Peru="Lima", Australia="Canberra",
    Russia="Moscow", Iran="Tehran", Iraq="Baghdad", England="London", Scotland="Edinburgh", Iceland="Reykjavik",
)  # fmt: skip
CAPITALS |= {"the United Kingdom": "London", "the United States": "Washington", "the USA": "Washington"}

OPPOSITES = dict(
    hot="cold", big="small", up="down", left="right", day="night", fast="slow", happy="sad", open="closed",
    light="dark", hard="soft", early="late", full="empty", high="low", long="short", old="young", rich="poor",
    strong="weak", thick="thin", true="false", wet="dry", wide="narrow", win="lose", buy="sell", push="pull",
    start="stop", begin="end", black="white", clean="dirty", loud="quiet", near="far", deep="shallow",
    smooth="rough", sharp="dull", inside="outside", above="below", first="last", easy="difficult",
    cheap="expensive", yes="no", love="hate", good="bad", north="south", east="west", in_="out",
)  # fmt: skip
OPPOSITES["in"] = OPPOSITES.pop("in_")

# (larger unit, singular, smaller unit, factor, largest number asked)
UNITS = [
    ("kilometers", "kilometer", "meters", 1000, 99),
    ("meters", "meter", "centimeters", 100, 99),
    ("centimeters", "centimeter", "millimeters", 10, 99),
    ("kilograms", "kilogram", "grams", 1000, 99),
    ("liters", "liter", "milliliters", 1000, 99),
    ("dollars", "dollar", "cents", 100, 99),
    ("euros", "euro", "cents", 100, 99),
    ("gigabytes", "gigabyte", "megabytes", 1000, 99),
    ("hours", "hour", "minutes", 60, 12),
    ("minutes", "minute", "seconds", 60, 12),
    ("days", "day", "hours", 24, 7),
    ("weeks", "week", "days", 7, 12),
    ("years", "year", "months", 12, 12),
    ("dozens", "dozen", "items", 12, 12),
    ("feet", "foot", "inches", 12, 12),
    ("yards", "yard", "feet", 3, 12),
]

SHORT = [
    (["What is a mixture of experts?", "What is MoE?", "Explain mixture of experts.", "What does MoE mean?", "What are mixture of experts models?"],
     "A **mixture of experts** splits each feed-forward layer into many small experts and uses only a few of them for each token."),
    (["What does the router do?", "What is a router?", "How are experts chosen?", "Who picks the experts?", "How does the router work?"],
     "The router scores every expert for each token and sends the token to the best few."),
    (["What is an expert?", "What is an expert in MoE?", "What are experts?", "Explain experts."],
     "An expert is a small feed-forward network inside a layer. Only the chosen experts run for a token."),
    (["Why is MoE fast?", "Why use mixture of experts?", "What is the benefit of MoE?", "Why are MoE models fast?"],
     "Only a small part of the weights is used for each token, so a large model can run with little work."),
    (["What is expert offloading?", "How can a big model run on a small GPU?", "What does offloading mean?", "What is offloading?", "Explain offloading."],
     "Offloading keeps the most used experts in fast memory and the rest in RAM or on disk, and loads them when the router needs them."),
    (["What is a hot expert?", "Which experts stay in memory?", "Which experts stay on the GPU?"],
     "A hot expert is one that the router picks often, so it is kept in fast memory."),
    (["What is Qwen3-Next?", "Tell me about Qwen3-Next.", "What is Qwen3-Next-80B-A3B?", "What is Qwen?"],
     "Qwen3-Next is a language model with 80 billion weights. It uses about 3 billion of them for each token."),
    (["How many experts does Qwen3-Next have?", "How many experts are in Qwen3-Next?"],
     "Qwen3-Next has 512 experts in each layer. It uses 10 of them and one shared expert for each token."),
    (["How many layers does Qwen3-Next have?"],
     "Qwen3-Next has 48 layers: 36 with Gated DeltaNet and 12 with full attention."),
    (["What is a shared expert?", "What does the shared expert do?"],
     "The shared expert runs for every token, next to the experts that the router picks."),
    (["What is a token?", "What are tokens?", "Explain tokens.", "What does token mean?"],
     "A token is a piece of text, often a word or a part of a word."),
    (["What is quantization?", "What does 4-bit mean?", "Why quantize a model?", "Explain quantization.", "What is a quantized model?"],
     "Quantization stores weights with fewer bits, so the model becomes smaller and faster and loses only a little quality."),
    (["What is Gated DeltaNet?", "What is linear attention?", "What is DeltaNet?", "What is the delta rule?"],
     "Gated DeltaNet is a layer with a memory of fixed size that is updated for each token, so long texts stay cheap."),
    (["What is attention?", "What is full attention?", "Explain attention."],
     "Attention lets each token look back at all earlier tokens and take what it needs from them."),
    (["What is the KV cache?", "What is a KV cache?", "Why do we need a KV cache?"],
     "The KV cache keeps the keys and values of earlier tokens, so that they are not computed again."),
    (["What is prefill?", "What does prefill mean?"],
     "Prefill is the first step: the model reads the whole prompt before it writes the first token."),
    (["What is decode?", "What is decoding?", "What does decode mean?"],
     "Decode is the second step: the model writes the answer, one token after another."),
    (["What is a GGUF file?", "What is GGUF?"],
     "GGUF is a file format that holds a whole model: weights, tokenizer and settings."),
    (["What is VRAM?", "What does VRAM mean?"], "VRAM is the memory of the graphics card. It is fast, but there is little of it."),
    (["What is RAM?", "What does RAM mean?"], "RAM is the main memory of the computer. It is slower than VRAM, but there is more of it."),
    (["What is temperature?", "What does temperature do?"],
     "Temperature sets how freely the next token is chosen: a low value is safe, a high value gives more variety."),
    (["What is a language model?", "What is an LLM?"], "A language model reads text and predicts the next token, again and again."),
    (["Who are you?", "What are you?", "What is your name?", "Introduce yourself.", "Tell me about yourself.", "Are you a robot?", "What's your name?"],
     "I am the demo model of Moestro, a tiny mixture of experts. I can do simple sums, conversions, spelling and a few facts."),
    (["What can you do?", "Help", "How can you help me?", "What do you know?", "What can I ask you?", "What should I ask?"],
     "You can ask me:\n\n- **sums** such as 17 + 25\n- **conversions** such as 3 hours in minutes\n- **days and months**\n- **spelling** of a word\n- **capitals** and opposites\n- about **experts** and this app"),
    (["How big are you?", "How many parameters do you have?", "Are you a large model?", "How large are you?", "How many experts do you have?"],
     "I am very small: 8 layers with 32 experts each, and a few million weights."),
    (["Who made you?", "Who trained you?", "Who built you?", "How were you trained?"],
     "I was trained from scratch on practice data made by a script, on an ordinary processor."),
    (["What is Moestro?", "What is this app?", "What does this app do?", "What is this program?", "What does Moestro do?", "Tell me about Moestro."],
     "Moestro is a desktop app that runs large mixture of experts models on your own machine. It keeps the experts you need in fast memory."),
    (["What does the Memory page do?", "What is the Memory page?", "What does the Memory page show?", "Explain the Memory page.", "Where do I see the memory?"],
     "The **Memory** page shows where every byte of the model lives: in VRAM, in RAM or on disk. Its sliders change that while the model talks."),
    (["What do the sliders do?", "What are the sliders for?", "How do the sliders work?", "What does the slider do?"],
     "The sliders set the VRAM budget, the RAM budget and how many experts of each layer are cached. They act at once, between two tokens."),
    (["What does the heat map show?", "What is the heat map?", "Explain the heat map."],
     "The heat map shows layers by experts: which experts are resident and which were used a moment ago."),
    (["What is the hit rate?", "What does hit rate mean?"],
     "The hit rate says how often a needed expert was already in fast memory. Higher is faster."),
    (["How do I load a bigger model?", "Which model should I use?", "Can I use a bigger model?", "How do I open a model?", "How can I load another model?", "How do I change the model?"],
     "Go to the **Models** page and open a model file or folder, for example a GGUF of Qwen3-Next."),
    (["Which models can I load?", "What formats can I open?", "Which files can I open?"],
     "You can open GGUF files and Hugging Face folders with safetensors, of Qwen3-Next and Qwen3 MoE models."),
    (["How do I stop an answer?", "How can I stop you?", "How do I stop the generation?"], "Press the **Stop** button. What is already written stays."),
    (["How do I start a new chat?", "Where is a new chat?"], "Press **New chat** on the Chat page."),
    (["What happens if the engine crashes?", "What if the engine crashes?"],
     "The engine runs in its own process. If it crashes, the window stays open and you can load the model again with one click."),
    (["How can I make it faster?", "How do I get more speed?", "Why is it slow?"],
     "Give the experts more memory: raise the RAM or VRAM budget on the Memory page, so that the hit rate goes up."),
    (["Do I need a GPU?", "Does it work without a GPU?", "Can I run it without a graphics card?"], "No. Without a GPU the model runs on the processor, only slower."),
    (["Do you need the internet?", "Does my data leave this computer?", "Is this private?", "Are you online?"],
     "No. I run on this computer, and nothing you write leaves it."),
    (["Hello", "Hi", "Hello!", "Hi!", "Hey", "Good morning", "Good evening", "Hello there", "Hey there!", "Good afternoon", "hi there"], "Hello! How can I help you?"),
    (["Thanks", "Thank you", "Thank you!", "Thanks a lot", "Great, thanks", "Thanks!", "Thank you very much.", "Nice, thank you"], "You are welcome!"),
    (["Bye", "Goodbye", "Goodbye!", "See you later", "Bye bye", "Good night"], "Goodbye! See you soon."),
    (["How are you?", "How is it going?", "How do you feel?", "How are you today?", "How are you doing?"], "I am fine, thank you. How can I help you?"),
    (["Ok", "Okay", "Great", "Nice", "Cool", "Good", "Wow", "Good job", "Well done"], "Glad to hear that! What else can I do?"),
    (["Test", "test", "Testing", "Are you there?", "Is this working?"], "I am here and working. Ask me something!"),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Tell a joke"], "Why did the token cross the road? Because the router sent it to the other expert."),
    (["Write a poem.", "Write a short poem.", "Give me a poem.", "Write me a poem."], "Small words flow,\nexperts wake,\none by one,\nthe choice they make."),
    (["How many days are in a year?"], "There are 365 days in a year."),
    (["How many days are in a week?", "How many days does a week have?"], "There are 7 days in a week."),
    (["How many months are in a year?", "How many months does a year have?"], "There are 12 months in a year."),
    (["What color is the sky?", "What is the color of the sky?"], "The sky is blue."),
    (["What color is grass?", "What is the color of grass?"], "Grass is green."),
    (["What is the largest planet?", "Which planet is the largest?"], "Jupiter is the largest planet."),
    (["What is the meaning of life?", "What is the answer to everything?"], "42, of course. But I am only a small demo model."),
]  # fmt: skip

LONG = [
    (["Tell me everything about experts.", "Tell me about experts.", "Tell me more about experts.", "Explain experts in detail."],
     "Experts are the heart of a mixture of experts model. Each layer has many of them, and each one is a small feed-forward network with its own weights.\n\n"
     "For every token, a **router** looks at the hidden state and gives each expert a score. Only the few best experts run, and their results are added, weighted by the scores. A **shared expert** runs for every token.\n\n"
     "This is why such a model can be very large and still fast: most of its weights rest at any moment. But all of them must live somewhere. "
     "Experts that are used often belong in fast memory, and the others can wait in RAM or on disk until the router calls them."),
    (["How does Moestro work?", "Explain Moestro in detail.", "Tell me everything about Moestro.", "Tell me more about this app."],
     "Moestro runs large mixture of experts models on one machine. It works like this:\n\n"
     "1. **Always needed weights**, such as attention and routers, stay in fast memory.\n"
     "2. **Experts** live in slots. Each layer has some slots, and the rest of its experts wait one tier below.\n"
     "3. The **router** picks experts for each token. If an expert is in a slot, that is a hit. If not, it is loaded, and the one used longest ago makes room.\n"
     "4. The **Memory** page shows all of this, and its sliders change the budgets while the model talks.\n\n"
     "The answer is the same for any number of slots. Only the speed changes."),
    (["Explain how a language model works.", "How does a language model work?", "How do you work?"],
     "A language model works in a few steps:\n\n"
     "1. The text is cut into **tokens**.\n"
     "2. Each token becomes a list of numbers.\n"
     "3. The layers change these numbers: attention mixes tokens, and experts think about each one.\n"
     "4. At the end, every token of the vocabulary gets a score.\n"
     "5. One token is chosen and added to the text, and all of it starts again.\n\n"
     "I am a very small one, so I know only a few things."),
    (["Tell me a story.", "Write a story.", "Tell me a long story.", "Write a short story."],
     "Once there was a small expert who lived in a large layer. It had 31 neighbors, and every day the router came by with new tokens.\n\n"
     "The router gave the long words to one neighbor and the numbers to another. The small expert waited. Its weights were moved to RAM, and later to disk, where it was dark and quiet.\n\n"
     "One morning a strange token came, and nobody knew what to do with it. The router looked at the scores and smiled. \"Wake up,\" it said, \"this one is for you.\" "
     "The small expert was loaded into a slot, did its work, and the answer was right. From that day on it was a hot expert, and it never had to sleep on the disk again."),
    (["What is the difference between RAM and VRAM?", "Compare RAM and VRAM.", "RAM or VRAM?"],
     "| Memory | Where | Speed | Size |\n|---|---|---|---|\n| VRAM | graphics card | very fast | small |\n| RAM | main board | fast | medium |\n| Disk | SSD | slow | large |\n\nPut the most used experts as high in this table as they fit."),
]  # fmt: skip

LISTS = [
    (["List the days of the week.", "Name the days of the week.", "What are the days of the week?", "List the days.", "Name all days."], "- " + "\n- ".join(DAYS)),
    (["List the months.", "Name the months.", "What are the months of the year?", "List all months.", "List the months of the year."], "- " + "\n- ".join(MONTHS)),
    (["List the seasons.", "Name the four seasons.", "What are the seasons?"], "- Spring\n- Summer\n- Autumn\n- Winter"),
    (["List the planets.", "Name the planets.", "What are the planets?"], "- Mercury\n- Venus\n- Earth\n- Mars\n- Jupiter\n- Saturn\n- Uranus\n- Neptune"),
    (["List some colors.", "Name some colors.", "List colors."], "- red\n- orange\n- yellow\n- green\n- blue\n- purple"),
    (["Say the alphabet.", "List the alphabet.", "Write the alphabet.", "What is the alphabet?"], ", ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ") + "."),
    (["List the continents.", "Name the continents.", "What are the continents?"], "- Africa\n- Antarctica\n- Asia\n- Australia\n- Europe\n- North America\n- South America"),
]  # fmt: skip

HELLO = {
    "Python": ("python", 'print("Hello, world!")'),
    "Rust": ("rust", 'fn main() {\n    println!("Hello, world!");\n}'),
    "C": ("c", '#include <stdio.h>\n\nint main(void) {\n    puts("Hello, world!");\n}'),
    "JavaScript": ("js", 'console.log("Hello, world!");'),
    "Bash": ("sh", 'echo "Hello, world!"'),
    "Go": ("go", 'package main\n\nimport "fmt"\n\nfunc main() {\n    fmt.Println("Hello, world!")\n}'),
}
