"""HTML elements become blocks of the right kind, and nobody's invisible text becomes any."""

import pytest

from aag_ray.config import PagesSection
from aag_ray.pages.blocks import read_page
from aag_ray.pages.page import BlockKind, PageOutcome


def blocks(body: str) -> list[tuple[str, str]]:
    page = read_page(f"<!doctype html><body>{body}").page
    return [] if page is None else [(block.kind.value, page.text_of(block)) for block in page.blocks]


def texts(body: str) -> list[str]:
    return [text for _, text in blocks(body)]


def test_each_kind_of_block():
    assert blocks(
        "<h1>Title</h1><p>One <b>bold</b> word.</p><ul><li>Item</li></ul><dl><dt>Term<dd>Meaning</dl>"
        "<blockquote>Said.</blockquote><table><tr><th>A<th>B<tr><td>1<td>2</table><pre>x = 1\n  y</pre>"
        "<figure><figcaption>Picture</figcaption></figure>"
    ) == [
        ("heading", "Title"),
        ("paragraph", "One bold word."),
        ("list_item", "Item"),
        ("list_item", "Term"),
        ("list_item", "Meaning"),
        ("paragraph", "Said."),
        ("table_row", "A: 1; B: 2"),
        ("code", "x = 1\n  y"),
        ("caption", "Picture"),
    ]


HIDDEN = {
    "hidden": "<p hidden>secret</p>",
    "aria-hidden": "<div aria-hidden=true><p>secret</p></div>",
    "display none": "<p style='color:red; DISPLAY : none'>secret</p>",
    "visibility": "<span style='visibility:hidden'>secret</span>",
    "no opacity": "<p style='opacity:0'>secret</p>",
    "no size of letters": "<p style='font-size:0px'>secret</p>",
    "one pixel": "<div style='height:1px;overflow:hidden'>secret</div>",
    "comment": "<!-- secret -->",
    "template": "<template><p>secret</p></template>",
    "noscript": "<noscript><p>secret</p></noscript>",
    "script": "<script>secret</script>",
    "style": "<style>secret</style>",
    "attribute": "<p title=secret data-x=secret>x</p>",
    "alternative text": "<img alt=secret>",
    "field": "<input value=secret><textarea>secret</textarea><select><option>secret</select>",
    "frame": "<iframe>secret</iframe><object>secret</object>",
    "title in a drawing": "<svg><title>secret</title><text>secret</text></svg>",
    "navigation": "<nav><ul><li>secret</ul></nav>",
    "closed dialogue": "<dialog>secret</dialog>",
}


@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN)
def test_what_a_reader_does_not_see_is_not_text(body: str):
    assert "secret" not in " ".join(texts(f"<p>Seen.</p>{body}<p>Also seen.</p>"))


SEEN = {
    "an opaque element": "<p style='opacity:0.5'>wanted</p>",
    "aria-hidden false": "<p aria-hidden=false>wanted</p>",
    "half a letter size": "<p style='font-size:0.9em'>wanted</p>",
    "found by search": "<p hidden=until-found>wanted</p>",
    "a page that fades in": "<body style='visibility:hidden'><p>wanted</p>",
    "details": "<details><summary>More</summary>wanted</details>",
    "a border": "<p style='border-width:1px'>wanted</p>",
    "an unknown element": "<my-card>wanted</my-card>",
}


@pytest.mark.parametrize("body", SEEN.values(), ids=SEEN)
def test_what_a_reader_sees_is_text(body: str):
    assert "wanted" in " ".join(texts(body))


def test_white_space_is_as_a_browser_shows_it():
    assert texts("<p> a\n  b&nbsp;c </p>") == ["a b c"]
    assert texts("<p>a<b>b</b><i> c</i>") == ["ab c"]
    assert texts("<div>a<div>b</div>c</div>") == ["a", "b", "c"]


def test_one_break_is_a_line_and_two_are_a_paragraph():
    assert texts("<p>Street 1<br>Town</p>") == ["Street 1\nTown"]
    assert texts("<div>One.<br><br/>Two.<br>Three.</div>") == ["One.", "Two.\nThree."]


def test_nested_lists_keep_their_levels():
    page = read_page("<ul><li>a<ol><li>b<p>c</p></li></ol></li><li>d</li></ul>").page
    assert page is not None
    assert [(page.text_of(block), block.level) for block in page.blocks] == [("a", 1), ("b", 2), ("c", 2), ("d", 1)]


def test_code_keeps_its_form_whatever_is_in_it():
    assert blocks("<pre><code>def f():\n    <b>return</b> <span>1</span>\n</code></pre>") == [
        ("code", "def f():\n    return 1")
    ]
    assert blocks("<pre><div>a</div><div>  b</div></pre>") == [("code", "a\n  b")]


def test_inline_code_is_part_of_its_paragraph():
    assert blocks("<p>Use <code>x</code> here.</p>") == [("paragraph", "Use x here.")]


def test_a_layout_table_is_read_as_the_page_it_lays_out():
    body = "<table><tr><td><h1>Title</h1><p>First.</p><p>Second.</p></td><td>Side</td></tr></table>"
    assert blocks(body)[:3] == [("heading", "Title"), ("paragraph", "First."), ("paragraph", "Second.")]


def test_a_data_table_in_a_layout_table_is_a_data_table():
    body = "<table><tr><td><h1>T</h1><table><tr><th>A<th>B<tr><td>1<td>2</table></td></tr></table>"
    assert ("table_row", "A: 1; B: 2") in blocks(body)


def test_a_list_in_a_cell_stays_in_its_row():
    assert blocks("<table><tr><th>Names<td><ul><li>Ann<li>Bob</ul></table>") == [("table_row", "Names: Ann Bob")]


def test_text_that_the_author_left_outside_of_everything_is_kept():
    assert texts("Loose text.<p>Paragraph.</p>tail") == ["Loose text.", "Paragraph.", "tail"]


@pytest.mark.parametrize("body", ["", "   ", "<p></p>", "<script>x</script>", "<nav>a</nav>", "\0", "<!doctype html>"])
def test_a_page_without_text_is_empty(body: str):
    assert read_page(body).outcome is PageOutcome.EMPTY


def test_broken_markup_is_read_as_browsers_read_it():
    assert texts("<p>a<p>b</i></table><td>c</b><li>d &amp &notanentity; &#x41;&#1234567;") == [
        "a",
        "bc",
        "d & ¬anentity; A\ufffd",
    ]


def test_depth_and_nodes_are_limited_to_what_is_set():
    deep = read_page("<div>" * 60 + "x", "https://a.example/", PagesSection(max_depth=50))
    assert deep.outcome is PageOutcome.TOO_DEEP
    assert "https://a.example/" in deep.detail
    assert "50" in deep.detail
    many = read_page("<p>x</p>" * 60, "", PagesSection(max_nodes=100))
    assert many.outcome is PageOutcome.TOO_MANY_NODES


def test_every_block_kind_can_come_of_html():
    body = "<h1>a</h1><p>b</p><ul><li>c</ul><table><tr><td>d</table><pre>e</pre><figcaption>f</figcaption>"
    assert {kind for kind, _ in blocks(body)} == {kind.value for kind in BlockKind}


def test_a_page_that_needs_scripts_is_read_as_without_them():
    assert texts("<script>load()</script><noscript><p>The whole article.</p></noscript>") == ["The whole article."]
    assert texts("<p>The article.</p><noscript><p>Turn scripts on.</p></noscript>") == ["The article."]
