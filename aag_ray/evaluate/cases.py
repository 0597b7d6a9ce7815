"""A page of questions side by side: what each system answered, and the document it was given."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from aag_ray.evaluate.metrics import clean_prediction, exact_match, has_answer
from aag_ray.evaluate.systems import in_order, long_name

_STYLE = """
:root { color-scheme: light dark; --right: #0a7d55; --line: #8886; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid var(--line); padding: 1rem 0 1.5rem; }
h2 { font-size: 1.1rem; margin: 0 0 .3rem; }
p { margin: .3rem 0; }
small { opacity: .75; }
blockquote { margin: .6rem 0; padding-left: .8rem; border-left: 3px solid var(--line); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .2rem 1.2rem; margin: .8rem 0 0; }
dl div { border-bottom: 1px dotted var(--line); }
dt { font-size: .8rem; opacity: .75; }
dd { margin: 0; overflow-wrap: anywhere; }
dd.right { color: var(--right); font-weight: 600; }
@media (prefers-color-scheme: dark) { :root { --right: #4cd6a3; } }
"""


def render_cases(result: Mapping[str, Any]) -> str:
    """A self-contained HTML page of `result["cases"]`: no scripts, nothing loaded, every text escaped.

    A case is `{"question", "answers", "entity", "document", "predictions": {system: text}}`.
    """
    shots, cases = result.get("shots", 4), result.get("cases", [])
    body = "\n".join(_case(number, case, shots) for number, case in enumerate(cases, start=1)) or "<p>No cases were kept.</p>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Questions side by side</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Questions side by side</h1>
<p>{len(cases)} test questions. ✓ marks an exact match after normalisation.</p>
{body}
</body>
</html>
"""


def _case(number: int, case: Mapping[str, Any], shots: int) -> str:
    answers, document = list(case["answers"]), case.get("document")
    predictions = case["predictions"]
    entity = f" <small>about {escape(case['entity'])}</small>" if case.get("entity") else ""
    cells = "\n".join(_prediction(long_name(name, shots), predictions[name], answers) for name in in_order(predictions))
    return f"""<article dir="auto">
<h2>{number}. {escape(case["question"])}</h2>
<p>Accepted: <strong>{escape(" · ".join(answers))}</strong>{entity}</p>
{_document(document, answers)}
<dl>
{cells}
</dl>
</article>"""


def _document(document: str | None, answers: list[str]) -> str:
    if not document:
        return "<p><small>No document.</small></p>"
    note = "holds an accepted answer" if has_answer(document, answers) else "holds no accepted answer"
    return f"<blockquote>{escape(document)}<br><small>The document {note}.</small></blockquote>"


def _prediction(name: str, text: str, answers: list[str]) -> str:
    right = bool(exact_match(text, answers))
    shown = escape(clean_prediction(text)) or "<em>nothing</em>"
    answer = f'<dd class="right">✓ {shown}</dd>' if right else f"<dd>{shown}</dd>"
    return f"<div><dt>{escape(name)}</dt>{answer}</div>"
