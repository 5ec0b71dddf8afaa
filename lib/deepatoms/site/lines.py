"""What a line may not part: a formula and the stop behind it, a number and its per cent sign."""

import re

from deepatoms.site import theme

FORMULA = re.compile(r'(?<!<span class="deepatoms-kept">)(\(?)'
                     r'(<span class="math notranslate nohighlight"[^>]*>(?:(?!</span>).)*</span>'
                     r'(?:<noscript>(?:(?!</noscript>).)*</noscript>)?)([.,;:!?)’”]*)', re.DOTALL)
PERCENT = re.compile(r"(?<=\d) (?=%)")
# What is copied, or read by a program, and the marks themselves.
LEFT = re.compile(r"(<pre\b.*?</pre>|<script\b.*?</script>|<style\b.*?</style>|<[^>]*>)", re.DOTALL)


def setup(app):
    """Register the extension with Sphinx; it follows the one that writes formulas a second time."""
    app.connect("build-finished", lambda app, failure: theme.rewrite(app, failure, lambda path, text: keep(text)), priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def keep(page):
    """Return a page whose lines part neither formula and stop nor number and per cent sign (a second time changes nothing).

    >>> keep('so <span class="math notranslate nohighlight">x</span>, in 95 % of <pre>95 %</pre>').count("deepatoms-kept")
    1
    >>> keep("95 % of <pre>95 % </pre>") == "95\\N{NO-BREAK SPACE}% of <pre>95 % </pre>"
    True
    """
    parts = LEFT.split(page)
    parts[::2] = [PERCENT.sub("\N{NO-BREAK SPACE}", text) for text in parts[::2]]
    return FORMULA.sub(_whole, "".join(parts))


def _whole(match):
    before, formula, after = match.groups()
    return f'<span class="deepatoms-kept">{match[0]}</span>' if before or after else match[0]
