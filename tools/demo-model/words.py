"""Word lists of the synthetic data, and invented words for what must work on any word."""

REAL = sorted(
    set(
        """apple river house cloud stone bread light water green music paper chair table plant horse tiger mouse sheep
train plane truck beach ocean forest desert island winter summer spring autumn sugar honey lemon grape peach melon onion
carrot potato tomato pepper cheese butter coffee flour knife spoon plate glass bottle window mirror garden flower branch
leaf root seed grass field cat dog bird fish frog bear wolf lion deer duck goose snake whale shark eagle robin happy
angry quick slow warm cold young old small large round sharp smooth rough heavy bright dark quiet loud north south east
west left right above below inside outside castle bridge tower street market school doctor nurse baker farmer pilot
sailor king queen prince silver gold copper iron wood cotton planet star moon comet rocket engine wheel motor robot
laptop screen cable memory token expert router layer model number letter word story poem song dance picture color orange
purple yellow brown white black blue red pink gray morning evening night today week month year hour minute second friend
family mother father sister brother uncle cousin baby child dream sleep smile laugh elephant banana computer science
history language mountain valley village city country people person question answer problem solution machine learning
network neural weight vector matrix kernel thread process system software hardware keyboard monitor printer camera phone
message email internet website browser server client database file folder program function variable string integer float
array list tree graph node edge path queue stack heap cache disk drive battery power energy force speed time space world
earth heaven ground floor wall roof door gate fence road track field sport football tennis hockey swimming running jump
walk talk write read listen speak think know learn teach study work play help give take make build break open close
begin finish travel visit arrive leave return bring carry hold throw catch kick hit cut draw paint sing cook bake boil
fry eat drink taste smell touch feel hear see look watch beautiful ugly clean dirty empty full strong weak rich poor
cheap expensive simple complex easy hard soft tall short wide narrow thick thin deep shallow fresh rotten sweet sour
bitter salty hungry thirsty tired sick healthy brave afraid proud lazy busy lonely famous strange normal different same
important special general public private local global modern ancient future past present always never often sometimes
maybe hello goodbye thanks sorry please welcome strawberry chocolate butterfly umbrella hospital library kitchen bedroom
bathroom bicycle airplane telephone television breakfast dinner lunch birthday holiday weekend winter sunshine rainbow
thunder lightning weather temperature pressure window orchestra guitar piano violin trumpet drum melody rhythm harmony
artist painter writer singer actor dancer teacher student lawyer judge police soldier captain engineer scientist""".split()
    )
)
NAMES = """Anna Ben Clara David Emma Frank Grace Henry Ivy Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tom Vera Will Zoe Max
Nina Omar Lucy Alice Bob Carol Dan Eve Fred Gina Hugo Iris John Karl Laura Mary Nick Oscar Peter Rita Sara Tina Ursula
Victor Wendy Yara Adam Julia Martin Sofia Lukas Elena Marco Aisha Chen Raj Maria James Linda Robert Susan Michael""".split()
COLORS = "red blue green yellow orange purple black white pink brown gray".split()
ANIMALS = "cat dog bird fish horse rabbit mouse turtle hamster parrot".split()
TOPICS = """gravity|black holes|quantum physics|the French Revolution|the Roman Empire|World War II|the stock market|bitcoin|
photosynthesis|evolution|dinosaurs|volcanoes|earthquakes|climate change|vaccines|medicine|the human brain|love|happiness|
religion|philosophy|Plato|Einstein|Newton|Napoleon|Shakespeare|Mozart|Picasso|the Mona Lisa|football|the Olympics|chess|
cooking|pizza|pasta|wine|beer|tea|travel|airplanes|trains|cars|ships|bicycles|rockets|the moon landing|Mars|the sun|stars|
galaxies|the universe|time travel|robots|artificial intelligence|programming|Linux|Windows|Java|databases|compilers|
operating systems|networks|social media|movies|Star Wars|Harry Potter|guitars|pianos|painting|novels|grammar|Latin|history|
geography|rivers|mountains|oceans|deserts|forests|animals|whales|sharks|spiders|politics|the president|elections|laws|taxes|
banks|money|inflation|jobs|university|mathematics|algebra|calculus|geometry|statistics|prime numbers|chemistry|atoms|oil|
gold|diamonds|electricity|magnets|solar power|nuclear energy|bridges|skyscrapers|fashion|gardening|roses|chocolate|health|
yoga|swimming|dentists|dreams|ghosts|dragons|unicorns|the weather|my homework|your feelings|the news|sports|war|peace""".replace(
    "\n", ""
).split("|")

_START = "b c d f g h j k l m n p r s t v w z st tr br cl pl gr sh ch th".split()
_VOWEL = "a e i o u ai ea oo ou".split()
_END = ["", "", "n", "r", "l", "s", "t", "m", "nd", "st", "ck", "ng"]


def invented(r, most: int = 3) -> str:
    """A pronounceable word of one to `most` syllables."""
    return "".join(r.choice(_START) + r.choice(_VOWEL) + r.choice(_END) for _ in range(r.randint(1, most)))[:9]
