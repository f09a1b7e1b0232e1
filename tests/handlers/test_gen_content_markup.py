"""HTML made safe to embed: what may stay stays, and nothing that could act gets through."""

import re
from html import escape, unescape
from html.parser import HTMLParser
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.gen_content.markup import DEEPEST, ELEMENTS, VOID, embeddable

ATTRIBUTES = {"href", "title", "class", "start", "scope", "datetime", "colspan", "rowspan"}
ADDRESS = re.compile(r"(https?://|mailto:)\S+|(?![a-z][a-z0-9+.-]*:)[^\s\\]*", re.IGNORECASE)


class Reader(HTMLParser):
    """Reads what was written, and refuses what should not be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        for name, value in attrs:
            assert value is not None
            assert name != "href" or ADDRESS.fullmatch(value), value
            assert name != "class" or value.startswith("language-")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def refuse(self, what: str) -> None:
        raise AssertionError(what)

    handle_comment = handle_decl = handle_pi = unknown_decl = refuse


def assert_safe(fragment: str) -> None:
    reader = Reader()
    reader.feed(fragment)
    reader.close()
    assert reader.open == []
    for start in re.finditer("<", fragment):
        assert re.match(r"</?[a-z][a-z0-6]*[ >]", fragment[start.start() :]), fragment[start.start() :][:50]


@pytest.mark.parametrize(
    "fragment",
    [
        "<h1>Cats</h1><p>They <em>purr</em> &amp; <strong>sleep</strong>.</p>",
        '<ul><li>one</li><li>two<ol start="3"><li>inner</li></ol></li></ul>',
        '<table><caption>c</caption><thead><tr><th scope="col">A</th></tr></thead></table>',
        '<table><tbody><tr><td colspan="2" rowspan="1">1</td></tr></tbody></table>',
        '<pre><code class="language-c++">if (a &lt; b)\n\n\treturn;</code></pre>',
        '<p><a href="https://example.com/?a=1&amp;b=2#c" title="It&#x27;s">link</a></p>',
        '<p><a href="mailto:a@example.com">write</a></p>',
        '<p><a href="/docs?at=12:30">here</a> <a href="#top">up</a> <a href="page.html">next</a></p>',
        "<dl><dt>a</dt><dd>b</dd></dl><hr><blockquote><p>q<br>r</p></blockquote>",
        "Plain text, 1 &lt; 2 &gt; 0 &hearts; \N{CAT FACE}",
    ],
)
def test_what_is_safe_stays_as_it_is(fragment: str) -> None:
    assert embeddable(fragment) == fragment
    assert_safe(fragment)


@pytest.mark.parametrize(
    ("fragment", "safe"),
    [
        ("<p>one<p>two", "<p>one</p><p>two</p>"),
        ("<ul><li>one<li><b>two</ul>three", "<ul><li>one</li><li><b>two</b></li></ul>three"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>"),
        ("<html><head><title>T</title></head><body class=x><p>a</p></body></html>", "<p>a</p>"),
        ("<!DOCTYPE html><?xml version='1.0'?><p>a<!-- b --></p>", "<p>a</p>"),
        ("<P ID=x STYLE='color:red'>a</P>", "<p>a</p>"),
        ("a < b && c > d & e &copy; f", "a &lt; b &amp;&amp; c &gt; d &amp; e &copy; f"),
        ("</div></div>a</p>", "a"),
        ("<td>a</td><li>b</li><tr>c", "abc"),
        ("<table><p>a</p></table>", "<table>a</table>"),
        ("<table><table><tr><td>a</table></table>b", "<table><tr><td>a</td></tr></table>b"),
        ('<a href="/a" href="javascript:x">b</a>', '<a href="/a">b</a>'),
        ('<a title="a > b" href=/c>d</a>', '<a title="a &gt; b" href="/c">d</a>'),
        ("<p/>a<br/>b</br>", "<p>a<br>b</p>"),
        ("<form action=/x><input name=a><button>b</button></form>", "b"),
        ("a\x00\x07b\x1b", "ab"),
        ("<p>a</p><a href='https://exam", "<p>a</p>"),
        ("<p title=it's>a</p>", "&lt;p title=it's&gt;a"),
    ],
)
def test_the_rest_is_mended_or_left_out(fragment: str, safe: str) -> None:
    assert embeddable(fragment) == safe
    assert_safe(safe)


VECTORS = r'''
<script>alert(1)</script>
<SCRIPT SRC=//evil.example/x.js></SCRIPT>
<scr<script>ipt>alert(1)</scr</script>ipt>
<script/random>alert(1)</script>
<script>alert(1)
<<script>alert(1);//<</script>
<img src=x onerror=alert(1)>
<img """><script>alert(1)</script>">
<img src="x:alert(1)" onerror="eval(src)">
<svg onload=alert(1)>
<svg/onload=alert(1)//
<svg><script>alert&#40;1)</script></svg>
<svg><svg></svg><script>alert(1)</script></svg>
<svg><style><img src=x onerror=alert(1)></style></svg>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
<math href="javascript:alert(1)">x</math>
<body onload=alert(1)>
<iframe src="javascript:alert(1)"></iframe>
<iframe srcdoc="<script>alert(1)</script>"></iframe>
<object data="javascript:alert(1)"></object>
<embed src="javascript:alert(1)">
<link rel=stylesheet href="javascript:alert(1)">
<meta http-equiv="refresh" content="0;url=javascript:alert(1)">
<base href="javascript:alert(1)//">
<style>@import 'javascript:alert(1)';</style>
<style><img src="</style><img src=x onerror=alert(1)//">
<p style="background:url(javascript:alert(1))">x</p>
<p style="width:expression(alert(1))">x</p>
<div onmouseover="alert(1)">x</div>
<div/onmouseover='alert(1)'>x</div>
<a href="javascript:alert(1)">x</a>
<a href="JaVaScRiPt:alert(1)">x</a>
<a href=" javascript:alert(1)">x</a>
<a href="java	script:alert(1)">x</a>
<a href="java&#x0A;script:alert(1)">x</a>
<a href="&#106;&#97;vascript:alert(1)">x</a>
<a href="&#0000106avascript:alert(1)">x</a>
<a href="javascript&colon;alert(1)">x</a>
<a href="javascript&#58alert(1)">x</a>
<a href="&#1;javascript:alert(1)">x</a>
<a href=javascript:alert(1)>x</a>
<a href='vbscript:msgbox(1)'>x</a>
<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>
<a href="feed:javascript:alert(1)">x</a>
<a href="https://a.example/" onclick="alert(1)">x</a>
<a href="https://a.example/&quot; onclick=&quot;alert(1)">x</a>
<a href="https://a.example/"onclick="alert(1)">x</a>
<a title='"><script>alert(1)</script>'>x</a>
<a title="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;">x</a>
<a href="x" title="`onmouseover=alert(1)`">x</a>
<code class="language-x&quot; onclick=&quot;alert(1)">x</code>
<code class="language-x onclick=alert(1)">x</code>
<xmp><p title="</xmp><img src=x onerror=alert(1)>">
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<textarea></textarea><script>alert(1)</script>
<textarea><img title="</textarea><img src=x onerror=alert(1)>">
<title><img title="</title><script>alert(1)</script>">
<template><script>alert(1)</script></template>
<select><option><style></option></select><img src=x onerror=alert(1)></style>
<!--><img src=x onerror=alert(1)>-->
<!--[if IE]><script>alert(1)</script><![endif]-->
<![CDATA[<script>alert(1)</script>]]>
<!-- --!><script>alert(1)</script>
<?php echo '<script>alert(1)</script>' ?>
<?xml-stylesheet href="javascript:alert(1)"?>
<form action="javascript:alert(1)"><button>x</button></form>
<button formaction="javascript:alert(1)">x</button>
<input autofocus onfocus=alert(1)>
<details open ontoggle=alert(1)>
<video><source onerror="alert(1)"></video>
<audio src=x onerror=alert(1)>
<marquee onstart=alert(1)>
<keygen autofocus onfocus=alert(1)>
<isindex action=javascript:alert(1) type=image>
<table background="javascript:alert(1)"><tr><td>x</table>
<blockquote cite="javascript:alert(1)">x</blockquote>
<p id=x name=y class=z>x</p>
<p x="`"y=onclick=alert(1)>x</p>
<a/href="javascript:alert(1)"/onclick=alert(1)>x</a>
<custom-element onclick=alert(1)>x</custom-element>
<b<script>alert(1)</script>
<b onclick=alert(1)//
< script>alert(1)</ script>
</script><script>alert(1)</script>
<script>/*</script><p>*/alert(1)</p>
%3Cscript%3Ealert(1)%3C/script%3E
&lt;script&gt;alert(1)&lt;/script&gt;
+ADw-script+AD4-alert(1)+ADw-/script+AD4-
<a href="//evil.example">x</a></div></body><script>alert(1)</script>
'''.strip().splitlines()


@pytest.mark.parametrize("vector", [*VECTORS, "<p onclick\n=alert(1)>x</p>", "<a href='java\nscript:alert(1)'>x</a>"])
def test_a_known_attack_comes_to_nothing(vector: str) -> None:
    for fragment in (vector, f"<p>{vector}</p>", f'<table><tr><td title="{vector}">{vector}', vector * 2):
        safe = embeddable(fragment)
        assert_safe(safe)
        assert not re.search(r"<[^>]*\bon\w+\s*=", re.sub(r'"[^"]*"', "", safe))
        assert not re.search(r"<[^>]*(javascript|vbscript|data):", safe, re.IGNORECASE)


MARKS = [
    "<",
    ">",
    "/",
    "=",
    '"',
    "'",
    "&",
    ";",
    ":",
    "-",
    "!",
    "?",
    "`",
    " ",
    "\t",
    "\n",
    "\0",
    "</",
    "/>",
    "<!--",
    "-->",
]
WORDS = ["script", "<script", "<style>", "<svg>", "<a href=", "javascript:", "onclick=", "&#x3c;", "&lt;", "&colon;"]
PIECES = st.sampled_from(MARKS) | st.sampled_from(WORDS) | st.sampled_from(sorted(ELEMENTS)) | st.text(max_size=3)
TAGS = st.sampled_from(sorted(ELEMENTS)).flatmap(lambda name: st.sampled_from([f"<{name}>", f"</{name}>"]))
FRAGMENTS = st.lists(PIECES | TAGS, max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(FRAGMENTS)
def test_whatever_comes_in_what_comes_out_is_safe_and_stays_so(fragment: str) -> None:
    safe = embeddable(fragment)
    assert_safe(safe)
    assert embeddable(safe) == safe


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs")), max_size=60))
def test_text_stays_text(text: str) -> None:
    escaped = escape(text, quote=False)
    assert unescape(embeddable(escaped)) == unescape(escaped).strip()


def test_elements_nest_only_so_deep() -> None:
    safe = embeddable("<div>" * 5_000 + "deep")
    assert safe.count("<div>") == DEEPEST
    assert_safe(safe)


@pytest.mark.parametrize(
    "piece",
    ["<a ", "<!--", "<a", "</", '<a b="', "<a b='", "<script></scrip ", "<svg></svg ", "&#", "<?", "a=", " ", "<b>"],
)
def test_a_hostile_text_takes_no_longer_than_a_friendly_one(piece: str) -> None:
    """100,000 characters that keep html.parser busy for up to a minute."""
    began = process_time()
    embeddable(piece * (100_000 // len(piece)))
    embeddable("<a " + piece * (100_000 // len(piece)) + ">")
    assert process_time() - began < 1
