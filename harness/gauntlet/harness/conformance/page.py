"""The outcome of a run as one HTML page that refers to nothing outside itself but known bugs.

What needs a look comes first; what passed is folded away by area.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from gauntlet.harness.conformance.report import counts, head
from gauntlet.harness.conformance.runner import Outcome, Result, Status

# The order in which a reader wants them, and what they mean to one who has not read the documentation.
_MEANINGS = {
    Status.FAIL: "not as promised",
    Status.DIFFERENT: "the two targets answered the same request differently",
    Status.KNOWN: "fails because of a bug of this release that is known and was mended later",
    Status.NOT_POSSIBLE: "the target cannot be made what the case needs",
    Status.NOT_OFFERED: "the promise is younger, or older, than this version",
    Status.PASS: "as promised",
}
_LINK = re.compile(r"^(https://[\w./-]+): ")

_STYLE = """
:root { color-scheme: light dark; --line: #d8dde3; --dim: #667080; --soft: #f4f6f8; --page: #fff;
  --text: #1c2024; --good: #1b7f3b; --bad: #b3261e; --odd: #8a5a00; --grey: #8b95a1 }
@media (prefers-color-scheme: dark) { :root { --line: #343a42; --dim: #9aa4b0; --soft: #1f242a;
  --page: #16191d; --text: #e4e7eb; --good: #58c47c; --bad: #ff8a80; --odd: #e0b050; --grey: #707a86 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
  background: var(--page); color: var(--text) }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem }
p { margin: .3rem 0 } .dim { color: var(--dim) }
.verdict { font-size: 1.15rem; font-weight: 600 }
table { border-collapse: collapse }
th, td { text-align: left; padding: .2rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top }
.areas th, .areas td { text-align: right } .areas :first-child { text-align: left }
.areas td.bar { width: 16rem; vertical-align: middle }
.bar div { display: flex; height: .6rem; border-radius: .3rem; overflow: hidden; background: var(--soft) }
.bar i { display: block } .zero { color: var(--line) } a { color: inherit }
i.pass { background: var(--good) } i.fail, i.different { background: var(--bad) }
i.known { background: var(--odd) } i.not { background: var(--grey) }
b.pass { color: var(--good) } b.fail, b.different { color: var(--bad) } b.known { color: var(--odd) }
b.not { color: var(--dim) }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere }
details { border-bottom: 1px solid var(--line); padding: .3rem 0 } summary { cursor: pointer }
ul { list-style: none; margin: .3rem 0; padding: 0 } li { padding: .25rem 0 .25rem 1rem }
li > span { display: block } li pre { margin: .2rem 0; padding: .4rem .6rem; background: var(--soft);
  border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere }
"""


def as_html(outcome: Outcome) -> str:
    title = html.escape(f"Conformance of {head(outcome)}")
    body = [
        f"<h1>{title}</h1>",
        *_verdict(outcome),
        *_areas(outcome),
        *_notable(outcome),
        *_passed(outcome),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _verdict(outcome: Outcome) -> Iterable[str]:
    bad = sum(result.status.bad for result in outcome.results)
    words = f"{bad} of {len(outcome.results)} cases need a look" if bad else "Nothing failed"
    if not bad and outcome.against is not None:
        words += " or differed"
    yield f'<p class="verdict"><b class="{"fail" if bad else "pass"}">{words}</b></p>'
    yield (
        f'<p class="dim">{len(outcome.results)} cases in {outcome.seconds:.0f} s, seed {outcome.seed}, '
        f"by etcd-gauntlet</p>"
    )


def _kind(status: Status) -> str:
    return status.value.split()[0]


def _areas(outcome: Outcome) -> Iterable[str]:
    shown = [status for status in Status if outcome.count(status)]
    names = "".join(f'<th title="{_MEANINGS[status]}">{status.value}</th>' for status in shown)
    yield f'<table class="areas"><tr><th>area</th>{names}<th></th></tr>'
    rows = counts(outcome)
    for area, row in rows.items():
        yield _area(area, [(status, row[status]) for status in shown], "td")
    yield _area("total", [(status, outcome.count(status)) for status in shown], "th")
    yield "</table>"


def _area(name: str, row: list[tuple[Status, int]], tag: str) -> str:
    cells = "".join(
        f"<{tag}>{number}</{tag}>" if number else f'<{tag} class="zero">0</{tag}>' for _, number in row
    )
    bar = "".join(f'<i class="{_kind(status)}" style="flex:{n}"></i>' for status, n in row if n)
    return f'<tr><{tag}>{name}</{tag}>{cells}<td class="bar"><div>{bar}</div></td></tr>'


def _notable(outcome: Outcome) -> Iterable[str]:
    for status, meaning in _MEANINGS.items():
        results = [result for result in outcome.results if result.status is status]
        if results and status is not Status.PASS:
            yield f'<h2><b class="{_kind(status)}">{status.value}</b> ({len(results)})</h2>'
            yield f'<p class="dim">{meaning.capitalize()}.</p>'
            yield from _list(results, outcome)


def _passed(outcome: Outcome) -> Iterable[str]:
    if outcome.count(Status.PASS):
        yield f'<h2><b class="pass">pass</b> ({outcome.count(Status.PASS)})</h2>'
    for area in counts(outcome):
        results = [r for r in outcome.results if r.case.area == area and r.status is Status.PASS]
        if results:
            yield f"<details><summary>{area} ({len(results)})</summary>"
            yield from _list(results, None)
            yield "</details>"


def _list(results: Iterable[Result], outcome: Outcome | None) -> Iterable[str]:
    """With the outcome: full names and details."""
    yield "<ul>"
    for result in results:
        case = result.case
        said = case.title.replace("_", " ").lower() == case.text.rstrip(".").lower()
        text = "" if said else f"<span>{html.escape(case.text)}</span>"
        name = case.title if outcome is None else case.name
        detail = "" if outcome is None else _detail(result, outcome)
        yield f"<li><code>{html.escape(name)}</code>{text}{detail}</li>"
    yield "</ul>"


def _detail(result: Result, outcome: Outcome) -> str:
    """A comparison's two answers stand below each other."""
    why, request = result.detail, ""
    if result.status is Status.KNOWN:
        why, _, request = why.partition("; exchange ")
        request = request and f"exchange {request}"
    elif result.status.bad:
        why, request = "", why
    text = _LINK.sub(r'<a href="\1">\1</a>: ', html.escape(why))
    said = f'<span class="dim">{text}</span>' if text else ""
    for spec, version in ((outcome.target, outcome.version), (outcome.against, outcome.against_version)):
        name = f"{spec} ({version})"
        request = re.sub(rf"[:;] {re.escape(name)} answered ", f"\n{name}\n    ", request)
    return said + (f"<pre>{html.escape(request)}</pre>" if request else "")
