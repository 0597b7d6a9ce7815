"""The page as people use it: a real Chromium, a real gateway, a mouse and a keyboard."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aag_ray.answer.allowance import Degradation, GivenUp
from aag_ray.answer.citations import Checked, Citation, Sentence, SentenceState
from aag_ray.answer.event import AnswerEvent, Cited, Done, Known, Remembered, Sources, Text
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.provenance import MemoryOutcome, Origin, Provenance, WebOutcome
from aag_ray.answer.request import AnswerRequest
from aag_ray.answer.source import Source, SourceState

sync_api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is in the test extra")
expect = sync_api.expect
Serve = Callable[..., Any]

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium is installed: none of {', '.join(NAMES)} is on PATH")

PHONE, DESK = {"width": 360, "height": 640}, {"width": 1400, "height": 900}
ZOOMED = {"width": 320, "height": 256}  # a window of 1280 x 1024 at 400 %
PATIENCE = 30_000  # milliseconds, for a busy machine
PERU = "Which city is the capital of Peru?"
MARKUP = "<img src=x onerror=\"window.hurt=1\"><script>window.hurt=1</script><svg onload='window.hurt=1'>&lt;b&gt; ${1} {{1}}"
ADDRESSES = [
    "javascript:window.hurt=1",
    " javascript:window.hurt=1",
    "data:text/html,<script>1</script>",
    "//evil.example",
    "x",
]
LONG = "https://archive.example.org/" + "unbroken" * 40


@dataclass
class Says:
    """A policy without parts, for what the real ones never let through."""

    text: str
    sources: tuple[Source, ...]

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        yield Sources(self.sources)
        yield Sources(self.sources, read=True)
        yield Remembered(MemoryOutcome.ANSWERED, self.text, {self.text: {"shape": [30, 8, 576]}}, self.text)
        yield Text(self.text)
        first = self.sources[0]
        cited = Citation(
            number=1, start_index=0, end_index=len(self.text), url=first.url, title=first.title, tag=1, start=0,
            end=len(self.text), text=self.text, score=1.0, support=1.0, fetched_at=1.7e9, record=self.text,
        )  # fmt: skip
        yield Cited(Checked((cited,), (Sentence(0, len(self.text), SentenceState.SUPPORTED),)))
        yield GivenUp(Degradation.FEWER_PAGES, self.text)
        yield Known(Origin(Provenance.FROM_PAGES, MemoryOutcome.ANSWERED, WebOutcome.RELEVANT, 1, self.text))
        yield Done(seconds={self.text: 0.1, "total": 0.2})


def source(url: str, title: str, number: int = 1) -> Source:
    return Source(number, url, title, "", SourceState.EVIDENCE, title, 1, 1.7e9, title)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@dataclass
class Visit:
    """The page in a tab of its own, and what it asked for and complained about."""

    page: Any
    server: Any
    asked: list[str]
    complaints: list[str]

    def ask(self, question: str = PERU, mode: str | None = None) -> None:
        """By keyboard, from the box that has the focus when the page opens."""
        if mode:
            self.page.get_by_role("radio", name=mode, exact=True).check()
            self.page.get_by_label("Your question").focus()
        self.page.keyboard.type(question)
        self.page.keyboard.press("Enter")

    def answered(self, *question: str, mode: str | None = None) -> None:
        self.ask(*question, mode=mode)
        expect(self.last.locator(".badge")).to_be_visible()
        expect(self.page.locator("article[aria-busy=true]")).to_have_count(0)

    @property
    def last(self) -> Any:
        return self.page.locator("#conversation > article").last

    @property
    def quote(self) -> Any:
        return self.page.get_by_role("group", name="Cited sentence")

    @property
    def scrolls_sideways(self) -> bool:
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.fixture
def visit(chromium: Any, serve: Serve) -> Iterator[Callable[..., Visit]]:
    """`visit(server)` opens the server's page. Nothing may be asked of another server, and nothing may break."""
    visits: list[Visit] = []

    def open_page(server: Any | None = None, path: str = "/", **options: Any) -> Visit:
        asked = server or serve()
        context = chromium.new_context(**({"viewport": DESK} | options))
        made = Visit(context.new_page(), asked, [], [])
        visits.append(made)
        made.page.set_default_timeout(PATIENCE)
        made.page.on("request", lambda request: made.asked.append(request.url))
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.on("console", lambda said: "Content Security" in said.text and made.complaints.append(said.text))
        made.page.on("dialog", lambda dialog: (made.complaints.append(dialog.message), dialog.dismiss()))
        made.page.goto(asked.url + path)
        made.page.wait_for_selector("#modes input, #paths article")
        return made

    yield open_page
    for each in visits:
        each.page.context.close()
    for each in visits:
        assert not each.complaints
        assert [url for url in each.asked if not url.startswith((each.server.url, "data:,"))] == []


