"""HTML from a model, made safe to embed in a page.

It is written anew rather than cleaned: every `<` of the output is one that this module wrote, from a closed list of
elements and attributes, with every element closed and no part of a list or table without its whole. So it does not
matter how a browser would have read the input, and put into a block such as `<div>` it stays in there. Scripts, styles,
forms, frames and images are not on the list, and neither are `style`, `id` and event handlers. The time grows with the
length of the input and no faster, whatever stands in it.
"""

import html
import re
from collections.abc import Iterator, Set

ELEMENTS = frozenset(
    """
    a abbr article b blockquote br caption cite code dd del dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6
    header hr i ins kbd li mark ol p pre q s samp section small span strong sub sup table tbody td tfoot th thead time
    tr u ul var
    """.split()  # noqa: SIM905 - as a list it would be half a screen long
)
VOID = frozenset({"br", "hr"})
DEEPEST = 100
LONGEST_VALUE = 2_000

_DROPPED_WHOLE = frozenset(
    """
    script style svg math template iframe frameset object applet noscript noembed noframes xmp plaintext textarea select
    title head audio video canvas
    """.split()  # noqa: SIM905
)
_ROWS = frozenset({"table", "thead", "tbody", "tfoot"})
_PARENTS = {
    "li": frozenset({"ul", "ol"}),
    **dict.fromkeys(("dt", "dd"), frozenset({"dl"})),
    **dict.fromkeys(("td", "th"), frozenset({"tr"})),
    **dict.fromkeys(("thead", "tbody", "tfoot", "caption"), frozenset({"table"})),
    "tr": _ROWS,
}
"""What stands only right inside one of these, and ends whatever was left open there: `<li>one<li>two`."""

# Possessive (`++`, `*+`) and bounded by the next `<`, so that no input makes it look at a character many times.
_MARKUP = re.compile(
    r"""<!--.*?(?:-->|\Z) | <[!?][^<>]*+>?
    | <(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]*+)(?P<rest>(?:[\s/](?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)?)>
    | </?[A-Za-z][^<>]*+\Z""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'<>=`]++))?""")
_BARE_AMPERSAND = re.compile(r"&(?!(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_TEXT = re.compile(r"[^\x00-\x1f]*", re.DOTALL)
_ADDRESS = re.compile(r"(?:(?:https?://|mailto:)(?=.)|(?![^/?#]*:))[^\s\x00-\x20\\<>\"'`]*", re.IGNORECASE)
"""With one of three schemes, or with none: a colon only behind the first `/`, `?` or `#`."""
_NUMBER = re.compile(r"[0-9]{1,4}")
_ATTRIBUTES = {
    ("a", "href"): _ADDRESS,
    ("code", "class"): re.compile(r"language-[A-Za-z0-9+#-]{1,30}"),
    ("ol", "start"): _NUMBER,
    ("th", "scope"): re.compile(r"row|col|rowgroup|colgroup"),
    ("time", "datetime"): re.compile(r"[0-9TZPHMSWDY:.+ -]{1,40}"),
    **{(cell, span): _NUMBER for cell in ("td", "th") for span in ("colspan", "rowspan")},
    **{(name, "title"): _TEXT for name in ("a", "abbr", "dfn")},
}


def embeddable(fragment: str) -> str:
    """Return the fragment with nothing in it that could act, or leave the element that it is put into."""
    written: list[str] = []
    open_elements: list[str] = []
    for text, name, is_end, attributes in _pieces(_CONTROLS.sub("", fragment)):
        written.append(_plain(text))
        if name not in ELEMENTS:
            continue
        if is_end:
            written.extend(_ends(open_elements, {name}, and_it=True))
        elif _has_place(open_elements, name):
            written.extend(_ends(open_elements, _PARENTS.get(name, frozenset())))
            if name == "p" and open_elements[-1:] == ["p"]:
                written.extend(_ends(open_elements, {"p"}, and_it=True))
            written.append(f"<{name}{''.join(_kept(name, attributes))}>")
            if name not in VOID:
                open_elements.append(name)
    written.extend(f"</{name}>" for name in reversed(open_elements))
    return "".join(written).strip()


def _pieces(fragment: str) -> Iterator[tuple[str, str, bool, str]]:
    """Yield each text with the tag behind it: its name, whether it is an end, and its attributes as they are written.

    What a script or a drawing holds is passed over with it; one that never ends swallows the rest. A tag that breaks
    off at the end is dropped.
    """
    place = 0
    while found := _MARKUP.search(fragment, place):
        name = (found["name"] or "").lower()
        yield fragment[place : found.start()], name, bool(found["end"]), found["rest"] or ""
        place = found.end()
        if name in _DROPPED_WHOLE and not found["end"]:
            end = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(fragment, place)
            place = end.start() if end else len(fragment)
    yield fragment[place:], "", False, ""


def _plain(text: str) -> str:
    return _BARE_AMPERSAND.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def _has_place(open_elements: list[str], name: str) -> bool:
    if name in _PARENTS:
        return not _PARENTS[name].isdisjoint(open_elements)
    inside = open_elements[-1] if open_elements else ""
    return len(open_elements) < DEEPEST and inside not in _ROWS and inside != "tr"


def _ends(open_elements: list[str], names: Set[str], *, and_it: bool = False) -> Iterator[str]:
    """Close what was opened inside the innermost of these elements, and it too if asked; nothing if none is open."""
    if names.isdisjoint(open_elements):
        return
    while open_elements[-1] not in names:
        yield f"</{open_elements.pop()}>"
    if and_it:
        yield f"</{open_elements.pop()}>"


def _kept(name: str, attributes: str) -> Iterator[str]:
    seen = set()
    for attribute, raw in _ATTRIBUTE.findall(attributes):
        attribute = attribute.lower()
        allowed = _ATTRIBUTES.get((name, attribute))
        if allowed is None or attribute in seen:
            continue
        seen.add(attribute)
        value = html.unescape(raw.strip("\"'")[: LONGEST_VALUE + 1]).strip()
        if len(value) <= LONGEST_VALUE and allowed.fullmatch(value):
            yield f' {attribute}="{html.escape(value)}"'
