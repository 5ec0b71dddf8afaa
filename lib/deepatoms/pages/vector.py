"""Matplotlib's SVG made fit for a page: small, the same on every run, and drawn in the ink of whatever surrounds it."""

import base64
import html
import io
import re
import xml.etree.ElementTree as ElementTree

from PIL import Image

DECIMALS = 2  # of a point, 1/72 inch: finer than a pixel at any zoom that a page sees
_TOKEN = re.compile(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)|^#(.+)$")
_POINTS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}
_POSITIONS = ("x", "y", "width", "height", "cx", "cy", "r")
MINUS = re.compile(r"(?<![\w)>-])-(?=\.?\d)")  # a hyphen that stands for a minus
_BLACK = ("#000000", "#000", "black")


def tidy(text, prefix, description):
    """Return SVG text for a page: one element a line, responsive, described, its ids beginning with ``prefix``.

    Black is the page's ink (``currentColor``); text takes the page's font; what shows nothing is dropped.
    """
    root = ElementTree.fromstring(text)
    used = {name for element in root.iter() for name in _references(element)}
    lines = [_opening(root, description)]
    for child in _children(root):
        _write(child, prefix, used, lines)
    return "\n".join([*lines, "</svg>"])


def _opening(root, description):
    width = float(root.get("viewBox").split()[2]) / 72
    label = html.escape(" ".join(description.split()))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{root.get("viewBox")}" width="100%" '
            f'style="max-width:{_number(width * 96)}px;height:auto" fill="currentColor" font-family="inherit" '
            f'stroke-linejoin="round" role="img" aria-label="{label}">')


def _tag(element):
    return element.tag.rpartition("}")[2]


def _references(element):
    for key, value in element.attrib.items():
        if "url(" in value or key.endswith("href"):
            yield from (first or second for first, second in _REFERENCE.findall(value))


def _children(element):
    """Yield what an element shows, with bare groups dissolved and neighbouring groups of equal attributes joined."""
    joined = None
    for child in _flat(element):
        if _tag(child) == "g" and joined is not None and _tag(joined) == "g" and joined.attrib == child.attrib:
            joined.extend(child)
            continue
        if joined is not None:
            yield joined
        joined = child
    if joined is not None:
        yield joined


def _flat(element):
    for child in element:
        if _tag(child) in ("metadata", "style") or _shows_nothing(child):
            continue
        bare = _tag(child) == "g" and not set(child.attrib) - {"id"}
        if _tag(child) == "g":
            child.attrib.pop("id", None)
        if bare:
            yield from _flat(child)
        else:
            yield child


def _shows_nothing(element):
    style = _style(element)
    return _tag(element) == "path" and style.get("fill") == "none" and "stroke" not in style


def _style(element):
    pairs = (pair.split(":", 1) for pair in element.get("style", "").split(";") if ":" in pair)
    return {name.strip(): value.strip() for name, value in pairs}


def _write(element, prefix, used, lines):
    tag = _tag(element)
    attributes = "".join(f' {key}="{html.escape(value)}"' for key, value in _attributes(element, prefix, used).items())
    if tag == "text":
        lines.append(f"<text{attributes}>{_text(element)}</text>")
        return
    children = list(_children(element))
    if not children:
        lines.extend([f"<{tag}{attributes}/>"] if tag not in ("g", "defs") else [])
        return
    lines.append(f"<{tag}{attributes}>")
    for child in children:
        _write(child, prefix, used, lines)
    lines.append(f"</{tag}>")


def _attributes(element, prefix, used):
    """Return an element's attributes in short form, without the defaults that matplotlib spells out."""
    kept = {}
    for key, value in element.attrib.items():
        key = key.rpartition("}")[2]
        if key == "id":
            if value in used:
                kept[key] = prefix + value
        elif key == "d":
            kept[key] = path(value)
        elif key == "href":
            kept[key] = f"#{prefix}{value[1:]}" if value.startswith("#") else raster(value)
        elif key == "style":
            kept.update(_short_style(element))
        elif key == "transform":
            if not value.startswith("rotate(-0 ") and not value.startswith("rotate(0 "):
                kept[key] = _TOKEN.sub(lambda found: _rounded(found[0], 4), value)
        elif key in _POSITIONS:
            kept[key] = _rounded(value, DECIMALS)
        else:
            kept[key] = value.replace("url(#", f"url(#{prefix}")
    return kept