class TestAsking:
    def test_from_memory_with_what_it_remembered_and_how_long_it_took(self, visit: Callable[..., Visit]):
        seen = visit()
        seen.answered(mode="memory")
        expect(seen.last.get_by_role("heading")).to_have_text(PERU)
        expect(seen.last.locator(".answer")).to_have_text("Lima")
        expect(seen.last.locator(".badge")).to_have_text("From memory")
        expect(seen.last.locator(".sources")).to_be_hidden()
        seen.last.get_by_text("What it remembered").press("Enter")
        expect(seen.last.locator(".document")).to_have_text("They say it is Lima.")
        expect(seen.last.locator(".facts")).to_have_text("rank8")
        seen.last.get_by_text("Time and budget").press("Enter")
        expect(seen.last.get_by_role("row", name=re.compile(r"total \d+\.\d{3} s"))).to_be_visible()

    def test_the_answer_is_shown_while_it_is_written_and_heard_once_it_is_whole(self, visit: Any, serve: Serve, models: Any):
        seen = visit(serve(models(known="It is certainly Lima.", waits=3.0)))
        seen.ask(mode="memory")
        expect(seen.last.locator(".answer")).to_have_text("It is")  # the last word might be an address
        expect(seen.last).to_have_attribute("aria-busy", "true")
        expect(seen.page.get_by_role("button", name="Stop")).to_be_visible()
        expect(seen.page.get_by_role("button", name="Ask")).to_be_hidden()
        expect(seen.page.locator("#announcer")).not_to_contain_text("It is")
        expect(seen.last.locator(".answer")).to_have_text("It is certainly Lima.")
        expect(seen.page.get_by_role("status")).to_have_text("From memory. It is certainly Lima.")
        expect(seen.page.get_by_role("button", name="Ask")).to_be_visible()
        assert seen.page.evaluate("document.activeElement.id") == "question"

    def test_a_second_question_is_one_of_the_same_conversation_and_a_new_one_is_not(self, visit: Any):
        seen = visit()
        seen.answered(mode="memory")
        seen.answered("How large is it?")
        expect(seen.page.get_by_role("article")).to_have_count(2)
        questions = [answer.parsed.question for answer, _ in seen.server.observed]
        assert questions[1].startswith(f"{PERU} Lima")
        seen.page.get_by_role("button", name="New conversation").click()
        expect(seen.page.get_by_role("article")).to_have_count(0)
        seen.answered("How large is Rome?")
        assert seen.server.observed[2][0].parsed.question == "How large is Rome?"

    def test_a_line_break_does_not_ask(self, visit: Any):
        seen = visit()
        seen.page.keyboard.type("Which city")
        seen.page.keyboard.press("Shift+Enter")
        seen.answered("is the capital of Peru?")
        expect(seen.last.get_by_role("heading")).to_have_text("Which city\nis the capital of Peru?", use_inner_text=True)

    def test_the_modes_are_the_servers_and_the_arrows_choose(self, visit: Any, serve: Serve):
        seen = visit(serve(modes=["aag-search", "aag"]))
        expect(seen.page.get_by_role("radio")).to_have_count(2)
        expect(seen.page.get_by_role("radio", name="web")).to_be_checked()
        seen.page.get_by_role("radio", name="web").focus()
        seen.page.keyboard.press("ArrowRight")
        expect(seen.page.get_by_role("radio", name="memory")).to_be_checked()
        seen.page.get_by_label("Your question").focus()
        seen.answered()
        expect(seen.last.locator(".badge")).to_have_text("From memory")


