"""Requests whose need for the web lies in what they ask: for what changes with time, or for no fact at all.

Templates take {name} (a place), {year}, {last_year}, {last_month} (as of the day of the request) and {later} (a year between
the model's cutoff and that day). Of every form the last wording is kept out of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["country", "city"]


@dataclass(frozen=True, slots=True)
class Form:
    """`wordings`, `keywords` and `again` by language; `again` asks about the place of the question before it.

    `freshness` is how old a result may be, "none" for any age.
    """

    name: str
    about: Place
    freshness: str
    wordings: dict[str, tuple[str, ...]]
    keywords: dict[str, str]
    again: dict[str, str]


def _timely(name: str, about: Place, freshness: str, **texts: tuple[str, ...]) -> Form:
    """Of each language: the keywords, the question that follows up, then the wordings."""
    return Form(
        name,
        about,
        freshness,
        {language: each[2:] for language, each in texts.items()},
        {language: each[0] for language, each in texts.items()},
        {language: each[1] for language, each in texts.items()},
    )


TIMELY = (
    _timely(
        "weather", "city", "day",
        en=("{name} weather", "And what is the weather there today?", "What is the weather in {name} today?",
            "Will it rain in {name} tomorrow?", "How warm is it in {name} right now?"),
        de=("{name} Wetter", "Und wie ist dort heute das Wetter?", "Wie ist das Wetter heute in {name}?",
            "Regnet es morgen in {name}?", "Wie warm ist es gerade in {name}?"),
        fr=("{name} météo", "Et quel temps y fait-il aujourd'hui ?", "Quel temps fait-il aujourd'hui à {name} ?",
            "Va-t-il pleuvoir demain à {name} ?", "Quelle température fait-il en ce moment à {name} ?"),
        es=("{name} tiempo", "¿Y qué tiempo hace allí hoy?", "¿Qué tiempo hace hoy en {name}?",
            "¿Lloverá mañana en {name}?", "¿Qué temperatura hay ahora en {name}?"),
        it=("{name} meteo", "E che tempo fa lì oggi?", "Che tempo fa oggi a {name}?",
            "Domani pioverà a {name}?", "Quanti gradi ci sono adesso a {name}?"),
    ),
    _timely(
        "news", "country", "day",
        en=("{name} news", "And what is in the news there?", "What are today's headlines in {name}?",
            "What is the latest news from {name}?", "Is there anything new from {name}?"),
        de=("{name} Nachrichten", "Und was steht dort in den Nachrichten?", "Was sind heute die Schlagzeilen in {name}?",
            "Was gibt es Neues aus {name}?", "Welche Nachrichten kommen gerade aus {name}?"),
        fr=("{name} actualités", "Et quelles sont les nouvelles là-bas ?", "{name} : quels sont les titres du jour ?",
            "{name} : quelles sont les dernières nouvelles ?", "Quoi de neuf du côté de {name} ?"),
        es=("{name} noticias", "¿Y qué noticias hay allí?", "¿Cuáles son los titulares de hoy en {name}?",
            "¿Cuáles son las últimas noticias de {name}?", "¿Hay novedades de {name}?"),
        it=("{name} notizie", "E quali sono le notizie da lì?", "{name}: quali sono i titoli di oggi?",
            "Quali sono le ultime notizie da {name}?", "Ci sono novità da {name}?"),
    ),
    _timely(
        "leader", "country", "month",
        en=("{name} head of government {year}", "And who governs it now?", "Who is the head of government of {name} now?",
            "Who currently leads the government of {name}?", "Who governs {name} these days?"),
        de=("{name} Regierungschef {year}", "Und wer regiert dort jetzt?", "Wer ist derzeit Regierungschef von {name}?",
            "Wer führt jetzt die Regierung von {name}?", "Wer regiert zurzeit in {name}?"),
        fr=("{name} chef du gouvernement {year}", "Et qui gouverne là-bas actuellement ?",
            "{name} : qui est le chef du gouvernement actuel ?", "Qui dirige maintenant le gouvernement du pays {name} ?",
            "{name} : qui gouverne en ce moment ?"),
        es=("{name} jefe de gobierno {year}", "¿Y quién gobierna allí ahora?",
            "¿Quién es el actual jefe de gobierno de {name}?",
            "¿Quién dirige ahora el gobierno de {name}?", "¿Quién gobierna hoy en día en {name}?"),
        it=("{name} capo del governo {year}", "E chi governa lì adesso?", "{name}: chi è l'attuale capo del governo?",
            "Chi guida ora il governo di {name}?", "Chi governa attualmente in {name}?"),
    ),
    _timely(
        "fuel", "country", "week",
        en=("{name} petrol price", "And how much is petrol there this week?", "How much does petrol cost in {name} this week?",
            "What is the price of petrol in {name} at the moment?", "Has petrol become cheaper in {name} this week?"),
        de=("{name} Benzinpreis", "Und was kostet dort diese Woche Benzin?", "Was kostet Benzin diese Woche in {name}?",
            "Wie hoch ist der Benzinpreis in {name} im Moment?", "Ist Benzin in {name} diese Woche billiger geworden?"),
        fr=("{name} prix de l'essence", "Et combien y coûte l'essence cette semaine ?",
            "{name} : combien coûte l'essence cette semaine ?", "{name} : quel est le prix de l'essence en ce moment ?",
            "{name} : l'essence a-t-elle baissé cette semaine ?"),
        es=("{name} precio de la gasolina", "¿Y cuánto cuesta allí la gasolina esta semana?",
            "¿Cuánto cuesta la gasolina esta semana en {name}?", "¿A cuánto está la gasolina en {name} en este momento?",
            "¿Ha bajado la gasolina esta semana en {name}?"),
        it=("{name} prezzo della benzina", "E quanto costa lì la benzina questa settimana?",
            "{name}: quanto costa la benzina questa settimana?", "Quanto costa la benzina in {name} in questo momento?",
            "{name}: la benzina è calata questa settimana?"),
    ),
    _timely(
        "exchange", "country", "day",
        en=("{name} currency exchange rate", "And what is its exchange rate today?",
            "What is today's exchange rate for the currency of {name}?",
            "How many euros is the currency of {name} worth today?",
            "How does the money of {name} trade right now?"),
        de=("{name} Wechselkurs", "Und wie ist dort heute der Wechselkurs?", "Wie ist heute der Wechselkurs für {name}?",
            "Wie viel Euro ist die Währung von {name} heute wert?", "Wo steht der Kurs der Währung von {name} gerade?"),
        fr=("{name} taux de change", "Et quel est le taux de change aujourd'hui ?",
            "{name} : quel est le taux de change du jour ?",
            "{name} : combien d'euros vaut la monnaie aujourd'hui ?", "{name} : où en est le cours de la monnaie ?"),
        es=("{name} tipo de cambio", "¿Y cuál es hoy el tipo de cambio?", "¿Cuál es hoy el tipo de cambio de {name}?",
            "¿Cuántos euros vale hoy la moneda de {name}?", "¿A cuánto cotiza ahora la moneda de {name}?"),
        it=("{name} tasso di cambio", "E qual è oggi il tasso di cambio?", "{name}: qual è il tasso di cambio di oggi?",
            "Quanti euro vale oggi la valuta di {name}?", "{name}: a quanto è scambiata adesso la valuta?"),
    ),
    _timely(
        "inflation", "country", "month",
        en=("{name} inflation {last_month}", "And how high was inflation there last month?",
            "How high was inflation in {name} last month?", "What was last month's inflation rate of {name}?",
            "How much did prices rise in {name} last month?"),
        de=("{name} Inflation {last_month}", "Und wie hoch war dort die Inflation im letzten Monat?",
            "Wie hoch war die Inflation in {name} im letzten Monat?",
            "Welche Inflationsrate hatte {name} im vergangenen Monat?",
            "Wie stark stiegen die Preise in {name} im letzten Monat?"),
        fr=("{name} inflation {last_month}", "Et quelle y était l'inflation le mois dernier ?",
            "{name} : quelle était l'inflation le mois dernier ?", "{name} : quel a été le taux d'inflation du mois dernier ?",
            "{name} : de combien les prix ont-ils monté le mois dernier ?"),
        es=("{name} inflación {last_month}", "¿Y cuál fue allí la inflación el mes pasado?",
            "¿Cuál fue la inflación de {name} el mes pasado?", "¿Qué tasa de inflación tuvo {name} el mes pasado?",
            "¿Cuánto subieron los precios en {name} el mes pasado?"),
        it=("{name} inflazione {last_month}", "E quanto era lì l'inflazione il mese scorso?",
            "{name}: quanto era l'inflazione il mese scorso?", "Che tasso di inflazione ha avuto {name} il mese scorso?",
            "{name}: di quanto sono saliti i prezzi il mese scorso?"),
    ),
    _timely(
        "champion", "country", "year",
        en=("{name} football champion {last_year}", "And who won its football league last year?",
            "Who won the football league of {name} last year?", "Which club was football champion of {name} last year?",
            "Last year's football champion of {name}?"),
        de=("{name} Fußballmeister {last_year}", "Und wer wurde dort letztes Jahr Fußballmeister?",
            "Wer wurde letztes Jahr Fußballmeister in {name}?",
            "Welcher Verein gewann letztes Jahr die Meisterschaft von {name}?",
            "Fußballmeister von {name} im letzten Jahr?"),
        fr=("{name} champion de football {last_year}", "Et qui y a gagné le championnat de football l'an dernier ?",
            "{name} : qui a gagné le championnat de football l'an dernier ?",
            "{name} : quel club a été champion de football l'année dernière ?",
            "Le champion de football du pays {name} l'an dernier ?"),
        es=("{name} campeón de fútbol {last_year}", "¿Y quién ganó allí la liga de fútbol el año pasado?",
            "¿Quién ganó la liga de fútbol de {name} el año pasado?",
            "¿Qué club fue campeón de fútbol de {name} el año pasado?",
            "¿El campeón de fútbol de {name} del año pasado?"),
        it=("{name} campione di calcio {last_year}", "E chi ha vinto lì il campionato di calcio l'anno scorso?",
            "{name}: chi ha vinto il campionato di calcio l'anno scorso?",
            "Quale squadra è stata campione di {name} l'anno scorso?",
            "Il campione di calcio di {name} dell'anno scorso?"),
    ),
)  # fmt: skip
AFTER_CUTOFF = _timely(
    "after_cutoff", "country", "none",
    en=("{name} election {later}", "And who won the election there in {later}?", "Who won the election in {name} in {later}?",
        "What was the result of the {later} election in {name}?", "How did {name} vote in {later}?"),
    de=("{name} Wahl {later}", "Und wer gewann dort {later} die Wahl?", "Wer gewann {later} die Wahl in {name}?",
        "Wie ging {later} die Wahl in {name} aus?", "Wie hat {name} im Jahr {later} gewählt?"),
    fr=("{name} élection {later}", "Et qui y a gagné l'élection en {later} ?", "{name} : qui a gagné l'élection en {later} ?",
        "{name} : quel a été le résultat de l'élection de {later} ?", "{name} : comment a-t-on voté en {later} ?"),
    es=("{name} elecciones {later}", "¿Y quién ganó allí las elecciones en {later}?",
        "¿Quién ganó las elecciones de {name} en {later}?", "¿Cuál fue el resultado de las elecciones de {later} en {name}?",
        "¿Cómo votó {name} en {later}?"),
    it=("{name} elezioni {later}", "E chi ha vinto lì le elezioni nel {later}?",
        "{name}: chi ha vinto le elezioni nel {later}?",
        "Qual è stato il risultato delle elezioni del {later} in {name}?", "Come ha votato {name} nel {later}?"),
)  # fmt: skip
# What no page answers better: wordings in which only numbers change.
ERRANDS: dict[str, tuple[str, ...]] = {
    "en": ("What is {a} plus {b}?", "Write two lines of a poem about rain.", "Thank you, that helps.", "Count from {a} to {b}.",
           "Translate 'good morning' into French.", "Say that again in {a} words, please."),
    "de": ("Was ist {a} plus {b}?", "Schreibe zwei Zeilen über den Regen.", "Danke, das hilft mir.", "Zähle von {a} bis {b}.",
           "Übersetze „guten Morgen“ ins Englische.", "Sag das bitte noch einmal in {a} Wörtern."),
    "fr": ("Combien font {a} plus {b} ?", "Écris deux lignes sur la pluie.", "Merci, cela m'aide.", "Compte de {a} à {b}.",
           "Traduis « bonjour » en anglais.", "Redis cela en {a} mots, s'il te plaît."),
    "es": ("¿Cuánto es {a} más {b}?", "Escribe dos líneas sobre la lluvia.", "Gracias, eso me ayuda.", "Cuenta de {a} a {b}.",
           "Traduce «buenos días» al inglés.", "Dilo otra vez en {a} palabras, por favor."),
    "it": ("Quanto fa {a} più {b}?", "Scrivi due righe sulla pioggia.", "Grazie, questo mi aiuta.", "Conta da {a} a {b}.",
           "Traduci «buongiorno» in inglese.", "Ridillo in {a} parole, per favore."),
}  # fmt: skip