def _short_style(element):
    style = _style(element)
    if "font" in style or "font-size" in style:
        seen = {name: style[name] for name in ("fill", "opacity") if name in style and style[name] not in _BLACK}
        return {"style": _font(style)} | seen
    for name in ("fill", "stroke"):
        if style.get(name) in _BLACK:
            style[name] = "currentColor"
    return {"style": ";".join(f"{name}:{value}" for name, value in style.items())}


def _font(style):
    """Return size, weight, slant and anchor of a text."""
    size = style.get("font-size") or re.search(r"[\d.]+px", style["font"])[0]
    kept = [f"font-size:{_rounded(size.removesuffix('px'), DECIMALS)}px"]
    shorthand = style.get("font", "").partition("px")[0]
    if style.get("font-weight", "normal") not in ("normal", "400") or "bold" in shorthand or "700" in shorthand:
        kept.append("font-weight:bold")
    if {"italic", "oblique"} & {style.get("font-style"), *shorthand.split()}:
        kept.append("font-style:italic")
    return ";".join(kept + [f"text-anchor:{style['text-anchor']}" for _ in range(style.get("text-anchor", "start") != "start")])


def _text(element):
    if not len(element):
        return html.escape(MINUS.sub("−", element.text or ""), quote=False)
    return "".join(f'<tspan x="{x}" y="{y}"{style}>{html.escape(run, quote=False)}</tspan>'
                   for x, y, style, run in _runs(element))


def _runs(element):
    """Yield the words of a formula: matplotlib places each letter for its own font, the page's font flows within a word."""
    letters = sorted((float(x), float(span.get("y", 0)), _slant(span), letter) for span in element
                     for x, letter in zip(span.get("x", "0").split(), span.text or "", strict=False))
    run, start, before = "", None, None
    for x, y, style, letter in letters:
        if run and ((y, style) != before or not (letter.isalnum() and run[-1].isalnum())):
            yield *start, run
            run = ""
        if letter.isspace():
            continue
        if not run:
            start, before = (_number(x), _number(y), style), (y, style)
        run += letter
    if run:
        yield *start, run


def _slant(span):
    style = _style(span)
    size = f"font-size:{_rounded(style.get('font-size', '10px').removesuffix('px'), DECIMALS)}px"
    slanted = ";font-style:italic" if style.get("font-style") in ("italic", "oblique") else ""
    return f' style="{size}{slanted}"'


def path(data):
    """Return path data in relative coordinates of two decimals, drawing the same line.

    >>> path("M 10 10 \\nL 20.001 10 \\nL 20 12.5 \\nz")
    'm10 10 10 0 0 2.5z'
    """
    tokens, at, written, last, scale = _TOKEN.findall(data), (0, 0), [], None, 10**DECIMALS
    position, start = 0, (0, 0)
    while position < len(tokens):
        command = tokens[position].upper()
        count = 2 * _POINTS[command]
        numbers = [round(float(token) * scale) for token in tokens[position + 1:position + 1 + count]]
        position += 1 + count
        if command == "Z":
            written.append("z")
            at, last = start, "Z"
            continue
        steps = [number - at[i % 2] for i, number in enumerate(numbers)]
        at = (numbers[-2], numbers[-1])
        start = at if command == "M" else start
        implied = command == last or (command == "L" and last == "M")
        written.append(_join(("" if implied and command != "M" else command.lower()), steps, scale, implied and command != "M"))
        last = command
    return "".join(written)


def _join(letter, steps, scale, continued):
    text = letter
    for i, step in enumerate(steps):
        number = _number(step / scale)
        text += (" " if (i or continued) and not number.startswith("-") else "") + number
    return text


def _number(value):
    return _rounded(value, DECIMALS)


def _rounded(value, decimals):
    try:
        text = f"{float(value):.{decimals}f}"
    except ValueError:
        return value  # a word such as "matrix" or "100%"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    text = text.replace("-0.", "-.") if text.startswith("-0.") else text.removeprefix("0") if text.startswith("0.") else text
    return "0" if text in ("-0", "") else text


def raster(address):
    """Return an embedded PNG as the smaller of PNG and lossless WebP, the same pixels in either."""
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))
    if picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255):
        picture = picture.convert("RGB")
    forms = {"png": {"optimize": True}, "webp": {"lossless": True, "quality": 100, "method": 5}}
    encoded = []
    for form, options in forms.items():
        buffer = io.BytesIO()
        picture.save(buffer, form, **options)
        encoded.append((len(buffer.getvalue()), form, buffer.getvalue()))
    _, form, data = min(encoded)
    return f"data:image/{form};base64,{base64.b64encode(data).decode()}"
