# SPDX-License-Identifier: MIT
"""Tables of well-known facts and words that the demo model's synthetic sentences are made of.

Every answer that a sentence ends in is one word, so that the tokenizer can give it one token and a
lens can follow that token from layer to layer.
"""

from __future__ import annotations

AIRPORTS: dict[str, str] = {
    "Heathrow": "London", "Gatwick": "London", "Stansted": "London", "Luton": "London",
    "Orly": "Paris", "Roissy": "Paris", "Schiphol": "Amsterdam", "Fiumicino": "Rome",
    "Ciampino": "Rome", "Malpensa": "Milan", "Linate": "Milan", "Barajas": "Madrid",
    "El Prat": "Barcelona", "Brandenburg": "Berlin", "Haneda": "Tokyo", "Narita": "Tokyo",
    "Midway": "Chicago", "Logan": "Boston", "Hobby": "Houston", "Love Field": "Dallas",
    "Sky Harbor": "Phoenix", "Hartsfield": "Atlanta", "Dulles": "Washington", "Reagan": "Washington",
    "Pearson": "Toronto", "Trudeau": "Montreal", "Changi": "Singapore", "Incheon": "Seoul",
    "Gimpo": "Seoul", "Kastrup": "Copenhagen", "Arlanda": "Stockholm", "Bromma": "Stockholm",
    "Gardermoen": "Oslo", "Vantaa": "Helsinki", "Liszt": "Budapest", "Chopin": "Warsaw",
    "Vnukovo": "Moscow", "Domodedovo": "Moscow", "Tullamarine": "Melbourne",
    "Kingsford": "Sydney", "Tambo": "Johannesburg", "Kenyatta": "Nairobi", "Pudong": "Shanghai",
    "Hongqiao": "Shanghai", "Don Mueang": "Bangkok", "Noi Bai": "Hanoi", "Aquino": "Manila",
    "Soekarno": "Jakarta", "Mehrabad": "Tehran", "Portela": "Lisbon", "Zaventem": "Brussels",
    "Kloten": "Zurich", "Cointrin": "Geneva", "Schwechat": "Vienna", "Turnhouse": "Edinburgh",
    "Speke": "Liverpool", "Ringway": "Manchester", "Otopeni": "Bucharest", "Chavez": "Lima",
    "Marco Polo": "Venice", "Galileo": "Pisa", "Venizelos": "Athens", "Tesla": "Belgrade",
    "Ruzyne": "Prague", "Blagnac": "Toulouse", "Marti": "Havana", "Kotoka": "Accra",
}

CAPITALS: dict[str, str] = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon", "England": "London", "Scotland": "Edinburgh", "Wales": "Cardiff",
    "Ireland": "Dublin", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki",
    "Denmark": "Copenhagen", "Belgium": "Brussels", "Austria": "Vienna", "Switzerland": "Bern",
    "Poland": "Warsaw", "Hungary": "Budapest", "Romania": "Bucharest", "Bulgaria": "Sofia",
    "Greece": "Athens", "Turkey": "Ankara", "Russia": "Moscow", "Serbia": "Belgrade",
    "Croatia": "Zagreb", "Albania": "Tirana", "Estonia": "Tallinn", "Latvia": "Riga",
    "Lithuania": "Vilnius", "Egypt": "Cairo", "Morocco": "Rabat", "Tunisia": "Tunis",
    "Libya": "Tripoli", "Kenya": "Nairobi", "Ghana": "Accra", "Senegal": "Dakar",
    "Uganda": "Kampala", "Zambia": "Lusaka", "Angola": "Luanda", "Zimbabwe": "Harare",
    "China": "Beijing", "Japan": "Tokyo", "Nepal": "Kathmandu", "Iran": "Tehran",
    "Iraq": "Baghdad", "Syria": "Damascus", "Lebanon": "Beirut", "Jordan": "Amman",
    "Qatar": "Doha", "Oman": "Muscat", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Cuba": "Havana", "Canada": "Ottawa", "Peru": "Lima", "Chile": "Santiago",
    "Ecuador": "Quito", "Colombia": "Bogota", "Venezuela": "Caracas", "Australia": "Canberra",
    "Ukraine": "Kyiv", "Uruguay": "Montevideo",
}

