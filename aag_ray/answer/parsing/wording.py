"""How facts are asked for, searched for and asked about again, in every language of the parser's data.

Questions name their subject where the language needs no article before it. A relation's label is what stands beside the
subject in a search box, and what a follow-up asks for.
"""

from __future__ import annotations

import re

from aag_ray.world.relations import RELATIONS

LANGUAGES = ("en", "de", "fr", "es", "it")
LABELS: dict[str, dict[str, str]] = {
    "en": {
        "capital": "capital", "continent": "continent", "currency": "currency", "language": "official language",
        "domain": "internet domain", "calling_code": "calling code", "iso_code": "ISO alpha-3 code",
        "neighbour": "neighbouring countries", "largest_city": "largest city", "country_of_capital": "capital of which country",
        "currency_by_capital": "country currency", "continent_by_capital": "country continent",
        "language_by_capital": "country official language", "calling_code_by_capital": "country calling code",
        "symbol": "chemical symbol", "atomic_number": "atomic number", "period": "periodic table period",
        "group": "periodic table group", "block": "periodic table block", "category": "element category",
        "element_of_symbol": "chemical symbol element", "period_by_symbol": "chemical symbol period",
        "group_by_symbol": "chemical symbol group", "city_country": "country", "city_continent": "continent",
        "city_capital": "national capital", "city_currency": "currency", "city_language": "official language",
        "city_calling_code": "country calling code", "city_population": "population", "city_latitude": "latitude",
    },
    "de": {
        "capital": "Hauptstadt", "continent": "Kontinent", "currency": "Währung", "language": "Amtssprache",
        "domain": "Internet-Domain", "calling_code": "Telefonvorwahl", "neighbour": "Nachbarland",
        "largest_city": "größte Stadt",
    },
    "fr": {
        "capital": "capitale", "continent": "continent", "currency": "monnaie", "language": "langue officielle",
        "domain": "domaine Internet", "calling_code": "indicatif téléphonique", "neighbour": "pays voisin",
        "largest_city": "plus grande ville",
    },
    "es": {
        "capital": "capital", "continent": "continente", "currency": "moneda", "language": "idioma oficial",
        "domain": "dominio de Internet", "calling_code": "prefijo telefónico", "neighbour": "país vecino",
        "largest_city": "ciudad más poblada",
    },
    "it": {
        "capital": "capitale", "continent": "continente", "currency": "valuta", "language": "lingua ufficiale",
        "domain": "dominio Internet", "calling_code": "prefisso telefonico", "neighbour": "paese confinante",
        "largest_city": "città più grande",
    },
}  # fmt: skip
_FOREIGN: dict[str, dict[str, tuple[str, ...]]] = {
    "de": {
        "capital": ("Wie heißt die Hauptstadt von {}?", "{}: Welche Stadt ist die Hauptstadt?"),
        "continent": ("Auf welchem Kontinent liegt {}?", "Zu welchem Kontinent gehört {}?"),
        "currency": ("Mit welcher Währung bezahlt man in {}?", "{}: Wie heißt die Währung?"),
        "language": ("Welche Amtssprache hat {}?", "Welche Sprache ist in {} Amtssprache?"),
        "domain": ("Welche Internet-Domain hat {}?", "Auf welche Domain enden Webadressen aus {}?"),
        "calling_code": ("Welche Telefonvorwahl hat {}?", "Welche Vorwahl wählt man für {}?"),
        "neighbour": ("Welches Land grenzt an {}?", "Nenne ein Nachbarland von {}."),
        "largest_city": ("Welche Stadt in {} hat die meisten Einwohner?", "Wie heißt die größte Stadt von {}?"),
    },
    "fr": {
        "capital": ("{} : quelle est la capitale ?", "Quelle est la capitale du pays nommé {} ?"),
        "continent": ("{} : sur quel continent est-ce ?", "Sur quel continent se trouve le pays {} ?"),
        "currency": ("{} : quelle est la monnaie ?", "Avec quelle monnaie paie-t-on dans le pays {} ?"),
        "language": ("{} : quelle est une langue officielle ?", "Quelle langue est officielle dans le pays {} ?"),
        "domain": ("{} : quel est le domaine Internet ?", "Quel domaine termine les adresses web du pays {} ?"),
        "calling_code": ("{} : quel est l'indicatif téléphonique ?", "Quel indicatif compose-t-on pour le pays {} ?"),
        "neighbour": ("{} : quel est un pays voisin ?", "Quel pays a une frontière commune avec le pays {} ?"),
        "largest_city": ("{} : quelle est la plus grande ville ?", "Quelle ville est la plus peuplée du pays {} ?"),
    },
    "es": {
        "capital": ("¿Cuál es la capital de {}?", "¿Qué ciudad es la capital de {}?"),
        "continent": ("¿En qué continente está {}?", "¿A qué continente pertenece {}?"),
        "currency": ("¿Con qué moneda se paga en {}?", "¿Cuál es la moneda de {}?"),
        "language": ("¿Qué idioma es oficial en {}?", "Nombra un idioma oficial de {}."),
        "domain": ("¿Cuál es el dominio de Internet de {}?", "¿En qué dominio terminan las webs de {}?"),
        "calling_code": ("¿Qué prefijo telefónico tiene {}?", "¿Qué prefijo se marca para llamar a {}?"),
        "neighbour": ("¿Qué país limita con {}?", "Nombra un país vecino de {}."),
        "largest_city": ("¿Cuál es la ciudad más poblada de {}?", "¿Qué ciudad de {} tiene más habitantes?"),
    },
    "it": {
        "capital": ("Qual è la capitale di {}?", "{}: quale città è la capitale?"),
        "continent": ("In quale continente si trova {}?", "A quale continente appartiene {}?"),
        "currency": ("{}: quale valuta si usa?", "Con quale valuta si paga in {}?"),
        "language": ("{}: qual è una lingua ufficiale?", "Quale lingua è ufficiale in {}?"),
        "domain": ("{}: qual è il dominio Internet?", "Con quale dominio finiscono i siti di {}?"),
        "calling_code": ("{}: qual è il prefisso telefonico?", "Quale prefisso si compone per chiamare {}?"),
        "neighbour": ("Quale paese confina con {}?", "Nomina un paese confinante con {}."),
        "largest_city": ("Qual è la città più grande di {}?", "{}: quale città ha più abitanti?"),
    },
}
QUESTIONS = {"en": {relation.name: relation.wordings for relation in RELATIONS}} | _FOREIGN
# Relations that a follow-up can ask of the subject of the question before it.
OF_THE_NAME = frozenset(relation.name for relation in RELATIONS if relation.subject == "name")
# The same subject, another relation.
NEXT_RELATION = {
    "en": ("And its {}?", "And what is its {}?", "What about the {}?"),
    "de": ("Und {}?", "Und was ist dort {}?", "Wie ist es mit {}?"),
    "fr": ("Et {} ?", "Et pour ce qui est de {} ?", "Et là-bas, {} ?"),
    "es": ("¿Y {}?", "¿Y cuál es su {}?", "¿Y qué hay de {}?"),
    "it": ("E {}?", "E qual è {}?", "E per quanto riguarda {}?"),
}
# The same relation, another subject.
NEXT_SUBJECT = {
    "en": ("And {}?", "What about {}?", "How about {}?"),
    "de": ("Und {}?", "Wie ist es bei {}?", "Was gilt für {}?"),
    "fr": ("Et {} ?", "Et pour {} ?", "Qu'en est-il de {} ?"),
    "es": ("¿Y {}?", "¿Y en el caso de {}?", "¿Qué pasa con {}?"),
    "it": ("E {}?", "E per {}?", "E nel caso di {}?"),
}


def subject_of(question: str, relation: str, language: str) -> tuple[str, str] | None:
    """The wording of a relation that a question was made with, and its subject; None if it was made with none."""
    for wording in QUESTIONS[language].get(relation, ()):
        if (found := _pattern(wording).fullmatch(question)) is not None:
            return wording, found[1]
    return None


def _pattern(wording: str) -> re.Pattern[str]:
    before, _, after = wording.partition("{}")
    return re.compile(f"{re.escape(before)}(.+){re.escape(after)}", re.IGNORECASE)