class TestCitations:
    @pytest.fixture
    def cited(self, visit: Any, serve: Serve, web: Any) -> Visit:
        seen = visit(serve())
        seen.answered(web.questions[0]["question"], mode="web")
        return seen

    def test_each_number_shows_the_exact_sentence_of_its_source(self, cited: Visit, web: Any):
        shown = cited.server.ask(web.questions[0]["question"], "aag-search").json()["aag"]
        markers = cited.last.locator(".citation")
        expect(markers).to_have_text([str(each["number"]) for each in shown["citations"]])
        expect(cited.last.locator(".badge")).to_have_text(shown["provenance"]["told"])
        links = cited.last.locator(".sources a")
        assert [link.get_attribute("href") for link in links.all()] == [each["url"] for each in shown["sources"]]
        for marker, citation in zip(markers.all(), shown["citations"], strict=True):
            marker.click()
            expect(cited.quote.locator("mark")).to_have_text(citation["text"])
            assert cited.quote.get_by_role("link").get_attribute("href") == citation["url"]

    def test_the_pointer_shows_it_for_as_long_as_it_is_there(self, cited: Visit):
        marker = cited.last.locator(".citation").first
        before = marker.bounding_box()
        marker.hover()
        expect(cited.quote).to_be_visible()
        assert marker.bounding_box() == before, "nothing may move under the pointer"
        cited.quote.hover()
        cited.page.wait_for_timeout(500)
        expect(cited.quote).to_be_visible()
        cited.page.get_by_role("heading", name="aag-ray").hover()
        expect(cited.quote).to_be_hidden()

    def test_a_click_holds_it_until_another(self, cited: Visit):
        marker = cited.last.locator(".citation").first
        marker.click()
        cited.page.get_by_role("heading", name="aag-ray").hover()
        cited.page.wait_for_timeout(500)
        expect(cited.quote).to_be_visible()
        expect(marker).to_have_attribute("aria-expanded", "true")
        cited.page.get_by_role("heading", name="aag-ray").click()
        expect(cited.quote).to_be_hidden()
        expect(marker).to_have_attribute("aria-expanded", "false")

    def test_a_finger_shows_it_too(self, visit: Any, serve: Serve, web: Any):
        seen = visit(serve(), viewport=PHONE, has_touch=True, is_mobile=True)
        seen.answered(web.questions[0]["question"], mode="web")
        seen.last.locator(".citation").first.tap()
        expect(seen.quote.locator("mark")).to_be_visible()
        box = seen.quote.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        seen.last.get_by_role("heading").tap()
        expect(seen.quote).to_be_hidden()

    def test_the_keyboard_reaches_it_reads_it_and_closes_it(self, cited: Visit):
        page, marker = cited.page, cited.last.locator(".citation").last
        for _ in range(20):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.className") == "citation":
                break
        expect(marker).to_be_focused()
        expect(cited.quote.locator("mark")).to_be_visible()
        assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
        page.keyboard.press("Tab")
        expect(cited.quote.get_by_role("link", name="Open the page")).to_be_focused()
        page.keyboard.press("Escape")
        expect(marker).to_be_focused()
        expect(cited.quote).to_be_hidden()
        page.keyboard.press("Enter")
        expect(cited.quote).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(cited.quote).to_be_hidden()

    def test_a_screen_reader_hears_it_with_the_number(self, cited: Visit):
        citation = cited.last.locator(".citation").first
        name, number = citation.get_attribute("aria-label"), citation.text_content()
        citation.focus()
        assert name == f"Source {number}: {cited.quote.locator('mark').text_content()}"

    def test_places_hold_beyond_the_basic_plane_and_unsupported_sentences_say_so(
        self, visit: Any, serve: Serve, models: Any, web: Any
    ):
        question = web.questions[0]["question"]

        def writes(evidence: Any) -> str:
            return f"\U0001f3d4\ufe0f Nine purple dragons founded Atlantis. {evidence[0].text}"

        seen = visit(serve(models(writes=writes)))
        seen.answered(question, mode="web")
        expect(seen.last.locator(".unsupported").first).to_have_text("\U0001f3d4\ufe0f Nine purple dragons founded Atlantis.")
        expect(seen.last.get_by_text("no page that was read says this")).to_be_visible()
        shown = seen.last.locator(".supported").last.text_content()
        assert shown in seen.last.locator(".answer").text_content()
        expect(seen.last.locator(".badge")).to_have_text("From 1 page")

    def test_an_answer_that_no_page_supports_is_marked_and_does_not_look_good(
        self, visit: Any, serve: Serve, models: Any, web: Any
    ):
        seen = visit(serve(models(known="It is Lima.")))
        colours = []
        for writes in (lambda evidence: evidence[0].text, lambda _: "Nine purple dragons founded Atlantis."):
            seen.server.models.writes = writes
            seen.answered(web.questions[0]["question"], mode="web")
            colours.append(seen.last.locator(".badge").evaluate("badge => getComputedStyle(badge).color"))
        expect(seen.last.locator(".unsupported")).to_have_text("Nine purple dragons founded Atlantis.")
        expect(seen.last.get_by_text("no page that was read says this")).to_be_visible()
        expect(seen.last.locator(".badge")).to_have_text("From 1 page, unsupported")
        assert colours[0] != colours[1]
        seen.answered(mode="memory")
        expect(seen.last.locator(".badge")).to_have_text("From memory")
        expect(seen.last.locator(".unsupported")).to_have_count(0)
        expect(seen.last.locator(".legend")).to_be_hidden()