# What a worker does (after "who") and the worker's name.
TRADES: dict[str, str] = {
    "bakes bread": "baker", "catches fish": "fisherman", "grows corn": "farmer",
    "teaches children": "teacher", "heals the sick": "doctor", "flies aeroplanes": "pilot",
    "paints pictures": "painter", "writes poems": "poet", "cuts hair": "barber",
    "makes shoes": "shoemaker", "makes clothes": "tailor", "shoes horses": "blacksmith",
    "builds houses of wood": "carpenter", "builds walls of stone": "mason", "sells meat": "butcher",
    "sails the sea": "sailor", "fights in the army": "soldier", "studies the stars": "astronomer",
    "looks after sheep": "shepherd", "cooks dinners": "cook", "keeps a garden": "gardener",
    "digs for coal": "miner", "mends teeth": "dentist", "drives a coach": "driver",
    "grinds corn into flour": "miller", "writes music": "composer", "sings songs": "singer",
    "dances on the stage": "dancer", "acts in plays": "actor", "plays the violin": "violinist",
    "judges in a court": "judge", "pleads in a court": "lawyer", "nurses the sick": "nurse",
    "hunts deer": "hunter", "makes watches": "watchmaker", "makes pots of clay": "potter",
    "weaves cloth": "weaver", "lends books": "librarian", "carves statues": "sculptor",
    "preaches in a church": "priest", "steals purses": "thief", "plans buildings": "architect",
    "sells medicines": "chemist", "puts out fires": "fireman", "brings letters": "postman",
}

PEOPLE: dict[str, str] = {
    "Marie Curie": "physicist", "Isaac Newton": "physicist", "Albert Einstein": "physicist",
    "Michael Faraday": "physicist", "Niels Bohr": "physicist", "Max Planck": "physicist",
    "Charles Darwin": "naturalist", "John Audubon": "naturalist", "Galileo Galilei": "astronomer",
    "Edmond Halley": "astronomer", "William Herschel": "astronomer", "Tycho Brahe": "astronomer",
    "Johannes Kepler": "astronomer", "Wolfgang Mozart": "composer", "Johann Bach": "composer",
    "Joseph Haydn": "composer", "Franz Schubert": "composer", "Johannes Brahms": "composer",
    "Vincent van Gogh": "painter", "Claude Monet": "painter", "Pablo Picasso": "painter",
    "Joseph Turner": "painter", "Paul Cezanne": "painter", "Jane Austen": "novelist",
    "Charles Dickens": "novelist", "Leo Tolstoy": "novelist", "Thomas Hardy": "novelist",
    "George Eliot": "novelist", "John Keats": "poet", "Emily Dickinson": "poet",
    "Robert Burns": "poet", "Walt Whitman": "poet", "Percy Shelley": "poet",
    "James Cook": "explorer", "Roald Amundsen": "explorer", "Ernest Shackleton": "explorer",
    "Leonhard Euler": "mathematician", "Carl Gauss": "mathematician", "Emmy Noether": "mathematician",
    "Ada Lovelace": "mathematician", "Auguste Rodin": "sculptor", "Florence Nightingale": "nurse",
    "Amelia Earhart": "pilot", "Christopher Wren": "architect", "Thomas Edison": "inventor",
    "Alexander Bell": "inventor", "James Watt": "inventor", "Antoine Lavoisier": "chemist",
    "Dmitri Mendeleev": "chemist", "Louis Pasteur": "chemist", "Plato": "philosopher",
    "Socrates": "philosopher", "Immanuel Kant": "philosopher", "David Hume": "philosopher",
}

