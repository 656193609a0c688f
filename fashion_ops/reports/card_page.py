"""The page of a served version: its cards as HTML, one file that loads nothing."""

from fashion_ops.reports.markdown import to_html
from fashion_ops.reports.report import templates

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def card_page(name: str, version: int, engine: str, cards: list[str]) -> str:
    """The HTML of the cards of a version.

    Args:
        name: of the registered model.
        version: its number; 0 for a folder, which has none.
        engine: that runs its networks.
        cards: Markdown, the model card first; empty if there are none.
    """
    page = templates().get_template("card.html")
    title = f"{name}, version {version}" if version else name
    return page.render(title=title, engine=engine, cards=[to_html(card) for card in cards])