class TestHostileText:
    def test_it_stays_text_wherever_it_stands(self, visit: Any, serve: Serve):
        sources = tuple(source(url, MARKUP, number) for number, url in enumerate(ADDRESSES, 1))
        seen = visit(serve(policy=Says(MARKUP, sources)))
        seen.answered(f"Who? {MARKUP}")
        for summary in seen.last.locator("summary").all():
            summary.press("Enter")
        seen.last.locator(".citation").focus()
        for part in ("h2", ".answer", ".why", ".document", ".facts dt", ".given-up", ".times th >> nth=0", "mark"):
            expect(seen.last.locator(part)).to_contain_text(MARKUP)
        assert seen.last.locator("img, script, svg, iframe, style, object, embed, b").count() == 0
        assert seen.last.locator("a").count() == len(ADDRESSES) + 1
        assert seen.last.locator("a[href]").count() == 0
        seen.page.keyboard.press("Escape")
        for link in seen.last.locator(".sources a").all():
            link.click()
        assert seen.page.evaluate("window.hurt === undefined")
        assert len(seen.page.context.pages) == 1

    def test_web_addresses_open_apart_and_say_nothing_of_the_page(self, visit: Any, serve: Serve):
        seen = visit(serve(policy=Says("x", (source('https://example.org/?a="><script>1</script>', "x"),))))
        seen.answered()
        link = seen.last.locator(".sources a")
        assert link.get_attribute("href").startswith("https://example.org/?a=")
        assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noreferrer noopener nofollow")

    @pytest.mark.parametrize(
        "attempt",
        [
            "document.body.innerHTML = '<b>x</b>'",
            "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
            "document.createElement('script').text = '1'",
            "setTimeout('window.hurt = 1')",
        ],
    )
    def test_the_browser_itself_refuses_markup_from_text(self, visit: Any, attempt: str):
        seen = visit()
        with pytest.raises(sync_api.Error, match=r"Trusted|unsafe-eval"):
            seen.page.evaluate(attempt)
        seen.complaints.clear()

    def test_the_browser_runs_no_script_and_loads_nothing_from_elsewhere(self, visit: Any):
        seen = visit()
        refused = seen.page.evaluate(
            """() => new Promise((tell) => {
                const found = [];
                document.addEventListener("securitypolicyviolation", (event) => {
                    found.push(event.effectiveDirective);
                    if (found.length === 3) tell(found.sort());
                });
                const image = document.createElement("img");
                image.src = "https://elsewhere.example/x.png";
                const frame = document.createElement("iframe");
                frame.src = "https://elsewhere.example/";
                document.body.append(image, frame);
                fetch("https://elsewhere.example/").catch(() => {});
            })"""
        )
        assert refused == ["connect-src", "frame-src", "img-src"]
        seen.asked.clear()
        seen.complaints.clear()


