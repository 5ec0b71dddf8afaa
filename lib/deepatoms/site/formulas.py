"""Formulas for readers without JavaScript: MathML beside the TeX that MathJax sets, in an element that only they see."""

import html
import re

from latex2mathml import exceptions
from latex2mathml.converter import convert

from deepatoms.site import theme

FORMULA = re.compile(r'<(span|div) class="math notranslate nohighlight"([^>]*)>(.*?)</\1>(<noscript>)?', re.DOTALL)
TEX = re.compile(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", re.DOTALL)
NUMBER = re.compile(r'<span class="eqno">(\([^<]*\))')
# Where no script runs the TeX would stand beside the formula. Only there: it is what MathJax reads.
STYLE = '<noscript><style>.math.notranslate.nohighlight { display: none; }</style></noscript>'
# What the converter does not know, in words that it knows.
PLAIN = ((r"\lVert", r"\|"), (r"\rVert", r"\|"), (r"\lvert", "|"), (r"\rvert", "|"), (r"\Vert", r"\|"), (r"\vert", "|"),
         (r"\tfrac", r"\frac"), (r"\dfrac", r"\frac"), (r"\square", "□"), (r"\mathsf T", r"\top "),
         (r"\mathsf{T}", r"\top "), (r"\arg", r"\operatorname{arg}"))
FAULTS = tuple(fault for fault in vars(exceptions).values() if isinstance(fault, type) and issubclass(fault, Exception))


def setup(app):
    """Register the extension with Sphinx."""
    app.connect("build-finished", write_formulas)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def write_formulas(app, failure):
    """Put MathML beside every formula of the written pages (a second time changes nothing)."""
    theme.rewrite(app, failure, lambda path, text: with_formulas(text))


def with_formulas(page):
    """Return a page with MathML beside its formulas.

    >>> print(with_formulas('<span class="math notranslate nohighlight">\\\\(k\\\\)</span>').partition("<noscript>")[2])
    <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>k</mi></mrow></math></noscript>
    """
    written = FORMULA.sub(_beside, page)
    return written if written == page else written.replace("</head>", STYLE + "</head>", 1)


def _beside(match):
    tex = TEX.search(match[3])
    if tex is None or match[4]:  # written before
        return match[0]
    display = "inline" if tex[1] is not None else "block"
    number = NUMBER.search(match[3])
    said = mathml(html.unescape(tex[1] if tex[1] is not None else tex[2]), display)
    return f"{match[0]}<noscript>{said}{' ' + number[1] if number else ''}</noscript>"


def mathml(tex, display="inline"):
    """Return a formula as MathML; as its TeX, set off as code, where the converter cannot read it.

    >>> "<mfrac>" in mathml("\\\\tfrac12"), mathml("x^1^2")
    (True, '<code>x^1^2</code>')
    """
    for name, plain in PLAIN:
        tex = tex.replace(name, plain)
    try:
        return convert(" ".join(tex.split()), display=display)
    except FAULTS:
        return f"<code>{html.escape(tex, quote=False)}</code>"
