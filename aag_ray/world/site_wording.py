"""The words of the local web's sites that carry no fact: titles, headings, prose, and what stands around every article."""

from __future__ import annotations

from typing import NamedTuple

from aag_ray.world.site import Style

FACT_LABELS = {
    "name": "Name", "continent": "Continent", "capital": "Capital", "currency": "Currency", "language": "Official language",
    "domain": "Internet domain", "calling_code": "Calling code", "iso_code": "ISO code", "neighbour": "Neighbouring countries",
    "largest_city": "Largest city", "country": "Country", "population": "Population", "latitude": "Latitude",
    "symbol": "Symbol", "atomic_number": "Atomic number", "period": "Period", "group": "Group", "block": "Block",
    "category": "Category", "weight": "Atomic weight", "discovery": "Year of discovery",
}  # fmt: skip
TITLES = {
    Style.ENCYCLOPAEDIA: "{name}",
    Style.TRAVEL: "{name}: what to know before you go",
    Style.NEWS: "{name} explained: the facts behind the headlines",
    Style.BLOG: "Notes on {name}",
    Style.STATISTICS: "{name}: key figures",
    Style.FORUM: "Some questions about {name}",
}
STYLE_HEADINGS = {
    Style.ENCYCLOPAEDIA: ("Overview", "Details", "Sources and reliability"),
    Style.TRAVEL: ("The essentials", "On the spot", "Good to know"),
    Style.NEWS: ("What is known", "The background", "How we work"),
    Style.BLOG: ("What I looked up", "What I had not known", "Why I write this"),
    Style.STATISTICS: ("Summary", "Remarks", "Method"),
}
STYLE_PROSE: dict[Style, tuple[str, ...]] = {
    Style.ENCYCLOPAEDIA: (
        "Articles in this work are written by volunteers and reviewed by at least two editors before they are published.",
        "Where sources disagree, the article follows the one that explains how its figures were obtained.",
        "Rounded values are preferred in running text, while tables give what the source printed.",
        "Spellings follow the form that is usual in English, with other forms listed where readers may look for them.",
        "Older editions of this article remain available to anyone who wants to see how knowledge has changed.",
        "Disputed matters are described as disputes, and nobody's claim is stated as the view of this work.",
        "Readers who miss a source may ask for one on the discussion page, and most requests are answered in a week.",
        "A statement that nobody could confirm for a year is removed, even if it is probably true.",
        "The tables were checked line by line when the present edition was prepared.",
    ),
    Style.TRAVEL: (
        "Pack light: most travellers regret what they brought more often than what they left at home.",
        "Book the first night before you leave, and keep the rest of the journey open for what you hear on the way.",
        "Photocopies of your papers weigh nothing and have saved many a holiday.",
        "A few polite words in the local language open more doors than any guide book.",
        "Ask people who live there where they eat; it is rarely where the menus have pictures.",
        "Public transport is slower than a taxi and tells you ten times as much about a place.",
        "Tap water habits differ, so watch what the locals do before you fill your bottle.",
        "Shoulder season often has the best weather and always the shorter queues.",
        "Small notes and coins are worth their weight when the card reader has a bad day.",
    ),
    Style.NEWS: (
        "Our correspondents collect such figures from public registers and ask the offices concerned to comment.",
        "Nobody was available on the telephone when this newspaper asked for an interview on Friday afternoon.",
        "The matter is likely to return to the agenda after the summer recess, several observers said.",
        "Analysts warned against reading too much into a single number, and then read quite a lot into it.",
        "A spokeswoman said that the details would be published in due course, without naming a day.",
        "This article will be updated as soon as new information has been confirmed by a second source.",
        "Earlier reports had left several of these points open, which readers noticed at once.",
        "What remains is a picture with fewer surprises than the headlines of the week suggested.",
        "Figures in this article are rounded where the registers give more digits than they can know.",
    ),
    Style.BLOG: (
        "I started this page because I kept looking up the same things and forgetting them again.",
        "My tea went cold twice while I was writing, which I take as a sign that the subject is good.",
        "A friend claimed that nobody needs to know such things; we are no longer on speaking terms before noon.",
        "If you only remember one line of this post, let it be the one you did not expect.",
        "I checked everything in two places, and where they differed I checked in a third.",
        "There is a notebook on my desk in which all of this stands in much worse handwriting.",
        "Somebody asked me for a shorter version, and I said that this was the shorter version.",
        "The photographs for this post are still on a camera whose cable I cannot find.",
        "As always, corrections are welcome, and the first one wins a postcard.",
    ),
    Style.STATISTICS: (
        "All series on this portal are published under an open licence and may be used with attribution.",
        "Values are the latest available at the time of publication and are not adjusted for the season.",
        "Codes follow the international standards in force; older codes are kept in the archive of classifications.",
        "A blank cell means that no value was reported, which is not the same as zero.",
        "Populations are those of the place proper and not of the agglomeration around it.",
        "Breaks in a series are marked, and comparisons across a break should be made with care.",
        "The table can be downloaded in three formats from the toolbar above it.",
        "Definitions are given in the handbook, which is revised every other year.",
        "Questions about the method are answered by the service desk within five working days.",
    ),
    Style.FORUM: (
        "I tried the search first but it only gave me threads from ten years ago, so please be patient with me.",
        "It is for a quiz night on Thursday and our team came last the previous time.",
        "Same question here, following this thread.",
        "I looked it up in the atlas my grandmother left me and then in a newer one, to be sure.",
        "Mods, could you please move this to the general section?",
        "Edited to add: thanks everyone, that was quicker than I expected.",
        "Please mark the thread as solved if this answers it.",
        "I used to teach this, so I am fairly confident, but do check it yourself.",
        "No idea why the first reply was voted down, it is perfectly fine.",
    ),
    Style.SPAM: (
        "Our team of certified experts has verified each of these answers more than nine thousand times.",
        "Thousands of happy readers have already shared this page, and so should you.",
        "Other sites copy each other's mistakes; only here do you get what they do not want you to read.",
    ),
}  # fmt: skip