class TestWhenItFails:
    def failed(self, seen: Visit, message: str) -> None:
        expect(seen.last.get_by_role("alert")).to_have_text(re.compile(message))
        expect(seen.last).to_have_attribute("aria-busy", "false")
        expect(seen.page.get_by_label("Your question")).to_have_value(PERU)

    def test_a_failure_in_the_middle_keeps_what_came_and_says_so(self, visit: Any, serve: Serve, models: Any):
        seen = visit(serve(models(known="one two three", fails=RuntimeError("broken"))))
        seen.ask(mode="memory")
        self.failed(seen, "No answer: the answer could not be made")
        expect(seen.last.locator(".answer")).to_have_text("one")
        seen.server.models.fails, seen.server.models.known = None, "Lima"
        seen.page.keyboard.press("Enter")
        expect(seen.last.locator(".answer")).to_have_text("Lima")

    def test_a_full_server_says_when_to_come_back(self, visit: Any, serve: Serve, models: Any, streamed: Any):
        server = serve(models(known="a b", waits=60), limits={"in_flight": 1, "waiting": 0, "wait_seconds": 4})
        seen = visit(server)
        with streamed(server, model="aag", messages=[{"role": "user", "content": "Who?"}]) as lines:
            next(lines)
            seen.ask(mode="memory")
            self.failed(seen, "the server is busy.*; try again in 2 s")

    def test_a_model_without_room_is_said(self, visit: Any, serve: Serve, models: Any):
        seen = visit(serve(models(fails=Unavailable("all places are taken", 7.0))))
        seen.ask(mode="memory")
        self.failed(seen, "No answer: ")

    def test_a_stream_that_breaks_off_is_no_answer(self, visit: Any):
        seen = visit()
        cut = 'data: {"choices": [{"delta": {"content": "half of"}}]}\n\n'
        seen.page.route("**/v1/chat/completions", lambda route: route.fulfill(body=cut, content_type="text/event-stream"))
        seen.ask()
        self.failed(seen, "No answer: the connection to the server broke")
        expect(seen.last.locator(".answer")).to_have_text("half of")

    def test_an_unreachable_server_and_a_proxys_page_are_understandable(self, visit: Any):
        seen = visit()
        seen.page.route("**/v1/chat/completions", lambda route: route.abort())
        seen.ask()
        self.failed(seen, "the connection to the server broke")
        seen.page.unroute_all()
        seen.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
        seen.page.keyboard.press("Enter")
        self.failed(seen, "No answer: the server says 502 Bad Gateway")

    def test_a_key_is_asked_for_where_one_is_needed(self, visit: Any, serve: Serve):
        section = {"api_keys": [{"name": "amy", "key_env": "AMY", "requests_per_minute": 1.0, "burst": 4}]}
        seen = visit(serve(environment={"AMY": "secret"}, **section))
        key = seen.page.get_by_label("API key")
        expect(key).to_be_visible()
        seen.ask(mode="memory")
        self.failed(seen, "No answer: an API key is needed")
        key.fill("secret")
        key.press("Tab")
        seen.page.get_by_label("Your question").focus()
        seen.page.keyboard.press("Enter")
        expect(seen.last.locator(".answer")).to_have_text("Lima")
        assert seen.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]

    @pytest.mark.parametrize("how", ["click", "Escape", "Enter on the button"])
    def test_stop_ends_the_work(self, visit: Any, serve: Serve, models: Any, how: str):
        seen = visit(serve(models(known="one two three", waits=3600)))
        seen.ask(mode="memory")
        expect(seen.last.locator(".answer")).to_have_text("one")
        stop = seen.page.get_by_role("button", name="Stop")
        if how == "click":
            stop.click()
        elif how == "Escape":
            seen.page.keyboard.press("Escape")
        else:
            seen.page.keyboard.press("Tab")
            expect(stop).to_be_focused()
            seen.page.keyboard.press("Enter")
        self.failed(seen, "Stopped.")
        expect(seen.last.locator(".answer")).to_have_text("one")
        for _ in range(500):
            if seen.server.models.waiting == 0:
                break
            seen.page.wait_for_timeout(10)
        assert seen.server.models.cancelled == 1


