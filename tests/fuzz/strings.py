"""Texts and documents that have broken other systems, one or two of a kind; all of our own writing.

`python -m tests.fuzz.suites` sends the public collections, which are larger.
"""

NAUGHTY = (
    "",
    " ",
    "\t\r\n",
    "\x00",
    "a\x00b",
    "\x01\x1b[31mred\x7f",
    "null",
    "-0",
    "1e400",
    "NaN",
    "99999999999999999999999999",
    "٣",  # a digit to str.isdigit, none to int in every language
    "²",  # a digit to str.isdigit, none to int
    "0x1f",
    "true",
    "' or 1=1; drop table orchestrator_tasks; --",
    '"); select pg_sleep(10); --',
    "%s %d %n {0} {{7*7}} ${7*7} %{7*7} #{7*7}",
    "%",
    "_%\\",
    "../../etc/passwd",
    "..\\..\\%2e%2e%2f",
    "<script>alert(1)</script>",
    "data: x\n\nevent: end\ndata: {}\n\n",
    "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "\ufeffbom",
    "\u202egnp.exe\u2066",
    "\u200b\u200d\u2028\u2029",
    "e\u0301\u0327" + "\u0316" * 50,
    "ﷺ" * 20,
    "👩🏽‍🚒🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "İıſß",  # longer or other in another case
    "①②⑦.0.0.1",
    "\ue000\U0010ffff\ufffe",
    "a" * 5_000,
    "((((((((((a*)*)*)*)*)*)*)*)*)*)$",
    "2026-02-30T25:61:61Z",
    "9999-12-31T23:59:59-14:00",
    "01997c0e-0000-7000-8000-00000000000g",
    "{aurea}:*",
)

TRICKY_JSON = (
    b"[1,]", b"[,1]", b"[1 2]", b'{"a"}', b'{"a":1,}', b"{a:1}", b"{'a':1}", b'{"a":1}}', b"[1]]", b"[", b'["', b'"\\',
    b"[01]", b"[+1]", b"[.5]", b"[1.]", b"[1e]", b"[0x1]", b"[-]", b"[--1]", b"[1_000]", b"[1e+]", b"[NaN]",
    b"[Infinity]", b"[-Infinity]", b"[nan]", b"[True]", b"[nul]", b"[undefined]", b'["\t"]', b'["\n"]', b'["\x00"]',
    b'["\\x"]', b'["\\u12"]', b'["\\u00zz"]', b'["\\ud800"]', b'["\\udc00\\ud800"]', b'["\\ud800\\u0041"]',
    b'["\\u0000"]',
    b'["\xff"]', b'["\xc0\x80"]', b'["\xed\xa0\x80"]', b'["\xf4\x90\x80\x80"]', b'["\xe2\x82"]', b"\xef\xbb\xbf[]",
    b"[]\x00", b"\x0c[]", b"[]//c", b"/*c*/[]", b"#c\n[]", "[]".encode("utf-16"), "[]".encode("utf-32"),
    b"[" * 200_000, b'[{"a":' * 50_000, b"[" * 101 + b"]" * 101, b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}',
    b"[1e999]", b"[-1e999]", b"[1" + b"0" * 400 + b"]", b"[-9223372036854775809]", b"[18446744073709551616]",
)  # fmt: skip
"""Each is refused, as a body and inside a payload."""