# Singular, plural, and the prepositions that may follow the noun.
_NEAR = ("near", "behind", "beside", "by")
_ON = ("on", "under", "near", "beside")
SUBJECTS: list[tuple[str, str, tuple[str, ...]]] = [
    ("key", "keys", ("to", "of", "near")), ("door", "doors", ("to", "of", "near")),
    ("road", "roads", ("to", "near", "behind")), ("path", "paths", ("to", "near", "beside")),
    ("letter", "letters", ("from", "to", "about")), ("story", "stories", ("about", "of", "from")),
    ("picture", "pictures", ("of", "on", "behind")), ("book", "books", ("about", "on", "under")),
    ("song", "songs", ("about", "of", "from")), ("toy", "toys", _ON), ("box", "boxes", _ON),
    ("cup", "cups", _ON), ("lamp", "lamps", _ON), ("flower", "flowers", _NEAR),
    ("tree", "trees", _NEAR), ("bird", "birds", _NEAR), ("dog", "dogs", _NEAR),
    ("cat", "cats", _NEAR), ("horse", "horses", _NEAR), ("mouse", "mice", _NEAR),
    ("boy", "boys", _NEAR), ("girl", "girls", _NEAR), ("child", "children", _NEAR),
    ("man", "men", _NEAR), ("woman", "women", _NEAR), ("friend", "friends", ("of", "beside", "near")),
    ("teacher", "teachers", ("of", "beside", "near")), ("sister", "sisters", ("of", "beside", "near")),
    ("brother", "brothers", ("of", "beside", "near")), ("king", "kings", ("of", "near", "behind")),
    ("farmer", "farmers", _NEAR), ("soldier", "soldiers", _NEAR), ("house", "houses", _NEAR),
    ("garden", "gardens", _NEAR), ("window", "windows", ("of", "near", "behind")),
    ("wall", "walls", ("of", "near", "behind")), ("stone", "stones", _ON), ("knife", "knives", _ON),
    ("bell", "bells", ("of", "near", "above")), ("boat", "boats", _NEAR), ("ship", "ships", _NEAR),
    ("chair", "chairs", _NEAR), ("apple", "apples", _ON), ("egg", "eggs", _ON),
    ("coat", "coats", _ON), ("hat", "hats", _ON), ("shoe", "shoes", _ON), ("ring", "rings", _ON),
    ("sword", "swords", ("of", "near", "behind")), ("map", "maps", ("of", "on", "behind")),
]

ATTRACTORS: list[tuple[str, str]] = [(one, many) for one, many, _ in SUBJECTS] + [
    ("cabinet", "cabinets"), ("table", "tables"), ("room", "rooms"), ("tower", "towers"),
    ("castle", "castles"), ("river", "rivers"), ("mountain", "mountains"), ("bridge", "bridges"),
    ("church", "churches"), ("school", "schools"), ("gate", "gates"), ("shop", "shops"),
    ("village", "villages"), ("field", "fields"), ("prince", "princes"), ("queen", "queens"),
    ("baker", "bakers"), ("sailor", "sailors"), ("cow", "cows"), ("sheet", "sheets"),
    ("basket", "baskets"), ("shelf", "shelves"), ("bed", "beds"), ("desk", "desks"),
    ("drawer", "drawers"), ("kitchen", "kitchens"), ("island", "islands"), ("forest", "forests"),
]

STATES: list[str] = [
    "old", "new", "very old", "very small", "lost", "gone", "ready", "red", "green", "black",
    "white", "here", "there", "good", "beautiful", "quite safe", "not far away", "well known",
    "still there", "far too big", "ugly", "strange", "clean", "broken",
]

NUMBER_WORDS: list[str] = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
CYCLES: dict[str, list[str]] = {
    "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "months": ("January February March April May June July August September October November "
               "December").split(),
    "letters": list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}


def single_token_words() -> list[str]:
    """The words that must be one token when a space stands before them."""
    words: list[str] = ["is", "are", "was", "were", "has", "have", "airport", "capital", "city", "located"]
    words += [*AIRPORTS.values(), *CAPITALS, *CAPITALS.values(), *TRADES.values(), *PEOPLE.values()]
    words += [w for one, many in ATTRACTORS for w in (one, many)]
    words += NUMBER_WORDS + CYCLES["days"] + CYCLES["months"] + [str(n) for n in range(100)]
    return list(dict.fromkeys(words))
