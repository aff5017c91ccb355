"""A certificate over several seeds as one self-contained HTML page."""

from importlib.resources import files
from pathlib import Path

from archsmith.report.anytime_plot import mean_curves_plot
from archsmith.report.certificate import Certificate
from archsmith.report.certificate_words import (
    CURVES_TITLE,
    arm_rows,
    claim,
    comparison_rows,
    curve_rows,
)
from archsmith.report.contribution_words import CAPTION, group_rows

_PAGE = """{%- macro table(rows) -%}
<div class="scroll"><table>
<thead><tr>{% for cell in rows[0] %}<th class="text" scope="col">{{ cell }}</th>{% endfor %}</tr>
</thead><tbody>{% for row in rows[1:] %}<tr>{% for cell in row %}<td class="text">{{ cell }}</td>
{% endfor %}</tr>{% endfor %}</tbody></table></div>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ outcome }} - archsmith certificate</title><style>{{ css | safe }}</style></head><body>
<header><h1>archsmith certificate</h1><div class="headline {{ outcome }}">
<p class="sentence">{{ sentence }}</p>
{% for line in claims %}<p>{{ line }}</p>{% endfor %}</div></header>
<main>{% for title, rows in tables %}<h2>{{ title }}</h2>{{ table(rows) }}{% endfor %}
{% for caption, svg in plots %}<figure>{{ svg | safe }}<figcaption>{{ caption }}</figcaption>
</figure>{% endfor %}
<h2>What the choices contributed</h2><p>{{ contributed }}</p>
{% if groups %}<p>{{ caption }}</p>{{ table(groups) }}{% endif %}
<h2>Remarks</h2><ul>{% for remark in remarks %}<li>{{ remark }}</li>{% endfor %}</ul>
</main></body></html>
"""


def write_certificate_page(certificate: Certificate, path: Path) -> None:
    """Write the page. An existing file of that name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_certificate(certificate), encoding="utf-8")


def render_certificate(certificate: Certificate) -> str:
    """The page as text; every value is escaped."""
    from jinja2 import Environment, StrictUndefined

    css = (files("archsmith.report") / "page.css").read_text(encoding="utf-8")
    claims = [claim(one, certificate.margin) for one in certificate.comparisons if one.primary]
    return (
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(_PAGE)
        .render(
            css=css,
            outcome=str(certificate.outcome),
            sentence=certificate.sentence,
            claims=[text for text in claims if text != certificate.sentence],
            tables=[
                ("Arms", arm_rows(certificate.arms)),
                ("Comparisons", comparison_rows(certificate.comparisons)),
                *(((CURVES_TITLE, curve_rows(curves)),) if (curves := certificate.anytime) else ()),
            ],
            plots=_plots(certificate),
            contributed=certificate.contributions.sentence,
            caption=CAPTION,
            groups=group_rows(certificate.contributions),
            remarks=certificate.remarks,
        )
    )


def _plots(certificate: Certificate) -> list[tuple[str, str]]:
    """A caption and a plot for each corpus whose runs told their curves."""
    found = []
    for number, corpus in enumerate(dict.fromkeys(one.corpus for one in certificate.anytime)):
        curves = [one for one in certificate.anytime if one.corpus == corpus]
        svg = mean_curves_plot(curves, name=f"anytime-{number}")
        where = f" on {corpus}" if corpus else ""
        found += [(f"What each arm had reached when{where}, mean over seeds.", svg)] if svg else []
    return found