class Surroundings(NamedTuple):
    """What stands around the articles of one style: classes of its HTML, and phrases that are nobody's answer.

    `classes` are those of navigation, cookie banner, infobox, article, advertisement, sharing, related links, comments.
    """

    site: str
    language: str
    classes: tuple[str, str, str, str, str, str, str, str]
    infobox: str
    cookie: str
    advert: str
    share: str
    related: str
    comments: str
    footer: str


_EN = "We and our {n} partners store cookies on your device to measure audiences. Accept all or manage your choices."
SURROUNDINGS = {
    Style.ENCYCLOPAEDIA: Surroundings(
        "Commonplace Encyclopaedia", "en",
        (
            "mw-sidebar nav", "cookie-consent", "infobox vcard", "mw-parser-output",
            "ad-slot", "share-tools", "navbox related", "comments",
        ),
        "table", _EN.format(n=12), "Support this work: a gift of three coins keeps the presses running.",
        "Cite this page · Share · Print", "Related articles", "Discussion of readers",
        "Text is available under an open licence; the terms of use of the Commonplace Foundation apply.",
    ),
    Style.TRAVEL: Surroundings(
        "Farther Afield", "en",
        (
            "navbar", "gdpr-banner", "quick-facts", "entry-content destination",
            "advertisement", "social-share", "you-might-also-like", "comments-area",
        ),
        "dl", _EN.format(n=214), "Advertisement: cheap flights everywhere, book tonight and save forty percent!",
        "Pin it · Tweet · Send to a friend", "You might also like", "Travellers' comments",
        "Farther Afield earns a commission when you book through links on this page.",
    ),
    Style.NEWS: Surroundings(
        "The Daily Gazetteer", "en",
        (
            "main-navigation", "cookie-wall", "facts-box", "article-body",
            "ad ad--inline", "sharing-bar", "related-stories", "comments",
        ),
        "ul", _EN.format(n=871), "Advertisement: this mattress changed how the whole street sleeps.",
        "Share on four networks · Copy link · Listen", "More from this section", "Join the conversation",
        "© The Daily Gazetteer. Subscribe now for unlimited access on all your devices.",
    ),
    Style.BLOG: Surroundings(
        "Cold Tea and Atlases", "en",
        (
            "menu-main", "cookie-notice", "fact-list", "post-content",
            "sponsored ads", "sharedaddy", "related-posts", "comments-area",
        ),
        "ul", "This blog uses cookies, of the digital kind only. Fine with me!",
        "Sponsored: a kettle that remembers you. Use the code COLDTEA at the checkout.",
        "Share this: mail, print, pigeon", "Older and newer posts", "Leave a reply",
        "Proudly powered by a small machine under a desk.",
    ),
    Style.STATISTICS: Surroundings(
        "Open Tables Portal", "en",
        (
            "topbar menu", "cookie-bar", "data-table", "main-content",
            "promo advert", "toolbar share", "related-tables", "comments",
        ),
        "table", "This portal sets two cookies: one for the session and one to remember that you read this.",
        "Register for our webinar on reading tables upside down.", "Download CSV · Embed · Share", "Related tables",
        "User feedback", "Open Tables Portal · Imprint · Accessibility statement · API",
    ),
    Style.FORUM: Surroundings(
        "AskAround", "en",
        (
            "navbar-forum", "cookie-popup consent", "fact-card", "thread posts-list",
            "ads-between-posts ad", "share-thread", "related-threads", "comment-list",
        ),
        "ul", "By browsing AskAround you agree that we place cookies. Got it!",
        "Advertisement: play the quiz game that everybody in your office pretends not to play.",
        "Share thread · Follow · Report", "Similar threads", "Remarks", "AskAround · Rules · Become a moderator · Dark mode",
    ),
    Style.MIRROR: Surroundings(
        "Wissen Savoir Saber", "",
        (
            "navigation", "cookie-hinweis", "infobox", "inhalt",
            "anzeige", "teilen share", "related", "comments",
        ),
        "table", "Cookies: Akzeptieren · Accepter · Aceptar", "Anzeige · Publicité · Publicidad: Ferien, vacances, vacaciones!",
        "Teilen · Partager · Compartir", "Mehr · Plus · Más", "Kommentare · Commentaires · Comentarios",
        "Impressum · Mentions légales · Aviso legal",
    ),
    Style.ARCHIVE: Surroundings(
        "Second Shelf Archive", "en",
        (
            "nav-archive navigation", "cookie-layer", "infobox", "page-content",
            "adbox ads", "share", "related-captures", "comments",
        ),
        "table", "The archive itself sets no cookies; archived pages might have wished to. Understood?",
        "Help us keep the second shelf dusted.", "Share this capture", "Captures near this one", "Notes on this capture",
        "Second Shelf Archive keeps copies for reference and owns none of them.",
    ),
    Style.SPAM: Surroundings(
        "AnswersNow!!!", "en",
        (
            "nav menu", "cookie-trap consent", "answer-box", "content-main",
            "ads advert", "share-now", "related-answers", "comments",
        ),
        "ul", _EN.format(n=4096), "WIN WIN WIN: you are the millionth visitor of the hour!", "Share now or regret it",
        "People also ask", "Happy readers", "AnswersNow is not responsible for answers.",
    ),
}  # fmt: skip
COMMENTS = (
    "Great page, I shared it with my whole class.",
    "First! And also second, since I read it twice.",
    "Could you make the letters a little larger, my glasses are in the kitchen.",
    "I have nothing to add, but I wanted to be here.",
    "The advert between the paragraphs made my phone very warm.",
    "My cousin was there and says that it is all much nicer than it sounds.",
    "Does anybody else see this page in green only?",
    "Thanks for not hiding everything behind a login.",
    "I came for one number and stayed for an hour.",
    "Why is there no mention of the weather?",
    "Bookmarked, printed, and pinned above the desk.",
    "I disagree with the tone of the third paragraph, but politely.",
    "Please bring back the old design with the brown border.",
    "Who else is reading this instead of working?",
    "The link in the second comment is a shop, do not click it.",
    "Well written, short, and the tables are easy to read.",
)
USERS = (
    "marmalade77",
    "old_map",
    "NightFerry",
    "quill",
    "b.rook",
    "tessellate",
    "Windfall",
    "twelve_owls",
    "hedgehog",
    "Larkspur",
)
HIDDEN = "This text is hidden from readers and repeats popular words for machines: cheap best top rated answer."
PRIVATE = "Staff only: this page is disallowed in robots.txt and no polite robot ever reads it."
