"""What the packaged tables leave out or say in an unusual way: other names, disputed facts, plain words for codes."""

from __future__ import annotations

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
# Dependent or disputed territories: asking for "the country" would be asking a political question.
NOT_COUNTRIES = frozenset("AW CW EH GF GP GU HK JE MO MQ NC PF PR PS RE VI YT".split())  # noqa: SIM905
ALSO_IN = {"RU": "Asia", "TR": "Europe", "EG": "Asia", "KZ": "Europe", "GE": "Europe", "AZ": "Europe", "AM": "Europe"}
ALSO_IN |= {"CY": "Asia", "TL": "Asia", "ID": "Oceania"}
COUNTRY_ALIASES: dict[str, tuple[str, ...]] = {
    "AE": ("UAE",),
    "CD": ("DR Congo", "Congo"),
    "CG": ("Congo",),
    "CI": ("Cote d'Ivoire",),
    "CZ": ("Czech Republic",),
    "FM": ("Federated States of Micronesia",),
    "GB": ("UK", "Great Britain", "Britain"),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "NL": ("Holland",),
    "SZ": ("Swaziland",),
    "TL": ("East Timor",),
    "US": ("United States of America", "USA"),
}
NOT_NEIGHBOURS = frozenset({("US", "CU"), ("CU", "US")})  # GeoNames counts a naval base
CAPITAL_ALIASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "BO": (("La Paz",),),
    "CI": (("Abidjan",),),
    "GQ": (("Malabo",),),
    "KZ": (("Nur-Sultan",),),
    "LK": (("Sri Jayawardenepura Kotte", "Kotte"),),
    "MM": (("Naypyidaw",),),
    "MN": (("Ulan Bator",),),
    "UA": (("Kiev",),),
    "US": (("Washington, D.C.", "Washington DC", "Washington D.C."),),
    "ZA": (("Cape Town",), ("Bloemfontein",)),
}
LANGUAGE_ALIASES: dict[str, tuple[str, ...]] = {
    "Chinese": ("Mandarin", "Mandarin Chinese"),
    "Dhivehi": ("Maldivian",),
    "Filipino": ("Tagalog",),
    "Nyanja": ("Chichewa", "Chewa"),
    "Persian": ("Farsi", "Dari"),
    "Rundi": ("Kirundi",),
    "Swati": ("Swazi",),
    "Tswana": ("Setswana",),
}
PLAIN_LANGUAGES = {"Bangla": "Bengali", "Divehi": "Dhivehi", "Norwegian Bokmål": "Norwegian", "Norwegian Nynorsk": "Norwegian"}
ALSO_SPOKEN = {"ZA": ("Zulu", "Xhosa", "Afrikaans")}  # official in the whole country; CLDR has them as regional
CURRENCY_ALIASES: dict[str, tuple[str, ...]] = {
    "CNY": ("renminbi", "Chinese renminbi"),
    "GBP": ("pound sterling", "sterling"),
    "KRW": ("won",),
    "USD": ("United States dollar", "American dollar", "U.S. dollar"),
}
CATEGORIES: dict[str, tuple[str, ...]] = {
    "Actinides": ("actinide", "actinides"),
    "Alkali metals": ("alkali metal", "alkali metals"),
    "Alkaline earth metals": ("alkaline earth metal", "alkaline earth metals"),
    "Halogens": ("halogen", "halogens"),
    "Lanthanides": ("lanthanide", "lanthanides"),
    "Metalloids": ("metalloid", "metalloids"),
    "Noble gases": ("noble gas", "noble gases"),
    "Nonmetals": ("nonmetal", "nonmetals", "non-metal"),
    "Poor metals": ("post-transition metal", "post-transition metals", "poor metal", "poor metals"),
    "Transition metals": ("transition metal", "transition metals"),
}
ELEMENT_ALIASES = {"Aluminum": "Aluminium", "Cesium": "Caesium", "Sulfur": "Sulphur"}
AROUND_GROUP_3 = ("La", "Lu", "Ac", "Lr")
FIRST_UNSEEN_CHEMISTRY = 109
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