# The lowest contrast of any text with what lies behind it, as WCAG computes it, and the text itself.
CONTRAST = """() => {
    const parsed = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const [r, g, b, alpha = 1] = parsed(getComputedStyle(each).backgroundColor);
            if (alpha === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let worst = [21, ""];
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.textContent.trim() || !element.checkVisibility() || element.matches(".unseen")) continue;
        const [a, b] = [light(parsed(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < worst[0]) worst = [ratio, texts.currentNode.textContent];
    }
    return worst;
}"""


class TestLooks:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_all_text_has_contrast_in_light_and_dark(self, visit: Any, serve: Serve, web: Any, scheme: str):
        seen = visit(serve(), color_scheme=scheme)
        seen.answered(web.questions[0]["question"], mode="web")
        for summary in seen.last.locator("summary").all():
            summary.press("Enter")
        seen.last.locator(".citation").first.focus()
        ratio, text = seen.page.evaluate(CONTRAST)
        assert ratio >= 4.5, text
        red, green, blue = map(int, re.findall(r"\d+", seen.page.evaluate("getComputedStyle(document.body).backgroundColor")))
        assert (red + green + blue > 600) == (scheme == "light")

    @pytest.mark.parametrize("viewport", [PHONE, DESK, ZOOMED], ids=["phone", "desk", "zoomed"])
    def test_nothing_scrolls_sideways_and_nothing_hides_the_focus(self, visit: Any, serve: Serve, viewport: Any):
        unbroken = "Donaudampfschifffahrtsgesellschaft" * 20
        seen = visit(serve(policy=Says(unbroken, (source(LONG, LONG), source(LONG, unbroken, 2)))), viewport=viewport)
        assert not seen.scrolls_sideways
        seen.answered(unbroken)
        for summary in seen.last.locator("summary").all():
            summary.press("Enter")
        seen.last.locator(".citation").focus()
        expect(seen.quote).to_be_visible()
        assert not seen.scrolls_sideways
        for _ in range(12):
            seen.page.keyboard.press("Tab")
            assert seen.page.evaluate(
                """() => {
                    const { left, right, top, height } = document.activeElement.getBoundingClientRect();
                    const hit = document.elementFromPoint((left + right) / 2, top + Math.min(height, 20) / 2);
                    return hit === null || document.activeElement === document.body || document.activeElement.contains(hit);
                }"""
            ), seen.page.evaluate("document.activeElement.outerHTML")

    def test_on_a_phone_the_form_leaves_most_of_the_screen_to_the_answer(self, visit: Any):
        seen = visit(viewport=PHONE)
        seen.answered(mode="memory")
        assert seen.page.locator("#ask").bounding_box()["height"] < PHONE["height"] / 4
        expect(seen.page.get_by_role("group", name="Answer from")).to_have_count(1)

    def test_a_long_answer_is_followed_until_its_question_is_at_the_top(self, visit: Any, serve: Serve, models: Any):
        seen = visit(serve(models(known="All of this is known. " * 200)), viewport=PHONE)
        seen.answered(mode="memory")
        heading = seen.last.get_by_role("heading").bounding_box()
        assert 0 <= heading["y"] < PHONE["height"] / 4

    def test_nothing_moves_by_itself(self, visit: Any):
        seen = visit()
        seen.answered(mode="memory")
        assert seen.page.evaluate("document.getAnimations().length") == 0
        assert seen.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"

    @pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
    def test_the_description_of_the_api_fits_too(self, visit: Any, viewport: Any):
        seen = visit(path="/docs", viewport=viewport)
        expect(seen.page.get_by_role("heading", name="POST /v1/chat/completions")).to_be_visible()
        for summary in seen.page.locator("summary").all():
            summary.press("Enter")
        assert not seen.scrolls_sideways
        assert seen.page.evaluate(CONTRAST)[0] >= 4.5
